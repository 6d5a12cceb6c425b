"""Compares the exporter's arithmetic with BIKE's published code, and writes the goldens of the tests.

    git clone https://github.com/whwu95/BIKE && git -C BIKE checkout e8f6a8b
    python checks/published.py BIKE --goldens tests/data/published.safetensors

The published code is imported from that checkout and not copied. Weights are random (see tests/random_checkpoints.py),
and frames differ from each other, so that wrong methods change scores. Five are tried, and each must differ by ten
times the tolerance.
"""

import argparse
import importlib.util
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import torch
from safetensors.torch import save_file

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tests")]

import random_checkpoints as rc
from bike_export.checkpoint import load
from bike_export.model import scoring, towers
from bike_export.text.tokenizer import tokenize
from published_case import ATTRIBUTE_SENTENCE, SENTENCES, wrong_methods

COMMIT = "e8f6a8b"
TOLERANCE = 1e-5
WINDOW = 8


def module(path: Path, name: str) -> ModuleType:
    """Imports one file of the checkout without its package, whose other imports are not needed."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    imported = importlib.util.module_from_spec(spec)
    sys.modules[name] = imported
    spec.loader.exec_module(imported)
    return imported


@torch.no_grad()
def published(checkout: Path, arch: str) -> dict[str, torch.Tensor]:
    """Returns what the published code computes."""
    model_file, header_file = (
        module(checkout / "clip/model.py", "published_clip"),
        module(checkout / "modules/video_clip.py", "published_header"),
    )
    clip = rc.clip_state(arch)
    model = model_file.build_model({k: v.clone() for k, v in clip.items()}).float()
    model.load_state_dict(clip)
    model.eval()
    size = model.visual.input_resolution
    text = torch.from_numpy(tokenize(SENTENCES))
    category, words = model.encode_text(text, return_token=True)
    pictures = rc.different_pictures(model.encode_image, size, WINDOW)
    v = model.encode_image(rc.normalised(pictures))[None]
    out = {"pictures": pictures, "embeddings": v[0], "category": category, "words": words}
    for header in ("None", "Transf"):
        for interaction in ("VCS", "DP"):
            head = header_file.video_header(header, interaction, clip)
            head.load_state_dict(rc.header_state(arch) if header == "Transf" else {})
            out[f"s_v.{interaction}.{header}".lower()] = head.eval()(v, words, category)[0]
            out[f"aggregated.{header}".lower()] = head.agg_video_feat(v)[0]
    heads = header_file.sentence_text_logit(clip)
    heads.load_state_dict(rc.attribute_state(arch))
    sentence, _ = model.encode_text(torch.from_numpy(tokenize([ATTRIBUTE_SENTENCE])))
    out["sentence"] = sentence[0]
    out["s_a.trained"] = heads(scoring.unit(category), scoring.unit(sentence))[0]
    return out


@torch.no_grad()
def exporter(arch: str, pictures: torch.Tensor) -> dict[str, torch.Tensor]:
    """Returns the same from the exporter's loader and arithmetic."""
    with tempfile.TemporaryDirectory() as folder:
        video = load(rc.save(Path(folder) / "v.pt", "bike", arch, header=True))
        attribute = load(rc.save(Path(folder) / "a.pt", "bike-attributes", arch))
    v = towers.encode_frames(video, rc.normalised(pictures))
    sentence, words = towers.encode_words(video, tokenize(SENTENCES))
    category, words = torch.from_numpy(sentence), torch.from_numpy(words)
    out = {"embeddings": v, "category": category, "words": words}
    for header, h in (("none", v), ("transf", towers.temporal(video, v[None])[0])):
        out[f"aggregated.{header}"] = h
        out[f"s_v.vcs.{header}"] = scoring.concept_spotting(h, words, category)
        out[f"s_v.dp.{header}"] = scoring.dot_product(h, category)
    e_a = torch.from_numpy(towers.encode_sentences(attribute, tokenize([ATTRIBUTE_SENTENCE])))[0]
    out["sentence"] = e_a
    out["s_a.trained"] = scoring.attribute_scores(e_a, category, attribute.heads)
    return out


def main() -> int:
    """Prints all differences. Returns 1 if one is too large or a wrong method is too near."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, help="checkout of BIKE")
    parser.add_argument("--arch", choices=rc.SIZES, default="tiny", help="default: %(default)s")
    parser.add_argument("--goldens", type=Path, help="file for the published code's numbers (default: none)")
    a = parser.parse_args()
    torch.set_num_threads(2)
    expected = published(a.checkout, a.arch)
    found = exporter(a.arch, expected["pictures"])
    frames = scoring.unit(expected["aggregated.transf"])
    cosine = frames @ frames.T - 2 * torch.eye(WINDOW)
    print(f"{a.arch}, BIKE at {COMMIT}; largest cosine of two frames after the header: {cosine.max():.3f}")
    ok = bool(cosine.max() < 0.5)
    for name, value in expected.items():
        if name == "pictures":
            continue
        change, size = float((found[name] - value).abs().max()), float(value.abs().max())
        scores = name.startswith("s_")
        ok &= change <= (TOLERANCE if scores else TOLERANCE * max(size, 1))
        print(f"  {name:<20} largest difference {change:.2e}" + ("" if scores else f" of {size:.1f}"))
    for name, value in wrong_methods(
        *(found[k] for k in ("aggregated.transf", "embeddings", "words", "category"))
    ).items():
        change = float((value - expected["s_v.vcs.transf"]).abs().max())
        ok &= change >= 10 * TOLERANCE
        print(f"  wrong: {name:<30} {change:.2e}")
    if a.goldens:
        a.goldens.parent.mkdir(parents=True, exist_ok=True)
        goldens = {k: v.contiguous() for k, v in expected.items() if k not in ("words", "aggregated.none")}
        save_file(
            goldens,
            a.goldens,
            metadata={"source": f"whwu95/BIKE {COMMIT}, checks/published.py, random weights {a.arch}"},
        )
    print("agrees" if ok else "DIFFERS")
    return 0 if ok else 1


if __name__ == "__main__":
    raise SystemExit(main())

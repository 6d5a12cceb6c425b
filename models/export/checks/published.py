"""Compares our arithmetic with BIKE's published code, and writes the goldens that the tests use.

    git clone https://github.com/whwu95/BIKE && git -C BIKE checkout e8f6a8b
    python checks/published.py BIKE --goldens tests/data/published.safetensors

The published code is imported from that checkout and not copied. Weights are random (tests/random_checkpoints.py
says how), and frames differ from each other, so that a wrong method shows: five are tried, and each must miss by ten
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

import random_checkpoints as rc  # noqa: E402
from bike_export.checkpoint import load  # noqa: E402
from bike_export.model import recognise, towers  # noqa: E402
from bike_export.text.tokenizer import tokenize  # noqa: E402

COMMIT = "e8f6a8b"
TOLERANCE = 1e-5
NAMES = [
    "archery",
    "jumping, running",
    "playing the piano",
    "cooking an egg",
    "abseiling",
    "washing hair",
    "ice skating",
]
ATTRIBUTES = "a bow,a rope,a piano,a pan,an egg"
WINDOW = 8


def module(path: Path, name: str) -> ModuleType:
    """One file of the checkout as a module, without its package (whose other imports are not needed)."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    found = importlib.util.module_from_spec(spec)
    sys.modules[name] = found
    spec.loader.exec_module(found)
    return found


@torch.no_grad()
def published(checkout: Path, arch: str) -> dict[str, torch.Tensor]:
    """What the published code computes."""
    model_file, header_file = (
        module(checkout / "clip/model.py", "published_clip"),
        module(checkout / "modules/video_clip.py", "published_header"),
    )
    clip = rc.clip_state(arch)
    model = model_file.build_model({k: v.clone() for k, v in clip.items()}).float()
    model.load_state_dict(clip)
    model.eval()
    size = model.visual.input_resolution
    text = torch.from_numpy(tokenize([f"This is a video about {n}" for n in NAMES]))
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
    sentence, _ = model.encode_text(torch.from_numpy(tokenize([f"This is a video about {ATTRIBUTES}"])))
    out["sentence"] = sentence[0]
    out["s_a.trained"] = heads(recognise.unit(category), recognise.unit(sentence))[0]
    return out


@torch.no_grad()
def ours(arch: str, pictures: torch.Tensor) -> dict[str, torch.Tensor]:
    """The same through our loader and arithmetic."""
    with tempfile.TemporaryDirectory() as folder:
        video = load(rc.save(Path(folder) / "v.pt", "bike", arch, header=True))
        attribute = load(rc.save(Path(folder) / "a.pt", "bike-attributes", arch))
    v = towers.encode_frames(video, rc.normalised(pictures))
    sentence, words = towers.encode_words(video, tokenize([f"This is a video about {n}" for n in NAMES]))
    category, words = torch.from_numpy(sentence), torch.from_numpy(words)
    out = {"embeddings": v, "category": category, "words": words}
    for header, h in (("none", v), ("transf", towers.temporal(video, v[None])[0])):
        out[f"aggregated.{header}"] = h
        out[f"s_v.vcs.{header}"] = recognise.concept_spotting(h, words, category)
        out[f"s_v.dp.{header}"] = recognise.dot_product(h, category)
    e_a = torch.from_numpy(towers.encode_sentences(attribute, tokenize([f"This is a video about {ATTRIBUTES}"])))[0]
    out["sentence"] = e_a
    out["s_a.trained"] = recognise.attribute_scores(e_a, category, attribute.heads)
    return out


def mutants(found: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """S_V with the header by five wrong methods: each must differ from the published one."""
    h, plain, words, category = (found[k] for k in ("aggregated.transf", "embeddings", "words", "category"))
    ends = torch.from_numpy(tokenize([f"This is a video about {n}" for n in NAMES])).argmax(-1)
    unmasked = (torch.arange(words.shape[1])[None] <= ends[:, None]).float()
    video = recognise.unit(recognise.saliency(h, words) @ recognise.unit(h))
    return {
        "mean pooling": recognise.dot_product(h, category),
        "doubled temperature": recognise.concept_spotting(h, words, category, tau=0.02),
        "padding masked": recognise.concept_spotting(h, words, category, unmasked),
        "video vector normalised again": (video * recognise.unit(category)).sum(-1),
        "header without its residual": recognise.concept_spotting(h - plain, words, category),
    }


def main() -> int:
    """Prints all differences; 1 if one is too large or a wrong method passes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--arch", choices=rc.SIZES, default="tiny")
    parser.add_argument("--goldens", type=Path, help="write the published code's numbers here")
    a = parser.parse_args()
    torch.set_num_threads(2)
    theirs = published(a.checkout, a.arch)
    found = ours(a.arch, theirs["pictures"])
    near = recognise.unit(theirs["aggregated.transf"])
    near = near @ near.T - 2 * torch.eye(WINDOW)
    print(f"{a.arch}, BIKE at {COMMIT}; cosine of two frames after the header: {near.max():.3f} at most")
    ok = bool(near.max() < 0.5)
    for name, value in theirs.items():
        if name == "pictures":
            continue
        change, size = float((found[name] - value).abs().max()), float(value.abs().max())
        scores = name.startswith("s_")
        ok &= change <= (TOLERANCE if scores else TOLERANCE * max(size, 1))
        print(f"  {name:<20} largest difference {change:.2e}" + ("" if scores else f" of {size:.1f}"))
    for name, value in mutants(found).items():
        change = float((value - theirs["s_v.vcs.transf"]).abs().max())
        ok &= change >= 10 * TOLERANCE
        print(f"  wrong: {name:<30} {change:.2e}")
    if a.goldens:
        a.goldens.parent.mkdir(parents=True, exist_ok=True)
        kept = {k: v.contiguous() for k, v in theirs.items() if k not in ("words", "aggregated.none")}
        save_file(
            kept, a.goldens, metadata={"source": f"whwu95/BIKE {COMMIT}, checks/published.py, random weights {a.arch}"}
        )
    print("agrees" if ok else "DIFFERS")
    return 0 if ok else 1


if __name__ == "__main__":
    raise SystemExit(main())

"""New categories for a bundle that is there, without making its graphs again."""

import shutil
import tomllib
from pathlib import Path

import onnx

from ..bundle import BundleWriter, refuse_existing, sha256
from ..checkpoint import Checkpoint, load
from ..progress import say
from ..text.lists import read_labels, read_prompts, refuse_same
from . import attributes, card, fidelity
from .options import Options, Settings, check_numbers
from .pipeline import category_tables, today
from .windows import find_clips, make

REPLACED = ("categories.txt", "categories.safetensors", "README.md")


def source_of(graph: Path) -> dict[str, str]:
    """What a graph says about itself."""
    return {p.key: p.value for p in onnx.load(str(graph), load_external_data=False).metadata_props}


def precision_of(graph: Path) -> str:
    """The precision that a graph was written in, by what it holds."""
    loaded = onnx.load(str(graph), load_external_data=False)
    if any(n.op_type == "MatMulInteger" for n in loaded.graph.node):
        return "int8"
    halves = sum(t.data_type == onnx.TensorProto.FLOAT16 for t in loaded.graph.initializer)
    return "fp16" if halves > len(loaded.graph.initializer) / 2 else "fp32"


def read_manifest(bundle: Path) -> dict:
    """bundle.toml, after its files were found to be the ones it lists."""
    manifest = tomllib.loads((bundle / "bundle.toml").read_text(encoding="utf-8"))
    for name, entry in manifest["files"].items():
        if Path(name).name != name or not (bundle / name).is_file() or sha256(bundle / name) != entry["sha256"]:
            raise ValueError(f"{bundle / name}: missing, or another file than bundle.toml lists")
    return manifest


def same_source(bundle: Path, c: Checkpoint, graph: str = "visual.onnx") -> None:
    """Refuses a checkpoint that the bundle's graph was not made from: its texts would not fit."""
    stated = source_of(bundle / graph).get("source_sha256")
    if stated != c.sha256:
        raise ValueError(
            f"{c.path}: not the checkpoint {bundle} was made from (sha256 {c.sha256[:16]}, and {graph} names {str(stated)[:16]})"
        )


def relabel(
    bundle: Path,
    checkpoint: Path,
    labels: Path,
    out: Path,
    *,
    force: bool,
    name: str | None,
    prompts: list[str] | None,
    activation: str | None,
    attribute_checkpoint: Path | None,
    exact_words: bool,
    word_bound: float,
    frames: list[Path],
) -> dict[str, float]:
    """Makes the bundle at `out`; returns the figures of its new tables."""
    refuse_existing(out, force)
    manifest = read_manifest(bundle)
    names, prompts = read_labels(labels), read_prompts(prompts or manifest["model"].get("prompts"))
    refuse_same(labels, names, prompts[0])
    clips = find_clips(frames)
    video = load(checkpoint, activation)
    same_source(bundle, video)
    m, p = manifest["model"], manifest["preprocess"]
    o = Options(
        checkpoint,
        out,
        labels,
        name=name,
        attribute_checkpoint=attribute_checkpoint,
        activation=activation,
        prompts=prompts,
        word_bound=word_bound,
    )
    check_numbers(o)
    branch = attributes.read_branch(o, video)
    heads_before = b"category_attribute" in (bundle / "categories.safetensors").read_bytes()[:65536]
    if heads_before and not branch.trained:
        raise ValueError(f"{bundle}: was made with trained attribute heads: add --attribute-checkpoint FILE")
    if branch.trained and not heads_before:
        raise ValueError(f"{bundle}: was made without trained attribute heads: leave --attribute-checkpoint out")
    if branch.trained and (bundle / "composer.onnx").is_file():
        same_source(bundle, branch.sentence, "composer.onnx")
    s = Settings(
        m["window"], m["header"], m["interaction"], p["crop"], p["resize"], m.get("attributes_top_k", 5), m["lambda"]
    )
    windows = make(video, s, clips)
    categories = category_tables(
        video,
        branch,
        names,
        prompts,
        windows,
        interaction=s.interaction,
        precision=precision_of(bundle / "visual.onnx"),
        exact_words=exact_words,
        bound=word_bound,
    )
    m["prompts"] = prompts
    with BundleWriter(out) as b:
        for file in manifest["files"]:
            if file not in REPLACED:
                shutil.copyfile(bundle / file, b.path(file))
        b.names("categories.txt", names)
        b.tables("categories.safetensors", categories.tensors)
        figures = fidelity.measure(b.folder, m, b.listed, windows, categories.scores) | categories.figures
        head = {k: manifest[k] for k in ("version", "licence")}
        head = {
            "name": name or out.name,
            **head,
            "provenance": f"{manifest['provenance']}; new categories on {today()}",
        }
        old_card = (bundle / "README.md").read_text(encoding="utf-8") if (bundle / "README.md").is_file() else ""
        note = f"\n## New categories\n\nThis bundle is `{manifest['name']}` with {len(names)} other categories ({head['provenance']}); what is said of categories, S_V and attribute sentences above is of the old ones. Measured for the new ones:\n\n"
        note += card.table(figures)
        b.path("README.md").write_text(old_card + note, encoding="utf-8")
        defaults = {k: v for k, v in manifest.get("defaults", {}).items() if k != "background"}
        # How well attribute sentences are made up was judged on the old categories.
        old = {k: v for k, v in manifest.get("quality", {}).items() if not k.startswith(("composer_", "phrase_mean_"))}
        size = b.finish(head, model=m, preprocess=p, defaults=defaults, quality=old | figures)
    say(f"wrote {out}: {size / 1e6:.1f} MB")
    return figures

"""Makes a bundle with new categories from an existing bundle, without making its graphs again."""

import shutil
from pathlib import Path

from ..bundle import BundleWriter
from ..bundle_runner import BundleRunner
from . import attributes, model_card
from .categories import make_categories, measure, write_categories
from .inputs import load_checkpoint, read_inputs
from .options import Options, Settings
from .pipeline import today
from .source_bundle import precision_of, read_manifest, refuse_other_checkpoint, refuse_other_heads
from .windows import make_windows

REPLACED = ("categories.txt", "categories.safetensors", "README.md")


def settings_of(manifest: dict) -> Settings:
    """Returns the settings that a bundle was made with."""
    m, p = manifest["model"], manifest["preprocess"]
    top_k = m.get("attributes_top_k", 5)
    sizes = (m["window"], m["header"], m["interaction"], p["crop"], p["resize"])
    return Settings(*sizes, top_k, m["lambda"], p["mean"], p["std"])


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
    """Makes the bundle at `out`, which appears only when it is complete. Returns the figures of its new tables."""
    manifest = read_manifest(bundle)
    o = Options(
        checkpoint,
        out,
        labels,
        frames=frames,
        name=name,
        precision=precision_of(bundle / "visual.onnx"),
        prompts=prompts or manifest["model"].get("prompts"),
        exact_words=exact_words,
        word_bound=word_bound,
        force=force,
    )
    inputs, s = read_inputs(o), settings_of(manifest)
    video = load_checkpoint(checkpoint, activation)
    refuse_other_checkpoint(bundle, video)
    branch = attributes.read_branch(video, attribute_checkpoint=attribute_checkpoint, activation=activation)
    refuse_other_heads(bundle, BundleRunner(bundle, manifest).has_heads, branch.trained)
    if branch.trained and (bundle / "composer.onnx").is_file():
        refuse_other_checkpoint(bundle, branch.sentence, "composer.onnx")
    windows = make_windows(video, s, inputs.clips)
    categories = make_categories(video, branch, inputs, windows, s, o)
    model = manifest["model"] | {"prompts": inputs.prompts}
    with BundleWriter(out) as new:
        for file in manifest["files"]:
            if file not in REPLACED:
                shutil.copyfile(bundle / file, new.path(file))
        write_categories(new, inputs.labels, categories)
        figures = measure(new, model, windows, categories)
        head = {
            "name": name or out.name,
            "version": manifest["version"],
            "licence": manifest["licence"],
            "provenance": f"{manifest['provenance']}; new categories on {today()}",
        }
        card = (bundle / "README.md").read_text(encoding="utf-8") if (bundle / "README.md").is_file() else ""
        card += (
            f"\n## New categories\n\nThis bundle is `{manifest['name']}` with {len(inputs.labels)} other categories "
            f"({head['provenance']}). The statements above about categories, S_V and attribute sentences are about the "
            "old categories. Measured for the new ones:\n\n"
            f"{model_card.figure_table(figures)}\n{model_card.file_table(new.folder, new.listed)}"
        )
        new.path("README.md").write_text(card, encoding="utf-8")
        files = manifest["files"]
        defaults = dict(manifest.get("defaults", {}))
        # Background categories that are not in the new bundle are left out.
        phrases = (bundle / "lexicon.txt").read_text(encoding="utf-8").splitlines() if "lexicon.txt" in files else []
        known = {*inputs.labels, *phrases}
        kept = [n for n in defaults.pop("background", []) if n in known or "text.onnx" in files]
        defaults |= {"background": kept} if kept else {}
        # Attribute sentences were evaluated on the old categories, so those figures are left out.
        quality = manifest.get("quality", {}).items()
        old_figures = {k: v for k, v in quality if not k.startswith(("composer_", "phrase_mean_"))}
        new.finish(
            head, model=model, preprocess=manifest["preprocess"], defaults=defaults, quality=old_figures | figures
        )
    return figures

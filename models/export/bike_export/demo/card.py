"""Writes the model card (README.md of the bundle) from card.md and the measured figures."""

from pathlib import Path

from ..bundle import BundleWriter


def write(bundle: BundleWriter, figures: dict[str, float]) -> None:
    """Writes README.md. `{name}` in the text is replaced by the figure `name`."""
    text = (Path(__file__).parent / "card.md").read_text(encoding="utf-8")
    for name, value in figures.items():
        text = text.replace("{" + name + "}", f"{value:g}")
    bundle.path("README.md").write_text(text, encoding="utf-8")

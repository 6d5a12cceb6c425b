"""Prints the short summary that ends an export. The model card and bundle.toml contain all figures."""

from pathlib import Path

from .check import check_bundle
from .problem import Problem


def print_summary(bundle: Path, figures: dict[str, float]) -> None:
    """Prints location, size, contents, fidelity and the next command, after a check of the finished bundle."""
    if problems := check_bundle(bundle):
        raise Problem(
            f"{bundle}: the finished bundle does not pass its own check ({'; '.join(problems)}); please report it"
        )
    size = sum(file.stat().st_size for file in bundle.iterdir())
    contents = f"{_lines(bundle / 'categories.txt')} categories"
    if (bundle / "lexicon.txt").is_file():
        contents += f", {_lines(bundle / 'lexicon.txt')} lexicon phrases"
    print(f"{bundle}: {size / 1e6:.1f} MB, {contents}; valid")
    print(f"fidelity: {_fidelity(figures)}")
    print(f"all figures: {bundle / 'README.md'}")
    print(f"next: bike-edge classify CLIP --bundle {bundle}")


def _fidelity(figures: dict[str, float]) -> str:
    """Describes in one line how near the bundle is to the model that it was made from."""
    parts = []
    if "frame_cosine_min" in figures:
        parts += [
            f"cosine of frame embeddings to the checkpoint at least {figures['frame_cosine_min']:.5f}",
            f"video scores change by at most {figures['s_v_change_max']:.1e}",
        ]
    if figures.get("composer_cosine") is not None:
        parts.append(f"cosine of the composer to the text tower {figures['composer_cosine']:.2f}")
    return ", ".join(parts)


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())

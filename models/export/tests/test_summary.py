"""An export ends in a short summary, and the model card has every figure."""

import tomllib
from pathlib import Path

import pytest

from bike_export.__main__ import main
from bike_export.export.model_card import figure_name
from bike_export.summary import print_summary


def assert_card_has_all_figures(folder: Path, card: str) -> None:
    """Asserts that a card has each figure of the manifest by its description, and the size of each other file."""
    manifest = tomllib.loads((folder / "bundle.toml").read_text())
    for key, value in manifest["quality"].items():
        assert figure_name(key) != key, f"{key} has no description"
        assert f"| {figure_name(key)} | {value:g} |" in card
    for name, entry in manifest["files"].items():
        assert name == "README.md" or f"| `{name}` | {entry['bytes']} |" in card


def test_an_export_ends_in_a_few_lines(samples, export, capsys):
    folder = export("bike", "--lexicon", str(samples["lexicon"]), "--tuples", "40")
    lines = capsys.readouterr().out.splitlines()
    size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
    assert len(lines) == 4
    assert lines[0] == f"{folder}: {size:.1f} MB, 7 categories, 12 lexicon phrases; valid"
    assert lines[1].startswith("fidelity: cosine of frame embeddings to the checkpoint at least 0.99")
    assert lines[2] == f"all figures: {folder / 'README.md'}"
    assert lines[3] == f"next: bike-edge classify CLIP --bundle {folder}"


def test_the_card_has_all_figures_and_file_sizes(samples, export):
    folder = export("bike-header", "--window", "8", "--lexicon", str(samples["lexicon"]), "--tuples", "40")
    assert_card_has_all_figures(folder, (folder / "README.md").read_text())


def test_the_card_of_a_relabelled_bundle_has_the_new_figures_and_file_sizes(samples, export, tmp_path: Path, capsys):
    folder, out = export("bike", "--no-composer"), tmp_path / "relabelled"
    capsys.readouterr()
    command = ["relabel", str(folder), str(samples["bike"]), "--labels", str(samples["labels"]), "--out", str(out)]
    assert main([*command, "--threads", "1"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert_card_has_all_figures(out, (out / "README.md").read_text().partition("## New categories")[2])


def test_the_summary_of_the_demo_has_the_composers_fidelity(capsys):
    demo = Path(__file__).resolve().parents[3] / "models" / "demo"
    print_summary(demo, tomllib.loads((demo / "bundle.toml").read_text())["quality"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and "cosine of the composer to the text tower 0." in lines[1]


def test_a_bundle_that_fails_its_check_is_a_problem(export):
    folder = export("bike", "--no-composer")
    (folder / "categories.txt").write_text("archery\n")
    with pytest.raises(ValueError, match="does not pass its own check"):
        print_summary(folder, {})

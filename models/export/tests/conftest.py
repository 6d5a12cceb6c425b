"""Fixtures: random checkpoints of tiny size, made once a run, and a way to export from them."""

import os
import sys
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import random_checkpoints  # noqa: E402

torch.set_num_threads(1)

LABELS = 'id,name\n0,archery\n1,"jumping, running"\n2,playing the piano\n3,cooking an egg\n4,abseiling\n5,washing hair\n6,ice skating\n'
LEXICON = "a bow\na rope\na piano\na pan\nan egg\nwater\nice\na dog\na tree\na street\nhair\na mountain\n"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: full-size models and the whole demo, minutes each (run with -m slow)")
    config.addinivalue_line("markers", "b32: one full-size B/32, part of the usual run")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Full-size cases run when they are asked for."""
    if not config.getoption("-m"):
        skip = pytest.mark.skip(reason="full size: pytest -m 'slow or b32'")
        for item in items:
            if "slow" in item.keywords or "b32" in item.keywords:
                item.add_marker(skip)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny checkpoint of each format, a label list and a lexicon, by name."""
    folder = tmp_path_factory.mktemp("made")
    files = {
        form: random_checkpoints.save(folder / form, form, "tiny", half_precision=form == "bike")
        for form in random_checkpoints.FORMATS
    }
    files["bike-header"] = random_checkpoints.save(folder / "bike-header", "bike", "tiny", header=True)
    files["other-clip"] = random_checkpoints.save(folder / "other-clip", "archive", "tiny-wide-48", seed=9)
    for name, text in (("labels", LABELS), ("lexicon", LEXICON)):
        files[name] = folder / f"{name}.txt"
        files[name].write_text(text)
    return files


@pytest.fixture(scope="session")
def program() -> Path:
    """The built program; BIKE_EDGE names one, and one in PATH or in target/release is found."""
    from bike_export.verify import find_binary

    named = os.environ.get("BIKE_EDGE")
    found = find_binary(Path(named) if named else None)
    if found is None:
        pytest.skip("no bike-edge here; make build")
    return found


@pytest.fixture
def export(made: dict[str, Path], tmp_path: Path):
    """export(checkpoint, *options): exports to a new folder and returns it."""
    from bike_export.__main__ import main

    def run(checkpoint: str, *options: str, labels: bool = True) -> Path:
        out = tmp_path / f"bundle{len(list(tmp_path.iterdir()))}"
        given = ["--labels", str(made["labels"])] if labels else []
        assert main([str(made.get(checkpoint, checkpoint)), *given, "--out", str(out), "--threads", "1", *options]) == 0
        return out

    return run

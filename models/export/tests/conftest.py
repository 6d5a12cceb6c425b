"""Fixtures: tiny random checkpoints, made once per run, and a function that exports from them."""

import os
import sys
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import random_checkpoints

torch.set_num_threads(1)

LABELS = """id,name
0,archery
1,"jumping, running"
2,playing the piano
3,cooking an egg
4,abseiling
5,washing hair
6,ice skating
"""
LEXICON = "a bow\na rope\na piano\na pan\nan egg\nwater\nice\na dog\na tree\na street\nhair\na mountain\n"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: full-size models and the whole demo, minutes each (run with -m slow)")
    config.addinivalue_line("markers", "b32: one full-size B/32, part of the usual run")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skips full-size cases unless a marker expression selects them."""
    if not config.getoption("-m"):
        skip = pytest.mark.skip(reason="full size; run with pytest -m 'slow or b32'")
        for item in items:
            if "slow" in item.keywords or "b32" in item.keywords:
                item.add_marker(skip)


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Returns a tiny checkpoint of each format, a label list and a lexicon, by name."""
    folder = tmp_path_factory.mktemp("samples")
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
    """Returns the built bike-edge: the one in BIKE_EDGE, else in PATH, else in target/release."""
    from bike_export.verify import find_binary

    path = os.environ.get("BIKE_EDGE")
    program = find_binary(Path(path) if path else None)
    if program is None:
        pytest.skip("bike-edge is not built; run make build")
    return program


@pytest.fixture
def export(samples: dict[str, Path], tmp_path: Path):
    """Returns export(checkpoint, *options), which exports to a new folder and returns it."""
    from bike_export.__main__ import main

    def run(checkpoint: str, *options: str, labels: bool = True) -> Path:
        out = tmp_path / f"bundle{len(list(tmp_path.iterdir()))}"
        inputs = ["--labels", str(samples["labels"])] if labels else []
        assert (
            main([str(samples.get(checkpoint, checkpoint)), *inputs, "--out", str(out), "--threads", "1", *options])
            == 0
        )
        return out

    return run

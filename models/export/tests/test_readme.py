"""The examples of README.md and docs/export.md run as written, on tiny checkpoints with the names in the examples."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

import random_checkpoints as rc
from bike_export.__main__ import main

ROOT = Path(__file__).resolve().parents[3]
CONFIG = """
data: {dataset: k400, num_segments: 8, input_size: 224, image_tmpl: 'img_{:05d}.jpg'}
network: {arch: ViT-B/16, sim_header: Transf, interaction: VCS, joint_st: False}
"""


def commands(page: str, heading: str) -> list[list[str]]:
    """Returns the commands in a section's code blocks: one per line or joined by a backslash, without comments."""
    section = (ROOT / page).read_text(encoding="utf-8").split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    blocks = "\n".join(re.findall(r"```\n(.*?)```", section, re.DOTALL)).replace("\\\n", " ")
    return [words for line in blocks.splitlines() if (words := shlex.split(line, comments=True))]


@pytest.fixture
def example_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Enters a folder with every file that the examples name."""
    rc.save(tmp_path / "ViT-B-32.pt", "archive", "tiny-224")
    rc.save(tmp_path / "k400-vitb-16-f8.pt", "bike", "tiny-224", header=True, half_precision=True)
    files = {
        "configs/k400/k400_train_rgb_vitb-16-f8.yaml": CONFIG,
        "lists/k400/kinetics_400_labels.csv": "id,name\n0,abseiling\n1,air drumming\n2,answering questions\n",
        "my.csv": "id,name\n0,opening a door\n1,closing a door\n",
        "other.csv": "id,name\n0,sweeping\n1,mopping\n2,ironing\n",
        "phrases.txt": "a door\na broom\na mop\nan iron\na key\na handle\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "clips").mkdir()
    for clip in ("clip.mp4", "clips/one.mp4"):
        shutil.copyfile(ROOT / "tests" / "data" / "clip.mp4", tmp_path / clip)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "bike_export.export.fit_composer.TUPLES", 20
    )  # trains a composer quickly, which may be a bad one
    return tmp_path


@pytest.mark.parametrize(
    ("page", "heading"), [("README.md", "Use your own checkpoint"), ("docs/export.md", "Three examples")]
)
def test_examples_run_as_written(program: Path, example_folder: Path, page: str, heading: str, monkeypatch):
    if not shutil.which("ffmpeg"):
        pytest.skip("ffmpeg is not installed, and the examples compare on a video")
    monkeypatch.setenv("PATH", f"{program.parent}:{Path('/usr/bin')}:{Path('/bin')}")
    found = commands(page, heading)
    exports = [c for c in found if c[:3] == ["python", "-m", "bike_export"]]
    assert len(exports) >= 3
    for command in found:
        if command in exports:
            assert main([*command[3:], "--threads", "1"]) == 0, command
        elif command[0] == "bike-edge":
            done = subprocess.run([program, *command[1:], "--json"], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["results"]
        else:
            pytest.fail(f"unknown command in {page}: {command}")

"""A disk that is full, or a program that is ended, leaves nothing half-written."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

EXPORTER = Path(__file__).resolve().parent.parent
COMMAND = [sys.executable, "-m", "bike_export"]


@pytest.mark.parametrize("room", [100_000, 700_000])
def test_a_full_disk_is_said_and_leaves_nothing(made, tmp_path: Path, room: int):
    """No file can grow past `room` bytes, so a write fails midway: of a graph, or of the composer."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    given = ["--labels", made["labels"], "--lexicon", made["lexicon"], "--tuples", "20", "--threads", "1"]
    command = [*COMMAND, made["bike"], *given, "--out", tmp_path / "out" / "bundle"]
    done = subprocess.run(command, cwd=EXPORTER, preexec_fn=limit, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "error:" in done.stderr and "too large" in done.stderr and "Traceback" not in done.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_an_export_that_is_ended_leaves_nothing(made, tmp_path: Path):
    given = ["--labels", made["labels"], "--lexicon", made["lexicon"], "--tuples", "4000", "--threads", "1"]
    child = subprocess.Popen(
        [*COMMAND, made["bike"], *given, "--out", tmp_path / "out" / "bundle"],
        cwd=EXPORTER,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    assert child.stderr
    for line in child.stderr:
        if b"graphs written" in line:
            break
    assert len(list((tmp_path / "out").iterdir())) == 1
    time.sleep(0.1)
    child.send_signal(signal.SIGTERM)
    child.stderr.read()
    assert child.wait(60) == 143
    assert list((tmp_path / "out").iterdir()) == []

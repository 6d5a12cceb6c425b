"""A full disk or a terminated export leaves no incomplete bundle behind."""

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


@pytest.mark.parametrize("limit_bytes", [100_000, 700_000])
def test_a_full_disk_is_reported_and_leaves_nothing(samples, tmp_path: Path, limit_bytes: int):
    """No file can be larger than the limit, so that writing fails in the middle of a graph or of the composer."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    inputs = ["--labels", samples["labels"], "--lexicon", samples["lexicon"], "--tuples", "20", "--threads", "1"]
    command = [*COMMAND, samples["bike"], *inputs, "--out", tmp_path / "out" / "bundle"]
    done = subprocess.run(command, cwd=EXPORTER, preexec_fn=limit, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"error: {tmp_path}") and "the file is too large" in last and "Traceback" not in done.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_a_terminated_export_leaves_nothing(samples, tmp_path: Path):
    inputs = ["--labels", samples["labels"], "--lexicon", samples["lexicon"], "--tuples", "4000", "--threads", "1"]
    child = subprocess.Popen(
        [*COMMAND, samples["bike"], *inputs, "--out", tmp_path / "out" / "bundle"],
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

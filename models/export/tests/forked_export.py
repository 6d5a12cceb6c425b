"""Runs the exporter in a process of its own, forked from one that has imported everything but huggingface_hub.

huggingface_hub reads its environment when it is imported. Importing torch in every process takes seconds.
"""

import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import bike_export.export.pipeline  # noqa: F401
import bike_export.summary  # noqa: F401
from bike_export.__main__ import main

HERE = Path(__file__).resolve().parent
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload([__name__])


def _child(argv: list[str], environment: dict[str, str], limit: int | None, output: str) -> None:
    assert "huggingface_hub" not in sys.modules
    with open(output, "wb") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    os.environ.clear()
    os.environ.update(environment)
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    sys.exit(main(argv))


def run(argv: list[str], environment: dict[str, str], limit: int | None = None) -> subprocess.CompletedProcess:
    """Runs the exporter and returns its status and what it printed. `limit` is the size of a file at which it fails."""
    path = os.pathsep.join([str(HERE), str(HERE.parent)])
    os.environ["PYTHONPATH"], before = path, os.environ.get("PYTHONPATH")
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "output"
        process = CONTEXT.Process(target=_child, args=(argv, environment, limit, str(output)))
        try:
            process.start()
        finally:
            del os.environ["PYTHONPATH"]
            if before is not None:
                os.environ["PYTHONPATH"] = before
        process.join(300)
        if process.exitcode is None:
            process.kill()
        return subprocess.CompletedProcess(argv, process.exitcode, "", output.read_text())

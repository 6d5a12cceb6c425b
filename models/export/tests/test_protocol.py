"""bike-edge runs the whole protocol, from a clip to scores, as PyTorch and torchvision do (reference_pipeline.py)."""

import functools
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import random_checkpoints as rc
import reference_pipeline as reference
from bike_export.checkpoint import Checkpoint, load
from bike_export.model.frames import frames as decoded
from published_case import NAMES
from reference_pipeline import ClipScores, Protocol
from running_binary import classify
from small_clips import drifting_pictures, save_gif, save_pictures
from test_bundles import EXACT

DATA = Path(__file__).resolve().parents[3] / "tests" / "data"
VIDEOS = ["clip", "sources/bframes", "sources/uneven", "sources/rotated", "sources/edited"]
TOLERANCE = 2e-3  # of S_V, for the rounding of another decoder and resize
WIDE, TALL, LONG = "wide gif of 41 frames", "tall pictures, fewer than a window", "150 pictures"
PROTOCOLS = {
    "one view": Protocol(),
    "four views, three crops": Protocol(views=4, crops=3),
    "dense, two views": Protocol(views=2, dense=True),
    "dense, one view, three crops": Protocol(crops=3, dense=True),
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a checkpoint with a header and 224 pixels, as BIKE's own protocol has."""
    return rc.save(tmp_path_factory.mktemp("protocol") / "c.pt", "bike", "tiny-224", header=True)


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> Checkpoint:
    return load(checkpoint)


@pytest.fixture(scope="module")
def bundles(checkpoint: Path, samples, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Returns the exact bundle for each interaction."""
    from bike_export.__main__ import main

    out = {i: tmp_path_factory.mktemp("bundles") / i for i in ("vcs", "dp")}
    for interaction, folder in out.items():
        command = [
            str(checkpoint),
            "--labels",
            str(samples["labels"]),
            "--out",
            str(folder),
            "--interaction",
            interaction,
        ]
        assert main([*command, *EXACT, "--window", "8", "--threads", "1"]) == 0
    return out


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, list[Image.Image]]]:
    """Returns a function from a name to a clip and its decoded frames.

    Clips of the repository need ffmpeg to be decoded here; the others are generated.
    """
    folder = tmp_path_factory.mktemp("clips")

    @functools.cache
    def get(name: str) -> tuple[Path, list[Image.Image]]:
        if name in VIDEOS:
            if not shutil.which("ffmpeg"):
                pytest.skip("ffmpeg is not installed, and Pillow cannot read videos")
            path = DATA / f"{name}.mp4"
        elif name == WIDE:
            path = save_gif(drifting_pictures((331, 187), 41, 1), folder / "wide.gif")
        elif name == TALL:
            path = save_pictures(drifting_pictures((240, 427), 5, 2), folder / "tall")
        else:
            path = save_pictures(drifting_pictures((300, 300), 150, 3), folder / "long")
        return path, list(decoded(path))

    return get


@pytest.fixture(scope="module")
def truth(clips, model: Checkpoint) -> Callable[[str, Protocol, str], ClipScores]:
    """Returns a function from a clip's name to PyTorch's scores. Each clip is encoded once."""

    @functools.cache
    def views(name: str, p: Protocol) -> reference.Views:
        return reference.encode(model, clips(name)[1], 8, p)

    return lambda name, p, interaction: reference.score(model, NAMES, views(name, p), interaction)


def agree(found, truth: ClipScores, tolerance: float = TOLERANCE) -> None:
    """Asserts that frames are equal, and S_V and scores within the tolerance."""
    assert found.frames == truth.frames
    change = float(np.abs(found.s_v - truth.s_v).max())
    print(f"S_V {change:.1e}, scores {np.abs(found.score - truth.mean).max():.1e}")
    assert change < tolerance
    # A softmax without scale over K = 7 changes by a seventh of its input's change.
    assert np.abs(found.score - truth.mean).max() < tolerance / 4
    final = np.exp(found.score) / np.exp(found.score).sum()
    assert np.abs(final - truth.final).max() < tolerance / 4


@pytest.mark.parametrize(
    ("protocol", "interaction"), [*((p, "vcs") for p in PROTOCOLS), ("four views, three crops", "dp")]
)
@pytest.mark.parametrize("name", ["clip", WIDE, TALL, LONG])
def test_whole_clips_have_the_scores_of_pytorch(
    program: Path, bundles, clips, truth, name: str, protocol: str, interaction: str
):
    p = PROTOCOLS[protocol]
    agree(classify(program, bundles[interaction], clips(name)[0], *p.flags), truth(name, p, interaction))


@pytest.mark.parametrize("name", VIDEOS[1:])
def test_unusual_videos_have_the_scores_of_pytorch(program: Path, bundles, clips, truth, name: str):
    """B-frames, uneven times, a rotation, an edit list. The pictures are small, so all are enlarged."""
    p = PROTOCOLS["one view"]
    agree(classify(program, bundles["vcs"], clips(name)[0], *p.flags), truth(name, p, "vcs"))


def wrong_protocols(p: Protocol) -> dict[str, Protocol]:
    return {
        "CLIP's own resize": Protocol(p.views, p.crops, p.dense, resize=224),
        "centre crop only": Protocol(p.views, 1, p.dense),
        "one view": Protocol(1, p.crops, p.dense),
        "dense": Protocol(p.views, p.crops, not p.dense),
    }


def test_wrong_protocols_differ_by_ten_times_the_tolerance(program: Path, bundles, clips, truth):
    p, near = PROTOCOLS["four views, three crops"], TOLERANCE / 2
    found = classify(program, bundles["vcs"], clips(WIDE)[0], *p.flags)
    agree(found, truth(WIDE, p, "vcs"), near)
    for name, wrong in wrong_protocols(p).items():
        change = np.abs(truth(WIDE, wrong, "vcs").s_v - found.s_v).max()
        print(f"{name}: {change:.1e}")
        assert change > 10 * near, name


def test_eval_ranks_by_scores_after_both_softmaxes(program: Path, bundles, clips, truth, tmp_path: Path):
    """Runs `eval` over clips, each labelled with the category whose score is farthest from the next ones."""
    p, expected, lines = PROTOCOLS["four views, three crops"], [], []
    for name in (WIDE, TALL, LONG):
        final = truth(name, p, "vcs").final
        order = np.argsort(-final)
        gaps = -np.diff(final[order])
        isolation = np.minimum(np.append(gaps, np.inf), np.insert(gaps, 0, np.inf))
        rank = int(isolation.argmax())
        expected.append(rank + 1)
        lines.append(f"{clips(name)[0]} {order[rank]}\n")
    (tmp_path / "list.txt").write_text("".join(lines))
    command = [program, "eval", tmp_path / "list.txt", "--root", "/", "--bundle", bundles["vcs"], *p.flags]
    done = subprocess.run([*command, "--json", tmp_path / "r.json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [a["rank"] for a in json.loads((tmp_path / "r.json").read_text())["answers"]] == expected

"""The whole protocol, from a clip to scores, in the program and in PyTorch with torchvision (reference_pipeline.py)."""

import functools
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import random_checkpoints as rc
import reference_pipeline as reference
from asking import ask, drifting, save_gif, save_stills
from bike_export.checkpoint import Checkpoint, load
from bike_export.model.frames import frames as decoded
from PIL import Image
from reference_pipeline import Protocol, Tested
from test_bundles import EXACT

DATA = Path(__file__).resolve().parents[3] / "tests" / "data"
VIDEOS = ["clip", "sources/bframes", "sources/uneven", "sources/rotated", "sources/edited"]
TOLERANCE = 2e-3  # of S_V: another decoder's and resize's rounding
WIDE, TALL, LONG = "wide gif of 41 frames", "tall stills, fewer than a window", "150 stills"
PROTOCOLS = {
    "one view": Protocol(),
    "four views, three crops": Protocol(views=4, crops=3),
    "dense, two views": Protocol(views=2, dense=True),
    "dense, one view, three crops": Protocol(crops=3, dense=True),
}
NAMES = ["archery", "jumping, running", "playing the piano", "cooking an egg", "abseiling", "washing hair", "ice skating"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a header, frames of 224: the sizes of BIKE's own protocol."""
    return rc.save(tmp_path_factory.mktemp("protocol") / "c.pt", "bike", "tiny-224", header=True)


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> Checkpoint:
    return load(checkpoint)


@pytest.fixture(scope="module")
def bundles(checkpoint: Path, made, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The exact bundle, for each interaction."""
    from bike_export.__main__ import main

    out = {i: tmp_path_factory.mktemp("bundles") / i for i in ("vcs", "dp")}
    for interaction, folder in out.items():
        command = [str(checkpoint), "--labels", str(made["labels"]), "--out", str(folder), "--interaction", interaction]
        assert main([*command, *EXACT, "--window", "8", "--threads", "1"]) == 0
    return out


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, list[Image.Image]]]:
    """A clip by name, and its decoded frames: one of the repository, which needs ffmpeg to be read here, or one that is
    drawn."""
    folder = tmp_path_factory.mktemp("clips")

    @functools.cache
    def get(name: str) -> tuple[Path, list[Image.Image]]:
        if name in VIDEOS:
            if not shutil.which("ffmpeg"):
                pytest.skip("no ffmpeg here, and Pillow reads no video")
            path = DATA / f"{name}.mp4"
        elif name == WIDE:
            path = save_gif(drifting((331, 187), 41, 1), folder / "wide.gif")
        elif name == TALL:
            path = save_stills(drifting((240, 427), 5, 2), folder / "tall")
        else:
            path = save_stills(drifting((300, 300), 150, 3), folder / "long")
        return path, list(decoded(path))

    return get


@pytest.fixture(scope="module")
def truth(clips, model: Checkpoint) -> Callable[[str, Protocol, str], Tested]:
    """PyTorch's scores of a clip by name, encoded once."""

    @functools.cache
    def views(name: str, p: Protocol) -> reference.Views:
        return reference.encode(model, clips(name)[1], 8, p)

    return lambda name, p, interaction: reference.score(model, NAMES, views(name, p), interaction)


def agree(found, truth: Tested, tolerance: float = TOLERANCE) -> None:
    """Frames identical, S_V and scores within the tolerance, and the order where scores are farther apart than that."""
    assert found.frames == truth.frames
    change = float(np.abs(found.s_v - truth.s_v).max())
    print(f"S_V {change:.1e}, scores {np.abs(found.score - truth.mean).max():.1e}")
    assert change < tolerance
    # A softmax without scale over K = 7 moves by a seventh of what goes in.
    assert np.abs(found.score - truth.mean).max() < tolerance / 4
    final = np.exp(found.score) / np.exp(found.score).sum()
    assert np.abs(final - truth.final).max() < tolerance / 4


@pytest.mark.parametrize(
    ("protocol", "interaction"), [*((p, "vcs") for p in PROTOCOLS), ("four views, three crops", "dp")]
)
@pytest.mark.parametrize("name", ["clip", WIDE, TALL, LONG])
def test_whole_clips_score_as_in_pytorch(
    program: Path, bundles, clips, truth, name: str, protocol: str, interaction: str
):
    p = PROTOCOLS[protocol]
    agree(ask(program, bundles[interaction], clips(name)[0], *p.flags), truth(name, p, interaction))


@pytest.mark.parametrize("name", VIDEOS[1:])
def test_odd_videos_score_as_in_pytorch(program: Path, bundles, clips, truth, name: str):
    """B pictures, uneven times, a rotation, an edit list; small pictures, so all are enlarged."""
    p = PROTOCOLS["one view"]
    agree(ask(program, bundles["vcs"], clips(name)[0], *p.flags), truth(name, p, "vcs"))


def wrong_protocols(p: Protocol) -> dict[str, Protocol]:
    return {
        "CLIP's own resize": Protocol(p.views, p.crops, p.dense, resize=224),
        "centre crop alone": Protocol(p.views, 1, p.dense),
        "one view": Protocol(1, p.crops, p.dense),
        "dense": Protocol(p.views, p.crops, not p.dense),
    }


def test_wrong_protocols_miss_by_ten_times(program: Path, bundles, clips, truth):
    p, near = PROTOCOLS["four views, three crops"], TOLERANCE / 2
    found = ask(program, bundles["vcs"], clips(WIDE)[0], *p.flags)
    agree(found, truth(WIDE, p, "vcs"), near)
    for name, wrong in wrong_protocols(p).items():
        missed = np.abs(truth(WIDE, wrong, "vcs").s_v - found.s_v).max()
        print(f"{name}: {missed:.1e}")
        assert missed > 10 * near, name


def test_eval_ranks_by_the_doubly_softmaxed_scores(program: Path, bundles, clips, truth, tmp_path: Path):
    """`eval` over clips, each labelled with the category that stands farthest from its neighbours."""
    p, expected, lines = PROTOCOLS["four views, three crops"], [], []
    for name in (WIDE, TALL, LONG):
        final = truth(name, p, "vcs").final
        order = np.argsort(-final)
        gaps = -np.diff(final[order])
        alone = np.minimum(np.append(gaps, np.inf), np.insert(gaps, 0, np.inf))
        rank = int(alone.argmax())
        expected.append(rank + 1)
        lines.append(f"{clips(name)[0]} {order[rank]}\n")
    (tmp_path / "list.txt").write_text("".join(lines))
    command = [program, "eval", tmp_path / "list.txt", "--root", "/", "--bundle", bundles["vcs"], *p.flags]
    done = subprocess.run([*command, "--json", tmp_path / "r.json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [a["rank"] for a in json.loads((tmp_path / "r.json").read_text())["answers"]] == expected

"""From a clip to the frames that go in: which frames, and resize, crop and normalisation by Pillow."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

STILLS = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


def uniform_indices(n: int, window: int) -> list[int]:
    """Frame numbers for one temporal view: int(n / T * i)."""
    return [int(n / window * i) for i in range(window)]


def resized(image: Image.Image, shorter: int) -> Image.Image:
    """The shorter side made `shorter`, the longer int(shorter * long / short); bicubic with antialiasing."""
    w, h = image.size
    size = (shorter, int(shorter * h / w)) if w <= h else (int(shorter * w / h), shorter)
    return image if size == image.size else image.resize(size, Image.Resampling.BICUBIC)


def prepare(image: Image.Image, shorter: int, crop: int, mean: list[float], std: list[float]) -> np.ndarray:
    """A frame [3, S, S] f32: RGB, resized, centre crop with offsets rounded half to even, scaled, normalised."""
    image = resized(image.convert("RGB"), shorter)
    w, h = image.size
    x, y = int(round((w - crop) / 2.0)), int(round((h - crop) / 2.0))
    pixels = np.asarray(image.crop((x, y, x + crop, y + crop)), np.float32) / np.float32(255)
    return ((pixels - np.float32(mean)) / np.float32(std)).transpose(2, 0, 1).copy()


def _video_size(path: Path) -> tuple[int, int]:
    probe = subprocess.run(
        [
            "ffprobe",
            "-v",
            "error",
            "-select_streams",
            "v:0",
            "-show_entries",
            "stream=width,height:stream_side_data=rotation",
            "-of",
            "json",
            str(path),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    stream = json.loads(probe.stdout)["streams"][0]
    turned = any(abs(d.get("rotation", 0)) % 180 == 90 for d in stream.get("side_data_list", []))
    w, h = stream["width"], stream["height"]
    return (h, w) if turned else (w, h)


def frames(path: Path) -> Iterator[Image.Image]:
    """All frames of a clip in order: a folder of stills, an animated picture, or a video (through ffmpeg)."""
    if path.is_dir():
        for still in sorted(p for p in path.iterdir() if p.suffix.lower() in STILLS):
            with Image.open(still) as image:
                yield image.convert("RGB")
        return
    if path.suffix.lower() in (*STILLS, ".gif"):
        with Image.open(path) as image:
            for number in range(getattr(image, "n_frames", 1)):
                image.seek(number)
                yield image.convert("RGB")
        return
    if not shutil.which("ffmpeg") or not shutil.which("ffprobe"):
        raise FileNotFoundError(
            f"{path}: reading a video here needs ffmpeg installed; a GIF or a folder of stills does not"
        )
    try:
        w, h = _video_size(path)
    except (subprocess.CalledProcessError, LookupError, ValueError) as e:
        raise ValueError(f"{path}: not a video that ffmpeg can read") from e
    # Colours by ffmpeg's default arithmetic, which the binary's own conversion follows; its more exact one differs.
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-i",
        str(path),
        "-map",
        "0:v:0",
        "-fps_mode",
        "passthrough",
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.stdout
        while len(data := child.stdout.read(w * h * 3)) == w * h * 3:
            yield Image.frombytes("RGB", (w, h), data)


def sample(path: Path, window: int) -> tuple[list[int], list[Image.Image]]:
    """BIKE's uniform sample of a clip: frame numbers and frames, [T] each. The clip is read twice, never held."""
    count = sum(1 for _ in frames(path))
    if not count:
        raise ValueError(f"{path}: no frames")
    wanted = uniform_indices(count, window)
    found = {i: image for i, image in enumerate(frames(path)) if i in set(wanted)}
    return wanted, [found[i] for i in wanted]

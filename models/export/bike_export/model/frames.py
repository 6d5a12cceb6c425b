"""Reads the frames of a clip, and resizes, crops and normalises them with Pillow."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from ..problem import Problem, naming

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


def uniform_indices(n: int, window: int) -> list[int]:
    """Returns the frame numbers of one temporal view: int(n / T * i)."""
    return [int(n / window * i) for i in range(window)]


def resized(image: Image.Image, shorter: int) -> Image.Image:
    """Resizes the shorter side to `shorter`, the longer to int(shorter * long / short); bicubic with antialiasing."""
    w, h = image.size
    size = (shorter, int(shorter * h / w)) if w <= h else (int(shorter * w / h), shorter)
    return image if size == image.size else image.resize(size, Image.Resampling.BICUBIC)


def prepare(image: Image.Image, shorter: int, crop: int, mean: list[float], std: list[float]) -> np.ndarray:
    """Returns a crop [3, S, S] f32: RGB, resized, centre crop with offsets rounded half to even, normalised."""
    image = resized(image.convert("RGB"), shorter)
    w, h = image.size
    x, y = int(round((w - crop) / 2.0)), int(round((h - crop) / 2.0))
    pixels = np.asarray(image.crop((x, y, x + crop, y + crop)), np.float32) / np.float32(255)
    return ((pixels - np.float32(mean)) / np.float32(std)).transpose(2, 0, 1).copy()


def _video_size(path: Path) -> tuple[int, int]:
    entries = "stream=width,height:stream_side_data=rotation"
    command = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", entries, "-of", "json", str(path)]
    probe = subprocess.run(command, capture_output=True, text=True, check=True)
    stream = json.loads(probe.stdout)["streams"][0]
    quarter_turn = any(abs(d.get("rotation", 0)) % 180 == 90 for d in stream.get("side_data_list", []))
    w, h = stream["width"], stream["height"]
    return (h, w) if quarter_turn else (w, h)


def frames(path: Path) -> Iterator[Image.Image]:
    """Yields all frames of a clip in order: a folder of pictures, an animated picture, or a video (through ffmpeg)."""
    with naming(path):
        if path.is_dir():
            files = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURES)
        elif path.suffix.lower() in (*PICTURES, ".gif"):
            files = [path]
        elif path.is_file():
            yield from _video_frames(path)
            return
        else:
            raise Problem(f"{path}: no such clip; check the path")
    for file in files:
        with naming(file), Image.open(file) as image:
            count = 1 if path.is_dir() else getattr(image, "n_frames", 1)
            for number in range(count):
                image.seek(number)
                yield image.convert("RGB")


def _video_frames(path: Path) -> Iterator[Image.Image]:
    if not shutil.which("ffmpeg") or not shutil.which("ffprobe"):
        raise Problem(f"{path}: reading a video needs ffmpeg; install it, or use a GIF or a folder of pictures")
    try:
        w, h = _video_size(path)
    except (subprocess.CalledProcessError, LookupError, ValueError) as e:
        raise Problem(f"{path}: not a video that ffmpeg can read; convert it to MP4") from e
    # ffmpeg's default colour conversion, which bike-edge follows; ffmpeg's more exact one gives other pixels.
    decode = ["ffmpeg", "-v", "error", "-i", str(path), "-map", "0:v:0", "-fps_mode", "passthrough"]
    command = [*decode, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.stdout
        while len(data := child.stdout.read(w * h * 3)) == w * h * 3:
            yield Image.frombytes("RGB", (w, h), data)


def sample(path: Path, window: int) -> tuple[list[int], list[Image.Image]]:
    """Samples a clip uniformly as BIKE does. Returns T frame numbers and T frames.

    The clip is read twice, so that only T frames are in memory.
    """
    count = sum(1 for _ in frames(path))
    if not count:
        raise Problem(f"{path}: no frames; use a clip, or a folder with pictures ({', '.join(PICTURES)})")
    numbers = uniform_indices(count, window)
    sampled = {i: image for i, image in enumerate(frames(path)) if i in set(numbers)}
    return numbers, [sampled[i] for i in numbers]

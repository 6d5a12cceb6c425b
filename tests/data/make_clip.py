"""Makes tests/data/clip.mp4: slow camera moves over three free photographs that scikit-image ships.

7.5 s, 320 x 240, 25 frames/s, H.264 High with B-frames: a coffee cup, a cat, a rocket launch, 2.5 s each.
Needs scikit-image 0.26.0, Pillow, and ffmpeg with libx264. Sources and licences: NOTICE.md.

    python tests/data/make_clip.py
"""

import subprocess
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

WIDTH, HEIGHT, RATE = 320, 240, 25
SECONDS = 2.5
# A photograph, and the centre (x, y from 0 to 1) and width (share of the widest 4:3 crop) at the start and at the end.
SCENES = [
    ("coffee", (0.42, 0.50, 0.95), (0.58, 0.50, 0.80)),
    ("chelsea", (0.60, 0.50, 0.98), (0.42, 0.48, 0.85)),
    ("rocket", (0.50, 0.52, 1.00), (0.50, 0.46, 0.80)),
]


def view(photo: Image.Image, x: float, y: float, size: float) -> np.ndarray:
    """Returns a frame [240, 320, 3] u8: the crop around (x, y), moved to be inside the photograph."""
    width = size * min(photo.width, photo.height * WIDTH / HEIGHT)
    height = width * HEIGHT / WIDTH
    left = min(max(x * photo.width - width / 2, 0), photo.width - width)
    top = min(max(y * photo.height - height / 2, 0), photo.height - height)
    box = (left, top, left + width, top + height)
    return np.asarray(photo.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC, box=box))


def frames() -> np.ndarray:
    """Returns all frames [n, 240, 320, 3] u8."""
    out = []
    count = round(SECONDS * RATE)
    for name, start, end in SCENES:
        photo = Image.fromarray(getattr(skimage.data, name)())
        for i in range(count):
            at = i / (count - 1)
            out.append(view(photo, *(a + at * (b - a) for a, b in zip(start, end, strict=True))))
    return np.stack(out)


def main() -> None:
    """Writes clip.mp4."""
    out = Path(__file__).parent / "clip.mp4"
    size = f"{WIDTH}x{HEIGHT}"
    source = f"ffmpeg -v error -y -f rawvideo -pix_fmt rgb24 -s {size} -r {RATE} -i -"
    codec = "-c:v libx264 -profile:v high -pix_fmt yuv420p -crf 25 -bf 2 -g 50 -threads 1"
    colours = "-colorspace smpte170m -color_range tv"
    container = "-movflags +faststart -map_metadata -1 -fflags +bitexact -flags:v +bitexact"
    command = [*f"{source} {codec} {colours} {container}".split(), str(out)]
    subprocess.run(command, input=frames().tobytes(), check=True)
    print(f"{out.name}: {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()

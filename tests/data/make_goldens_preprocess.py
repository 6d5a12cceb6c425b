"""Makes tests/data/preprocess: pictures, and the crops and conversions of them by Pillow and ffmpeg.

    python tests/data/make_goldens_preprocess.py

Needs Pillow, numpy, scikit-image and ffmpeg. The photographs are scikit-image's `chelsea` (CC0, Stefan van der Walt)
and `astronaut` (public domain, NASA). Crops follow the reference (whwu95/BIKE, commit e8f6a8b, datasets/transforms.py:
GroupScale, GroupCenterCrop, GroupFullResSample), reimplemented with Pillow only. Pictures from a formula are not
stored, because the tests compute them.
"""

import json
import subprocess
from pathlib import Path

import numpy as np
import PIL
from PIL import Image
from skimage import data

OUT = Path(__file__).parent / "preprocess"
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
TURNS = {0: None, 90: Image.Transpose.ROTATE_270, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_90}


def formula(width, height):
    """Returns rings, tiles and stripes down to one pixel, which are harder than photographs."""
    y, x = np.mgrid[0:height, 0:width].astype(np.int64)
    red = ((x * x + y * y) >> 6) & 255
    green = np.where((x // 7 + y // 5) & 1, 255, (x * 3) & 255)
    blue = ((x * 5) ^ (y * 3)) & 255
    return Image.fromarray(np.stack([red, green, blue], axis=-1).astype(np.uint8))


def offset(width, height, side, at):
    """Returns the offset of a crop position."""
    if at == "centre":
        return int(round((width - side) / 2.0)), int(round((height - side) / 2.0))
    x, y = (width - side) // 4, (height - side) // 4
    return {"left": (0, 2 * y), "right": (4 * x, 2 * y), "middle": (2 * x, 2 * y)}[at]


def preprocess(image, resize, side, fit="crop", roi=None, at="centre", turn=0):
    """Returns the crop of a picture."""
    if TURNS[turn] is not None:
        image = image.transpose(TURNS[turn])
    if roi:
        x, y, w, h = roi
        image = image.crop((x, y, x + w, y + h))
    w, h = image.size
    if fit == "stretch":
        return image.resize((side, side), Image.Resampling.BICUBIC)
    if fit == "pad":
        long = max(w, h)
        w, h = (max(1, int(s * side / long + 0.5)) for s in (w, h))
        canvas = Image.new("RGB", (side, side), tuple(round(255 * m) for m in CLIP_MEAN))
        canvas.paste(image.resize((w, h), Image.Resampling.BICUBIC), ((side - w) // 2, (side - h) // 2))
        return canvas
    short, long = min(w, h), max(w, h)
    new_long = int(resize * long / short)
    w, h = (resize, new_long) if w <= h else (new_long, resize)
    x, y = offset(w, h, side, at)
    return image.resize((w, h), Image.Resampling.BICUBIC).crop((x, y, x + side, y + side))


def crop_cases():
    """Writes the crops and yields their descriptions."""
    cat = Image.fromarray(data.chelsea()).crop((60, 20, 411, 253)).resize((227, 151), Image.Resampling.LANCZOS)
    astronaut = Image.fromarray(data.astronaut()).crop((60, 0, 360, 450)).resize((133, 199), Image.Resampling.LANCZOS)
    photographs = {"cat": cat, "astronaut": astronaut}
    for name, image in photographs.items():
        image.save(OUT / f"{name}.png", optimize=True)
    small = {"resize": 64, "side": 56}
    cases = [
        ("cat_224", "cat", {"resize": 256, "side": 224}),
        ("cat", "cat", small),
        ("cat_left", "cat", small | {"at": "left"}),
        ("cat_right", "cat", small | {"at": "right"}),
        ("cat_middle", "cat", small | {"at": "middle"}),
        ("cat_roi", "cat", small | {"roi": [33, 17, 101, 97]}),
        ("cat_roi_right", "cat", small | {"roi": [100, 50, 127, 101], "at": "right"}),
        ("cat_pad", "cat", small | {"fit": "pad"}),
        ("cat_stretch", "cat", small | {"fit": "stretch"}),
        ("cat_quarter", "cat", small | {"turn": 90}),
        ("cat_half_roi", "cat", small | {"turn": 180, "roi": [5, 9, 120, 77]}),
        ("cat_three_quarters_roi", "cat", small | {"turn": 270, "roi": [9, 5, 77, 120]}),
        ("astronaut", "astronaut", small),
        ("astronaut_no_spare", "astronaut", {"resize": 56, "side": 56}),
        ("astronaut_pad", "astronaut", small | {"fit": "pad"}),
        ("astronaut_up", "astronaut", {"resize": 140, "side": 112}),
        ("formula_1920x1080", [1920, 1080], {"resize": 144, "side": 126}),
        ("formula_1920x1080_right", [1920, 1080], small | {"at": "right"}),
        ("formula_1080x1920", [1080, 1920], small),
        ("formula_1080x1920_pad", [1080, 1920], small | {"fit": "pad"}),
        ("formula_176x144", [176, 144], {"resize": 150, "side": 112}),
        ("formula_64x64", [64, 64], small),
        ("formula_1x1", [1, 1], small),
        ("formula_3x2", [3, 2], small),
        ("formula_1x300", [1, 300], small),
        ("formula_1000x7_stretch", [1000, 7], small | {"fit": "stretch"}),
    ]
    for name, source, options in cases:
        image = photographs[source] if isinstance(source, str) else formula(*source)
        preprocess(image, **options).save(OUT / f"{name}.crop.png", optimize=True)
        yield {"name": name, "source": source, **options}


def colour_cases():
    """Writes what `ffmpeg -i clip out.png` makes of planar YUV by default, and yields descriptions."""
    for name, size, pixel_format, options in [
        ("s420", (58, 42), "yuv420p", []),
        ("s420_odd_width", (59, 42), "yuv420p", []),
        ("s420_odd", (59, 43), "yuv420p", []),
        ("s420_709", (58, 42), "yuv420p", ["-colorspace", "bt709"]),
        ("s420_2020", (58, 42), "yuv420p", ["-colorspace", "bt2020nc"]),
        ("s420_full", (58, 42), "yuvj420p", []),
        ("s422", (58, 42), "yuv422p", []),
        ("s444", (59, 43), "yuv444p", []),
        ("s444_full_709", (59, 43), "yuvj444p", ["-colorspace", "bt709"]),
        ("gray", (59, 43), "gray", []),
    ]:
        picture = np.array(Image.fromarray(data.chelsea()).resize(size, Image.Resampling.LANCZOS))
        picture[:16, :32] = [[255 * (i & 1), 255 * (i >> 1 & 1), 255 * (i >> 2)] for i in range(8) for _ in range(4)]
        rgb = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "{}x{}".format(*size), "-i", "-"]
        matrix = {"bt709": "bt709", "bt2020nc": "bt2020"}.get((options or [""])[-1], "bt601")
        full = "j" in pixel_format or pixel_format == "gray"
        wide = f"out_range={'full' if full else 'limited'}"
        plain = pixel_format.replace("j", "")
        yuv = ffmpeg(
            picture.tobytes(),
            *rgb,
            "-vf",
            f"scale=out_color_matrix={matrix}:{wide},format={plain}",
            "-f",
            "rawvideo",
            "-",
        )
        stored = ["-f", "rawvideo", "-pix_fmt", pixel_format, "-s", "{}x{}".format(*size)]
        shown = ffmpeg(
            yuv, *stored, "-i", "-", "-vf", f"scale=in_color_matrix={matrix},format=rgb24", "-f", "rawvideo", "-"
        )
        (OUT / f"{name}.yuv").write_bytes(yuv)
        Image.frombytes("RGB", size, shown).save(OUT / f"{name}.rgb.png", optimize=True)
        yield {"name": name, "size": size, "subsampling": name.split("_")[0], "full": full, "matrix": matrix}


def ffmpeg(pixels, *arguments):
    """Runs ffmpeg on pixels and returns its output."""
    command = ["ffmpeg", "-v", "error", *arguments]
    return subprocess.run(command, input=pixels, stdout=subprocess.PIPE, check=True).stdout


def main():
    """Writes the pictures and goldens.json."""
    OUT.mkdir(exist_ok=True)
    version = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True).stdout.split()[2]
    made_with = {"pillow": PIL.__version__, "ffmpeg": version}
    goldens = {"made_with": made_with, "crops": list(crop_cases()), "colours": list(colour_cases())}
    lists = ",\n".join(f'"{key}": ' + rows(value) for key, value in goldens.items())
    (OUT / "goldens.json").write_text("{" + lists + "}\n")


def rows(value):
    """Returns JSON with one item of a list per line."""
    return json.dumps(value) if isinstance(value, dict) else "[\n" + ",\n".join(map(json.dumps, value)) + "\n]"


if __name__ == "__main__":
    main()

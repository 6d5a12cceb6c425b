"""Makes the goldens of the demo bundle: Pillow's preprocessing, onnxruntime's embeddings, the composer's sentences.

Run where bike_export's requirements are installed, after the bundle was made:

    python tests/data/make_goldens_demo.py [--bundle models/demo]

golden_frame_NAME.png          a picture as it comes from a source
golden_crop_NAME_VIEW.png      what Pillow makes of it: BICUBIC, shorter side 256, crop 224; VIEW is one of centre
                               (the one crop), left, right, middle (the three crops)
golden_demo.safetensors        embedding [crops, D]: onnxruntime on those crops, in the order of `crops`;
                               phrases [n, 5, D], composed [n, D] (onnxruntime), sentence [n, D] (text tower)
golden_demo.json               bundle hash, order of crops with their offsets, phrases of each tuple, tolerances
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image
from safetensors.numpy import load_file, save_file

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "models" / "export"))
SIDE, CROP = 256, 224
TUPLES = [
    ["a cup", "a coffee cup", "drinking coffee", "a table", "a cafe"],
    ["a cat", "a kitten", "a cat on a sofa", "stroking a cat", "a dog"],
    ["a rocket", "smoke", "an explosion", "a satellite", "a blue sky"],
    ["a keyboard", "a desk", "a laptop", "typing on a keyboard", "an office"],
]


def pictures() -> dict[str, np.ndarray]:
    """Frames [H, W, 3] u8: two of the clip as ffmpeg decodes them, and drawn ones of awkward sizes."""
    raw = subprocess.run(["ffmpeg", "-v", "error", "-i", str(HERE / "clip.mp4"), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
                         capture_output=True, check=True).stdout
    clip = np.frombuffer(raw, np.uint8).reshape(-1, 240, 320, 3)
    out = {name: clip[i] for name, i in (("cat", 90), ("rocket", 150))}
    for name, (height, width) in {"tall": (301, 97), "wide": (65, 233), "odd": (257, 255)}.items():
        y, x = np.mgrid[0:height, 0:width]
        stripes = ((x + 2 * y) // 5 % 2 * 255).astype(np.uint8)
        out[name] = np.stack([stripes, (x * 255 // (width - 1)).astype(np.uint8), (y * 255 // (height - 1)).astype(np.uint8)], -1)
    return out


def resized(width: int, height: int) -> tuple[int, int]:
    """Shorter side to 256, the longer one int(256 * long / short)."""
    return (SIDE, int(SIDE * height / width)) if width <= height else (int(SIDE * width / height), SIDE)


def offsets(width: int, height: int) -> dict[str, tuple[int, int]]:
    """Left and top of each crop: the one centre crop, and the three (left, right, middle)."""
    q, y = (width - CROP) // 4, 2 * ((height - CROP) // 4)
    centre = (int(round((width - CROP) / 2.0)), int(round((height - CROP) / 2.0)))
    return {"centre": centre, "left": (0, y), "right": (4 * q, y), "middle": (2 * q, y)}


def session(path: Path) -> onnxruntime.InferenceSession:
    """onnxruntime on the CPU, one thread, so that sums are made in one order."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=ROOT / "models" / "demo", help="folder of the demo bundle")
    bundle = parser.parse_args().bundle
    manifest = tomllib.loads((bundle / "bundle.toml").read_text(encoding="utf-8"))
    mean, std = (np.float32(manifest["preprocess"][k]) for k in ("mean", "std"))

    visual, crops, embeddings = session(bundle / "visual.onnx"), [], []
    for name, pixels in pictures().items():
        picture = Image.fromarray(pixels)
        picture.save(HERE / f"golden_frame_{name}.png", optimize=True)
        scaled = picture.resize(resized(picture.width, picture.height), Image.Resampling.BICUBIC)
        for view, (left, top) in offsets(scaled.width, scaled.height).items():
            crop = scaled.crop((left, top, left + CROP, top + CROP))
            file = f"golden_crop_{name}_{view}.png"
            kept = view == "centre" or (view == "right" and name in ("cat", "rocket", "wide"))  # few, to stay small
            if not kept:
                continue
            crop.save(HERE / file, optimize=True)
            x = ((np.asarray(crop, np.float32) / np.float32(255) - mean) / std).transpose(2, 0, 1)[None]
            embeddings.append(visual.run(None, {"frame": np.ascontiguousarray(x, np.float32)})[0][0])
            crops.append({"file": file, "frame": f"golden_frame_{name}.png", "view": view,
                          "resized": [scaled.width, scaled.height], "left": left, "top": top})

    phrases, composed, sentences = compose(bundle)
    save_file({"embedding": np.stack(embeddings), "phrases": phrases, "composed": composed, "sentence": sentences},
              HERE / "golden_demo.safetensors")
    (HERE / "golden_demo.safetensors").chmod(0o644)
    described = {
        "script": "tests/data/make_goldens_demo.py",
        "bundle_sha256": hashlib.sha256((bundle / "bundle.toml").read_bytes()).hexdigest(),
        "tolerance": {"pixel_mean": 1.0, "pixel_max": 3.0, "embedding": 1e-4, "composed": 1e-4},
        "crops": crops, "tuples": TUPLES,
    }
    (HERE / "golden_demo.json").write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
    total = sum(f.stat().st_size for f in HERE.glob("golden_*"))
    print(f"{len(crops)} crops, {len(TUPLES)} tuples, {total} bytes")


def compose(bundle: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Phrase rows as the bundle holds them [n, 5, D], the composer's sentences [n, D], and the text tower's [n, D].

    The tower's are minus their mean over 300 drawn tuples (the composer was trained minus the mean over all of its
    training tuples, so this is that to within sampling), normalised.
    """
    from bike_export.demo import bridge, settings, text, tuples, vocabulary
    from bike_export.demo.space import TextSpace
    from bike_export.tables import unit_rows

    lexicon = ROOT / "models" / "lexicon"
    words = vocabulary.lexicon(lexicon)
    space = TextSpace.fit(text.MiniLM(), words)
    points = bridge.class_points(space.tower, lexicon / "bridge" / "associations.txt")
    drawn = tuples.draw_all(100, space.phrases(words), points, np.random.default_rng(settings.SEED))
    mean = space.attribute_sentences([[words[i] for i in t] for t in drawn]).mean(0)
    sentences = unit_rows(space.attribute_sentences(TUPLES) - mean)

    names = (bundle / "lexicon.txt").read_text(encoding="utf-8").splitlines()
    tables = load_file(str(bundle / "lexicon.safetensors"))
    rows = tables["retrieval"].astype(np.float32) * tables["retrieval_scale"][:, None]
    phrases = np.stack([[rows[names.index(p)] for p in t] for t in TUPLES]).astype(np.float32)
    composer = session(bundle / "composer.onnx")
    composed = np.concatenate([composer.run(None, {"phrases": p[None]})[0] for p in phrases])
    return phrases, composed, sentences


if __name__ == "__main__":
    main()

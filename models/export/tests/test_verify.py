"""`verify` compares the output of a program with PyTorch, number by number."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from bike_export import verify
from bike_export.__main__ import main
from bike_export.bundle_runner import BundleRunner
from bike_export.model.frames import prepare, sample, uniform_indices
from test_bundles import EXACT, manifest


def fake_program(folder: Path, answer: dict) -> Path:
    """Writes a program that prints this answer like bike-edge, with frame numbers for the clip in its arguments."""
    path = folder / "program"
    path.write_text(
        f"""#!{sys.executable}
import json, os, sys
if "--help" in sys.argv:
    print("--attributes")
else:
    answer, n = json.loads({json.dumps(json.dumps(answer))}), len(os.listdir(sys.argv[2]))
    print(json.dumps(answer | {{"frame_indices": [[int(n / 8 * i) for i in range(8)]]}}))
"""
    )
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(("error", "status"), [(0.0, 0), (0.1, 1)])
def test_a_difference_beyond_the_tolerance_fails(samples, export, tmp_path: Path, capsys, error: float, status: int):
    folder = export(
        "bike-header", *EXACT, "--window", "8", "--resize", "64", "--lexicon", str(samples["lexicon"]), "--keep-text"
    )
    m = manifest(folder)
    clip = tmp_path / "clip"
    clip.mkdir()
    verify.generate_clip(clip, 48)
    frames, images = sample(clip, 8)
    pixels = np.stack([prepare(i, 64, 48, m["preprocess"]["mean"], m["preprocess"]["std"]) for i in images])
    expected = verify.run_onnxruntime(BundleRunner(folder, m), frames, pixels, text_tower=True)
    answer = {
        "frame_embeddings": [expected.embeddings.tolist()],
        "s_v": (expected.s_v + error).tolist(),
        "s_a": expected.s_a.tolist(),
        "labels": (names := (folder / "categories.txt").read_text().splitlines()),
        "results": [{"label": n, "confidence": float(c)} for n, c in zip(names, expected.scores, strict=True)],
        "attributes": [{"phrase": p, "similarity": 0.5} for p in expected.phrases],
    }
    command = [
        "verify",
        str(folder),
        str(samples["bike-header"]),
        "--clip",
        str(clip),
        "--binary",
        str(fake_program(tmp_path, answer)),
    ]
    assert main(command) == status
    shown = capsys.readouterr().out
    assert "program against PyTorch, same pixels" in shown and ("OVER" in shown) == bool(status)


def test_frames_are_sampled_as_in_bike():
    assert uniform_indices(100, 8) == [0, 12, 25, 37, 50, 62, 75, 87]
    assert uniform_indices(3, 8) == [0, 0, 0, 1, 1, 1, 2, 2]


def test_frames_are_prepared_as_in_torchvision():
    from PIL import Image
    from torchvision import transforms

    rng = np.random.default_rng(0)
    for size in ((97, 61), (61, 97), (80, 80), (300, 121)):
        image = Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), np.uint8))
        mean, std = [0.48, 0.45, 0.4], [0.26, 0.26, 0.27]
        reference = transforms.Compose(
            [
                transforms.Resize(64, transforms.InterpolationMode.BICUBIC),
                transforms.CenterCrop(48),
                transforms.ToTensor(),
                transforms.Normalize(mean, std),
            ]
        )(image)
        np.testing.assert_allclose(prepare(image, 64, 48, mean, std), reference.numpy(), atol=1e-5)

"""bike-edge computes int8 graphs with the same quantised arithmetic as onnxruntime.

docs/exactness.md defines the arithmetic, and test_bundles.py computes it by hand. With BIKE_EDGE_KERNEL=portable only
that arithmetic runs; otherwise attention may use bf16 if the processor has it.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

import random_checkpoints as rc
from bike_export.bundle_runner import BundleRunner
from bike_export.checkpoint import Checkpoint, load
from bike_export.graphs.builder import Graph
from bike_export.model.towers import encode_frames
from running_binary import Classification, classify, cosine_distances
from small_clips import save_tensors
from test_bundles import manifest

SAME = 1e-6  # cosine distance of the same arithmetic for most frames; in some, an integer rounds the other way
DEFAULT_KERNELS = 1e-3


@pytest.fixture(scope="module")
def pictures(samples) -> torch.Tensor:
    c = load(samples["bike-header"])
    return rc.different_pictures(lambda f: encode_frames(c, f), c.shape.size)


@pytest.fixture
def case(samples, export, pictures, tmp_path: Path) -> tuple[Path, Path, Checkpoint, np.ndarray]:
    """Returns an int8 bundle, its clip, its checkpoint, and onnxruntime's embeddings [8, D]."""
    bundle = export("bike-header", "--window", "8")
    by_runtime = BundleRunner(bundle, manifest(bundle)).embed("visual.onnx", rc.normalised(pictures).numpy())
    return bundle, save_tensors(pictures, tmp_path / "stills"), load(samples["bike-header"]), by_runtime


def classified(program: Path, case, kernel: str | None = None) -> Classification:
    return classify(program, case[0], case[1], kernel=kernel)


def test_int8_embeddings_agree_with_onnxruntime(program: Path, case):
    found = classified(program, case)
    assert cosine_distances(found.embeddings[0], case[3]).max() < DEFAULT_KERNELS
    b = BundleRunner(case[0], manifest(case[0]))
    assert np.abs(found.s_v - b.video_scores(found.embeddings[0])).max() < DEFAULT_KERNELS


def rounded_weights(c: Checkpoint) -> Checkpoint:
    """Returns the model with Linear weights rounded to int8 and back, and f32 activations."""
    clip = dict(c.clip)
    for name, t in clip.items():
        linear = name.endswith(("in_proj_weight", "out_proj.weight", "c_fc.weight", "c_proj.weight"))
        if name.startswith("visual.") and linear:
            clip[name] = torch.from_numpy(Graph.stored(t.T.numpy())).T.contiguous()
    return Checkpoint(**(vars(c) | {"clip": clip}))


def test_portable_int8_agrees_to_rounding_and_other_arithmetic_does_not(program: Path, case, pictures):
    """f32, and int8 for weights only, differ by ten times more than the portable kernel."""
    _, _, c, by_runtime = case
    found = classified(program, case, kernel="portable").embeddings[0]
    distances = cosine_distances(found, by_runtime)
    print(f"portable against onnxruntime: {distances}")
    assert np.median(distances) < SAME and distances.max() < 100 * SAME
    frames = rc.normalised(pictures)
    for name, other in (("f32", c), ("int8 weights only", rounded_weights(c))):
        missed = cosine_distances(found, encode_frames(other, frames).numpy())
        print(f"{name}: {missed}")
        assert np.median(missed) > 10 * SAME, name

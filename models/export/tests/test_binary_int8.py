"""int8 in the program: the same quantised arithmetic as onnxruntime on the same file.

What it is, exactly, is stated in docs/exactness.md and computed by hand in test_bundles.py. With BIKE_EDGE_KERNEL=portable
only that arithmetic runs; as it runs otherwise, attention may be in bf16 where the chip has it.
"""

from pathlib import Path

import numpy as np
import pytest
import random_checkpoints as rc
import torch
from asking import Answer, ask, cosine_distances, save_pictures
from bike_export.checkpoint import Checkpoint, load
from bike_export.graphs.builder import Graph
from bike_export.model.towers import encode_frames
from bike_export.reader import Bundle
from test_bundles import manifest

SAME = 1e-6  # cosine distance of the same arithmetic, for most frames: an integer may round the other way in some
AS_IT_RUNS = 1e-3


@pytest.fixture(scope="module")
def pictures(made) -> torch.Tensor:
    c = load(made["bike-header"])
    return rc.different_pictures(lambda f: encode_frames(c, f), c.shape.size)


@pytest.fixture
def case(made, export, pictures, tmp_path: Path) -> tuple[Path, Path, Checkpoint, np.ndarray]:
    """An int8 bundle, its clip, its checkpoint, and onnxruntime's embeddings [8, D]."""
    bundle = export("bike-header", "--window", "8")
    by_runtime = Bundle(bundle, manifest(bundle)).embed("visual.onnx", rc.normalised(pictures).numpy())
    return bundle, save_pictures(pictures, tmp_path / "stills"), load(made["bike-header"]), by_runtime


def asked(program: Path, case, kernel: str | None = None) -> Answer:
    return ask(program, case[0], case[1], kernel=kernel)


def test_int8_embeddings_are_those_of_onnxruntime(program: Path, case):
    found = asked(program, case)
    assert cosine_distances(found.embeddings[0], case[3]).max() < AS_IT_RUNS
    b = Bundle(case[0], manifest(case[0]))
    assert np.abs(found.s_v - b.video_scores(found.embeddings[0])).max() < AS_IT_RUNS


def rounded_weights(c: Checkpoint) -> Checkpoint:
    """The same model with the weights of its Linears rounded to int8 and back: activations would stay f32."""
    clip = dict(c.clip)
    for name, t in clip.items():
        linear = name.endswith(("in_proj_weight", "out_proj.weight", "c_fc.weight", "c_proj.weight"))
        if name.startswith("visual.") and linear:
            clip[name] = torch.from_numpy(Graph.stored(t.T.numpy())).T.contiguous()
    return Checkpoint(**(vars(c) | {"clip": clip}))


def test_the_integers_are_the_same_and_other_arithmetics_are_not(program: Path, case, pictures):
    """The portable kernel to rounding; f32, and weights alone in int8, miss by ten times."""
    _, _, c, by_runtime = case
    found = asked(program, case, kernel="portable").embeddings[0]
    distances = cosine_distances(found, by_runtime)
    print(f"portable against onnxruntime: {distances}")
    assert np.median(distances) < SAME and distances.max() < 100 * SAME
    frames = rc.normalised(pictures)
    for name, other in (("f32", c), ("weights alone", rounded_weights(c))):
        missed = cosine_distances(found, encode_frames(other, frames).numpy())
        print(f"{name}: {missed}")
        assert np.median(missed) > 10 * SAME, name

"""The program itself on exported bundles: it accepts them and computes what PyTorch computes.

Skipped where there is no program; BIKE_EDGE names one, and one in PATH or in target/release is found.
"""

import subprocess
from pathlib import Path

import pytest
from bike_export.__main__ import main
from test_bundles import EXACT

CLIP = Path(__file__).resolve().parents[3] / "tests" / "data" / "clip.mp4"
SMALL = ("--window", "8", "--resize", "64")


def agrees(program: Path, bundle: Path, *checkpoints: str) -> bool:
    """Whether the program takes the bundle and is within tolerance of PyTorch and of onnxruntime on a real clip."""
    checked = subprocess.run([program, "bundle", "verify", bundle], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    return main(["verify", str(bundle), *checkpoints, "--clip", str(CLIP), "--binary", str(program)]) == 0


@pytest.mark.parametrize("interaction", ["vcs", "dp"])
@pytest.mark.parametrize("checkpoint", ["bike", "bike-header", "archive"])
def test_exact_bundles(made, export, program: Path, checkpoint: str, interaction: str):
    bundle = export(checkpoint, *EXACT, *SMALL, "--interaction", interaction, "--lexicon", str(made["lexicon"]))
    assert agrees(program, bundle, str(made[checkpoint]))


@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_other_precisions_and_the_composer(made, export, program: Path, precision: str):
    lexicon = ("--lexicon", str(made["lexicon"]), "--tuples", "40")
    bundle = export("bike-header", *SMALL, "--precision", precision, *lexicon)
    assert agrees(program, bundle, str(made["bike-header"]))


def test_trained_heads_and_a_text_tower(made, export, program: Path):
    attributes = ("--attribute-checkpoint", str(made["bike-attributes"]))
    lexicon = ("--lexicon", str(made["lexicon"]), "--tuples", "40", "--keep-text")
    bundle = export("bike", *EXACT[:3], *SMALL, *lexicon, *attributes)
    assert agrees(program, bundle, str(made["bike"]), *attributes)


def test_attribute_encoder_of_its_own(made, export, program: Path):
    other = ("--attribute-clip", str(made["other-clip"]))
    bundle = export("bike", *EXACT, *SMALL, "--lexicon", str(made["lexicon"]), *other)
    assert agrees(program, bundle, str(made["bike"]), *other)

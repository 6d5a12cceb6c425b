"""Checkpoints, in any of the formats they are published in, as one: CLIP's own names, f32, checked.

`load(path)` tells the format by what is in the file. Nothing in a file is ever run.
"""

from .load import Checkpoint, load
from .problem import BadCheckpoint
from .shape import Shape

__all__ = ["BadCheckpoint", "Checkpoint", "Shape", "load"]

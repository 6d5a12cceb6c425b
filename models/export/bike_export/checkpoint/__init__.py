"""Reads checkpoints of every supported format into one form: CLIP's own tensor names, f32, checked.

`load(path)` detects the format from the content. Nothing in a file is ever run.
"""

from .load import Checkpoint, load
from .shape import Shape

__all__ = ["Checkpoint", "Shape", "load"]

"""Reads and checks what an export starts from: labels, lexicon, prompts, clips and checkpoints."""

from dataclasses import dataclass, field
from pathlib import Path

from ..bundle import refuse_existing
from ..checkpoint import Checkpoint, load
from ..progress import log
from ..text.lists import read_labels, read_lexicon, read_prompts, refuse_same_text
from ..text.tokenizer import tokenize
from .options import Options, check_options
from .windows import find_clips


@dataclass
class Inputs:
    """The texts and clips of an export, read and checked."""

    labels: list[str]
    prompts: list[str]
    lexicon_prompt: str
    clips: list[Path]
    phrases: list[str] = field(default_factory=list)


def read_inputs(o: Options) -> Inputs:
    """Checks the options and reads everything that is quick to read, so that mistakes show before the long steps."""
    refuse_existing(o.out, o.force)
    check_options(o)
    labels, prompts = read_labels(o.labels), read_prompts(o.prompts)
    phrases = read_lexicon(o.lexicon) if o.lexicon else []
    lexicon_prompt = read_prompts([o.lexicon_prompt] if o.lexicon_prompt else prompts[:1])[0]
    # Refuses texts that are too long for the text tower.
    tokenize([p.replace("{}", n) for p in (*prompts, lexicon_prompt) for n in (*labels, *phrases)])
    refuse_same_text(o.labels, labels, prompts[0])
    if o.lexicon:
        refuse_same_text(o.lexicon, phrases, prompts[0])
    return Inputs(labels, prompts, lexicon_prompt, find_clips(o.frames), phrases)


def load_checkpoint(path: Path, activation: str | None) -> Checkpoint:
    """Loads a checkpoint and logs what it is."""
    if str(path).startswith("hf:"):
        from ..hub import load_from_hub

        c = load_from_hub(str(path), activation)
    else:
        c = load(path, activation)
    header = "with temporal header" if c.header else "without temporal header"
    log(f"{path}: {c.kind}, {c.shape.name}, D = {c.shape.embed}, {header}")
    return c

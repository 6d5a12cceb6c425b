"""Makes the attribute branch: its checkpoints, the lexicon's tables, and the categories as the branch compares them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..checkpoint import Checkpoint
from ..model.scoring import head
from ..model.towers import encode_sentences
from ..problem import Problem
from ..progress import progress_of
from ..tables import add_table, unit_rows
from ..text.tokenizer import tokenize
from .inputs import Inputs, load_checkpoint
from .windows import Windows
from .word_compaction import phrase_words
from .word_tables import MixedWords, largest_change

ROWS_PER_PHRASE = 1  # word rows of a lexicon phrase


@dataclass
class AttributeBranch:
    """The checkpoints of the attribute branch. Each may be that of the video branch."""

    sentence: Checkpoint  # has the text tower of attribute sentences, and the trained heads if there are any
    retrieval: Checkpoint  # the CLIP that compares frames with phrases
    own_encoder: bool  # the bundle needs attribute_visual.onnx

    @property
    def trained(self) -> bool:
        """Returns whether there are trained heads."""
        return bool(self.sentence.heads)

    def has_own_text_tower(self, video: Checkpoint) -> bool:
        """Returns whether attribute sentences need another text tower than that of the video branch."""
        return self.sentence is not video and not self.sentence.same_text_tower(video)


def read_branch(
    video: Checkpoint,
    *,
    attribute_checkpoint: Path | None,
    attribute_clip: Path | None = None,
    attribute_encoder: str | None = None,
    activation: str | None = None,
    keep_text: bool = False,
) -> AttributeBranch:
    """Reads the checkpoints of the attribute branch and refuses those that do not fit the video branch."""
    sentence = video
    if attribute_checkpoint:
        sentence = load_checkpoint(attribute_checkpoint, activation)
        where = f"--attribute-checkpoint {attribute_checkpoint}"
        if not sentence.heads:
            raise Problem(f"{where}: no trained heads (query_fc, sentence_fc); use a checkpoint of train_attributes.py")
        if sentence.shape.embed != video.shape.embed:
            raise Problem(
                f"{where}: its embeddings have {sentence.shape.embed} numbers and those of the video branch "
                f"{video.shape.embed}; use two checkpoints of the same CLIP"
            )
    retrieval = load_checkpoint(attribute_clip, activation) if attribute_clip else video
    encoder = attribute_encoder or ("own" if attribute_clip else "same")
    if encoder == "own" and not attribute_clip:
        raise Problem("--attribute-encoder own: no CLIP to take the encoder from; add --attribute-clip FILE")
    if encoder == "same" and retrieval.shape.embed != video.shape.embed:
        raise Problem(
            f"--attribute-encoder same: embeddings of {attribute_clip} have {retrieval.shape.embed} numbers and "
            f"those of the video branch {video.shape.embed}; use --attribute-encoder own"
        )
    if encoder == "own" and retrieval.shape.size != video.shape.size:
        raise Problem(
            f"--attribute-clip {attribute_clip}: takes {retrieval.shape.size} pixels and the video branch "
            f"{video.shape.size}, but a bundle has one crop size; use a CLIP of {video.shape.size} pixels"
        )
    if keep_text and not video.same_text_tower(sentence):
        raise Problem(
            "--keep-text: the two checkpoints have different text towers, and a bundle has only one; "
            "leave the option out, or use a pair from BIKE's training, which does not change the text tower"
        )
    return AttributeBranch(sentence, retrieval, encoder == "own")


@dataclass
class Lexicon:
    """The phrases, their rows of length 1 for retrieval [N, Da] and sentences [N, D], their words, and rows for S_A."""

    phrases: list[str]
    retrieval: np.ndarray
    sentence: np.ndarray
    words: MixedWords
    word_change: float  # largest change of S_V by the word table, over the first phrases
    sentence_attribute: np.ndarray | None

    @property
    def one_space(self) -> bool:
        """Returns whether one table serves for retrieval and for sentences."""
        return self.retrieval.shape == self.sentence.shape and bool(np.abs(self.retrieval - self.sentence).max() < 1e-4)

    def tables(self, dtype: str) -> dict[str, np.ndarray]:
        """Returns the tensors of lexicon.safetensors."""
        tensors: dict[str, np.ndarray] = {}
        add_table(tensors, "retrieval", self.retrieval, dtype)
        if not self.one_space:
            add_table(tensors, "sentence", self.sentence, dtype)
        self.words.add_to(tensors, dtype)
        if self.sentence_attribute is not None:
            add_table(tensors, "sentence_attribute", self.sentence_attribute, dtype)
        tensors["sentence_mean"] = self.sentence.mean(0).astype(np.float32)
        return tensors


def attribute_rows(branch: AttributeBranch, rows: np.ndarray) -> np.ndarray:
    """Returns sentence embeddings [n, D] as the branch compares them: after the query head if any, length 1."""
    if not branch.trained:
        return unit_rows(rows)
    with torch.no_grad():
        return unit_rows(head(torch.from_numpy(np.ascontiguousarray(rows)), branch.sentence.heads, "query").numpy())


def prompt_ensemble(
    c: Checkpoint, names: list[str], prompts: list[str], step: str, first: np.ndarray | None = None
) -> np.ndarray:
    """Returns embeddings [n, D] of length 1: the mean over prompts of the normalised sentences.

    `first` are the sentences of the first prompt, if they are known; a single prompt then needs no encoding.
    """
    if first is not None and len(prompts) == 1:
        return unit_rows(first)
    total = np.zeros((len(names), c.shape.embed), np.float64)
    for prompt in prompts:
        tokens = tokenize([prompt.replace("{}", n) for n in names], c.shape.context)
        total += unit_rows(encode_sentences(c, tokens, progress=progress_of(step)))
    return unit_rows(total)


def read_tables(branch: AttributeBranch, video: Checkpoint, inputs: Inputs, windows: Windows, dtype: str) -> Lexicon:
    """Encodes the phrases of the lexicon for every table that needs them."""
    phrases, prompts = inputs.phrases, inputs.prompts
    tokens = tokenize([prompts[0].replace("{}", p) for p in phrases], video.shape.context)
    words, sentence, first = phrase_words(video, tokens, ROWS_PER_PHRASE, dtype, progress_of("phrases"))
    sentence = prompt_ensemble(video, phrases, prompts, "phrases, all prompts", first=sentence)
    change = largest_change(first, sentence[: len(first)], words, dtype, windows.all)
    attribute_sentence = sentence
    if branch.has_own_text_tower(video):
        attribute_sentence = prompt_ensemble(branch.sentence, phrases, prompts, "phrases, attribute tower")
    if branch.retrieval is video and prompts == [inputs.lexicon_prompt]:
        retrieval = sentence
    else:
        retrieval = prompt_ensemble(branch.retrieval, phrases, [inputs.lexicon_prompt], "phrases, retrieval")
    attribute = attribute_rows(branch, attribute_sentence) if branch.trained else None
    return Lexicon(phrases, retrieval, attribute_sentence, words, change, attribute)

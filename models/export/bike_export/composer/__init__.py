"""The composer: phrase embeddings to the embedding of the sentence that lists them, in place of the text tower."""

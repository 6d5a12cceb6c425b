"""The composer, which replaces the text tower: phrase embeddings to the embedding of the sentence that lists them."""

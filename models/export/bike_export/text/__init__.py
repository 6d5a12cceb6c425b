"""Text going in: CLIP's tokens, label lists, lexicons and prompts."""

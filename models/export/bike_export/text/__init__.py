"""Reads text: CLIP's tokens, label lists, lexicons and prompts."""

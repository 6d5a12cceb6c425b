"""Writes ONNX graphs node by node, so that a checkpoint always gives the same bytes."""

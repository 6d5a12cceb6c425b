"""ONNX graphs, written node by node: the same checkpoint always gives the same bytes."""

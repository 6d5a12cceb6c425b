"""Takes over the two towers of a CLIP from ready-made ONNX graphs, as model hubs have them."""

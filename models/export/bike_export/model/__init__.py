"""BIKE's arithmetic in PyTorch, f32, written out from the papers: what graphs are made from and checked against."""

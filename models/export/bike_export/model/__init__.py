"""Implements BIKE's arithmetic in PyTorch, f32, from the papers. Graphs are made from it and checked against it."""

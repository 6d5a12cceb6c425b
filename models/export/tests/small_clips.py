"""Makes small clips: folders of pictures and GIFs."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image


def drifting_pictures(size: tuple[int, int], count: int, seed: int) -> list[Image.Image]:
    """Returns `count` pictures of `size` (width, height) with smooth colours that change slowly through four scenes."""
    rng = np.random.default_rng(seed)
    scenes = rng.integers(0, 256, (4, 6, 5, 3)).astype(float)
    pictures = []
    for i in range(count):
        at = i / max(count - 1, 1) * (len(scenes) - 1.001)
        scene, share = int(at), at - int(at)
        cells = (1 - share) * scenes[scene] + share * scenes[scene + 1]
        pictures.append(Image.fromarray(cells.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC))
    return pictures


def save_tensors(pictures: torch.Tensor, folder: Path) -> Path:
    """Saves pictures [n, 3, S, S] u8 as a folder of PNG files."""
    return save_pictures([Image.fromarray(picture.permute(1, 2, 0).numpy()) for picture in pictures], folder)


def save_pictures(pictures: list[Image.Image], folder: Path) -> Path:
    """Saves pictures as a folder of PNG files."""
    folder.mkdir()
    for i, picture in enumerate(pictures):
        picture.save(folder / f"img_{i + 1:05d}.png")
    return folder


def save_gif(pictures: list[Image.Image], path: Path) -> Path:
    """Saves pictures as an animated GIF."""
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40)
    return path

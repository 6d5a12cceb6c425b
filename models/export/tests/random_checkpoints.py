"""Makes checkpoints with random weights, in every supported format, at tiny and at full size.

    python tests/random_checkpoints.py --arch tiny|B/32|B/16|L/14 --format bike --header out.pt

The scales are chosen so that tests can distinguish right from wrong results. With PyTorch's initial values, all frames
get nearly the same embedding (cosine above .99): the class token averages over patches, and its constant parts,
positions and biases, outweigh the rest. Therefore
- patch kernels have zero mean (brightness changes nothing) and unit gain,
- queries and keys have a gain of 1.5, so that attention selects instead of averaging,
- values and the output projection have a gain of 2 in the first block, so that the picture outweighs the constant
  class token, and 1 / sqrt(layers) in later blocks, so that values neither vanish nor explode,
- the header's blocks have at most half the gain: they mix frames, which must remain different,
- biases and positions are small but not zero, so that a missing one changes results.
Embeddings of different noise frames then have cosines near 0, and different names have different sentences.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from hugging_face_names import hugging_face_state

SIZES = {  # width, layers, patch, grid, embed, text width, text layers, context, vocabulary
    "tiny": (128, 2, 16, 3, 64, 64, 2, 77, 49408),
    "tiny-wide-48": (64, 2, 8, 6, 128, 128, 2, 77, 49408),  # another D, for a separate attribute encoder
    "tiny-224": (128, 2, 32, 7, 64, 64, 2, 77, 49408),  # the frame size of BIKE's protocol
    "B/32": (768, 12, 32, 7, 512, 512, 12, 77, 49408),
    "B/16": (768, 12, 16, 14, 512, 512, 12, 77, 49408),
    "L/14": (1024, 24, 14, 16, 768, 768, 12, 77, 49408),
    "L/14@336": (1024, 24, 14, 24, 768, 768, 12, 77, 49408),
}
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
State = dict[str, torch.Tensor]


class Draw:
    """Draws normal numbers from one seed."""

    def __init__(self, seed: int):
        self.source = torch.Generator().manual_seed(seed)

    def __call__(self, *shape: int, std: float) -> torch.Tensor:
        return torch.randn(*shape, generator=self.source) * std


def blocks(draw: Draw, prefix: str, width: int, layers: int, first: float = 2.0, later: float = 1.0) -> State:
    out: State = {}
    for i in range(layers):
        gain = first if i == 0 else later * layers**-0.5
        qk, v = draw(2 * width, width, std=1.5 * width**-0.5), draw(width, width, std=gain * width**-0.5)
        out |= {
            f"{prefix}{i}.{k}": t
            for k, t in {
                "ln_1.weight": 1 + draw(width, std=0.1),
                "ln_1.bias": draw(width, std=0.05),
                "attn.in_proj_weight": torch.cat([qk, v]),
                "attn.in_proj_bias": draw(3 * width, std=0.02),
                "attn.out_proj.weight": draw(width, width, std=gain * width**-0.5),
                "attn.out_proj.bias": draw(width, std=0.02),
                "ln_2.weight": 1 + draw(width, std=0.1),
                "ln_2.bias": draw(width, std=0.05),
                "mlp.c_fc.weight": draw(4 * width, width, std=width**-0.5),
                "mlp.c_fc.bias": draw(4 * width, std=0.02),
                "mlp.c_proj.weight": draw(width, 4 * width, std=later * layers**-0.5 * (2 * width) ** -0.5),
                "mlp.c_proj.bias": draw(width, std=0.02),
            }.items()
        }
    return out


def clip_state(arch: str, seed: int = 0) -> State:
    """Returns a CLIP in its own names, f32."""
    width, layers, patch, grid, embed, text_width, text_layers, context, vocabulary = SIZES[arch]
    draw = Draw(seed)
    kernel = draw(width, 3, patch, patch, std=1.0)
    kernel = kernel - kernel.mean((1, 2, 3), keepdim=True)
    return {
        "visual.conv1.weight": kernel * (3 * patch**2) ** -0.5,
        "visual.class_embedding": draw(width, std=0.1),
        "visual.positional_embedding": draw(grid**2 + 1, width, std=0.1),
        "visual.proj": draw(width, embed, std=width**-0.5),
        "visual.ln_pre.weight": 1 + draw(width, std=0.1),
        "visual.ln_pre.bias": draw(width, std=0.05),
        "visual.ln_post.weight": 1 + draw(width, std=0.1),
        "visual.ln_post.bias": draw(width, std=0.05),
        **blocks(draw, "visual.transformer.resblocks.", width, layers),
        "token_embedding.weight": draw(vocabulary, text_width, std=1.0),
        "positional_embedding": draw(context, text_width, std=0.2),
        "ln_final.weight": 1 + draw(text_width, std=0.1),
        "ln_final.bias": draw(text_width, std=0.05),
        "text_projection": draw(text_width, embed, std=text_width**-0.5),
        "logit_scale": torch.tensor(4.6052),
        **blocks(draw, "transformer.resblocks.", text_width, text_layers),
    }


def header_state(arch: str, seed: int = 1) -> State:
    """Returns the temporal header `Transf`."""
    embed, context = SIZES[arch][4], SIZES[arch][7]
    draw = Draw(seed)
    return {
        "frame_position_embeddings.weight": draw(context, embed, std=0.1),
        **blocks(draw, "transformer.resblocks.", embed, 6, first=0.2, later=0.5),
    }


def attribute_state(arch: str, seed: int = 2) -> State:
    """Returns the trained attribute heads."""
    embed = SIZES[arch][4]
    draw = Draw(seed)
    return {
        f"{head}_fc.{i}.{p}": draw(embed, embed, std=1.5 * embed**-0.5) if p == "weight" else draw(embed, std=0.02)
        for head in ("query", "sentence")
        for i in (0, 2)
        for p in ("weight", "bias")
    }


def half(state: State) -> State:
    return {k: v.half() for k, v in state.items()}


def save_bike(path: Path, clip: State, fusion: State, *, wrapped: bool = True) -> Path:
    """Saves as train.py and train_attributes.py do. `wrapped` adds the `module.` of data-parallel training."""

    def named(state: State) -> State:
        return {
            ("visual.module." + k[7:] if k.startswith("visual.") else f"module.{k}") if wrapped else k: v
            for k, v in state.items()
        }

    optimiser = {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 5e-5, "params": [0]}]}
    torch.save(
        {
            "epoch": 29,
            "model_state_dict": named(clip),
            "fusion_model_state_dict": named(fusion),
            "optimizer_state_dict": optimiser,
        },
        path,
    )
    return path


class _Root(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def save_archive(path: Path, clip: State) -> Path:
    """Saves a TorchScript archive as OpenAI does: tensors as fp16 parameters of nested modules, and three facts."""
    root = _Root()
    facts = {
        "input_resolution": torch.tensor(224),
        "context_length": torch.tensor(77),
        "vocab_size": torch.tensor(49408),
    }
    for name, tensor in {**half(clip), **facts}.items():
        *modules, leaf = name.split(".")
        at: nn.Module = root
        for part in modules:
            if part not in at._modules:
                at.add_module(part, nn.Module())
            at = at._modules[part]
        if tensor.is_floating_point():
            at.register_parameter(leaf, nn.Parameter(tensor, requires_grad=False))
        else:
            at.register_buffer(leaf, tensor)
    torch.jit.save(torch.jit.script(root), str(path))
    return path


def save_hugging_face(
    folder: Path, clip: State, arch: str, *, safe: bool = True, activation: str = "quick_gelu"
) -> Path:
    """Saves a `CLIPModel` folder: config.json and the weights, safetensors or bin."""
    from safetensors.torch import save_file

    width, layers, patch, grid, embed, text_width, text_layers, context, vocabulary = SIZES[arch]
    folder.mkdir(parents=True)
    common = {"hidden_act": activation, "layer_norm_eps": 1e-5, "projection_dim": embed}
    vision = {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // 64,
        "image_size": patch * grid,
        "patch_size": patch,
        **common,
    }
    text = {
        "hidden_size": text_width,
        "intermediate_size": 4 * text_width,
        "num_hidden_layers": text_layers,
        "num_attention_heads": text_width // 64,
        "max_position_embeddings": context,
        "vocab_size": vocabulary,
        "eos_token_id": 2,
        **common,
    }
    (folder / "config.json").write_text(
        json.dumps(
            {
                "model_type": "clip",
                "architectures": ["CLIPModel"],
                "projection_dim": embed,
                "vision_config": vision,
                "text_config": text,
            }
        )
    )
    state = hugging_face_state(clip)
    if safe:
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    else:
        state["text_model.embeddings.position_ids"] = torch.arange(context)[None]
        torch.save(state, folder / "pytorch_model.bin")
    return folder


def normalised(pictures: torch.Tensor) -> torch.Tensor:
    """Returns pictures [n, 3, S, S] u8 as normalised frames f32: scaled to 0..1, CLIP's mean and deviation."""
    mean, std = torch.tensor(MEAN)[:, None, None], torch.tensor(STD)[:, None, None]
    return (pictures.float() / 255 - mean) / std


def different_pictures(encode: Callable[[torch.Tensor], torch.Tensor], size: int, count: int = 8) -> torch.Tensor:
    """Returns noise pictures [count, 3, size, size] u8 whose embeddings differ.

    Of 32 drawn pictures, the one with the smallest largest cosine to the chosen ones is chosen, one after the other.
    """
    drawn = torch.randint(0, 256, (32, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    v = torch.cat([encode(normalised(f[None])) for f in drawn])
    v = v / v.norm(dim=-1, keepdim=True)
    cosine, chosen = v @ v.T, [0]
    while len(chosen) < count:
        largest = cosine[:, chosen].amax(1)
        largest[chosen] = 2.0
        chosen.append(int(largest.argmin()))
    return drawn[chosen]


FORMATS = ("bike", "bike-attributes", "archive", "state-dict", "hugging-face")


def save(
    path: Path, form: str, arch: str, *, header: bool = False, seed: int = 0, half_precision: bool = False
) -> Path:
    """Saves a random checkpoint in one format."""
    clip = clip_state(arch, seed)
    clip = half(clip) if half_precision else clip
    if form == "bike":
        fusion = header_state(arch, seed + 1) if header else {}
        return save_bike(path, clip, half(fusion) if half_precision else fusion)
    if form == "bike-attributes":
        return save_bike(path, clip, attribute_state(arch, seed + 2))
    if form == "archive":
        return save_archive(path, clip)
    if form == "hugging-face":
        return save_hugging_face(path, clip, arch)
    torch.save(clip, path)
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--arch", choices=SIZES, default="tiny")
    parser.add_argument("--format", choices=FORMATS, default="bike")
    parser.add_argument("--header", action="store_true", help="add the temporal header Transf (default: none)")
    parser.add_argument("--half", action="store_true", help="save fp16 weights (default: f32)")
    parser.add_argument("--seed", type=int, default=0)
    a = parser.parse_args()
    save(a.out, a.format, a.arch, header=a.header, seed=a.seed, half_precision=a.half)

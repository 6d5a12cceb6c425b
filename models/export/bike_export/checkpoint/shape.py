"""The sizes of a CLIP model, read from its tensors, and the check that all of them are there and whole."""

from dataclasses import dataclass

import torch

from .problem import BadCheckpoint, some

CONTEXT, VOCABULARY = 77, 49408  # of CLIP's text tower
HEAD = 64  # width of an attention head in every CLIP ViT of the family
# OpenCLIP's larger towers, whose heads are of another width that no tensor tells.
OTHER_HEADS = {1280: "ViT-H/14", 1408: "ViT-g/14", 1664: "ViT-bigG/14"}


@dataclass(frozen=True)
class Shape:
    """Sizes of both towers. Frames are `size` x `size`; D is `embed`."""

    width: int
    layers: int
    patch: int
    grid: int
    embed: int
    text_width: int
    text_layers: int
    context: int
    vocabulary: int

    @property
    def heads(self) -> int:
        return self.width // HEAD

    @property
    def text_heads(self) -> int:
        return self.text_width // HEAD

    @property
    def size(self) -> int:
        return self.patch * self.grid

    @property
    def tokens(self) -> int:
        return self.grid**2 + 1

    @property
    def name(self) -> str:
        """The published name of these sizes, such as ViT-B/32, or the sizes."""
        family = {(768, 12): "B", (1024, 24): "L"}.get((self.width, self.layers))
        if family:
            at = f"@{self.size}px" if self.size != 224 else ""
            return f"ViT-{family}/{self.patch}{at}"
        return f"ViT of width {self.width}, {self.layers} layers, patch {self.patch}, {self.size} px"


def _size(state: dict[str, torch.Tensor], name: str, axes: int, where: str) -> torch.Size:
    if name not in state:
        raise BadCheckpoint(f"{where}: {name} is missing")
    if state[name].ndim != axes:
        raise BadCheckpoint(f"{where}: {name} has {state[name].ndim} axes, not {axes}")
    return state[name].shape


def refuse_others(state: dict[str, torch.Tensor], where: str) -> None:
    """Relatives that are another architecture, by name."""
    if any(k.startswith(("visual.layer1.", "visual.attnpool.")) for k in state):
        raise BadCheckpoint(f"{where}: a ResNet CLIP; only vision transformers (ViT) are supported")
    if "visual.time_embedding" in state:
        raise BadCheckpoint(
            f"{where}: a joint space-time model (joint_st: True), which cannot encode frame by frame; train with joint_st: False"
        )
    if any(k.startswith(("visual.trunk.", "visual.head.")) for k in state):
        raise BadCheckpoint(f"{where}: an OpenCLIP model with a timm image tower; only CLIP's own ViT is supported")
    if "logit_bias" in state:
        raise BadCheckpoint(f"{where}: a SigLIP model; only CLIP models are supported")


def read_shape(state: dict[str, torch.Tensor], where: str) -> Shape:
    """Sizes from tensors, as the reference reads them; each must be a multiple that the architecture allows."""
    refuse_others(state, where)
    width, _, patch, _ = _size(state, "visual.conv1.weight", 4, where)
    positions = _size(state, "visual.positional_embedding", 2, where)[0]
    grid = round(max(positions - 1, 0) ** 0.5)
    if grid < 1 or grid**2 + 1 != positions:
        raise BadCheckpoint(f"{where}: visual.positional_embedding has {positions} rows, which is not a square and one")
    embed = _size(state, "text_projection", 2, where)[1]
    context = _size(state, "positional_embedding", 2, where)[0]
    vocabulary = _size(state, "token_embedding.weight", 2, where)[0]
    if context > CONTEXT or vocabulary < VOCABULARY:
        raise BadCheckpoint(
            f"{where}: a text tower of {context} positions and {vocabulary} tokens; CLIP's has {CONTEXT} and {VOCABULARY}, and others are not supported"
        )
    text_width = _size(state, "ln_final.weight", 1, where)[0]
    for what, value in (("visual", width), ("text", text_width)):
        if value in OTHER_HEADS:
            raise BadCheckpoint(
                f"{where}: {what} width {value} is {OTHER_HEADS[value]}'s, whose attention heads are not {HEAD} wide; not supported"
            )
        if value % HEAD or not value:
            raise BadCheckpoint(f"{where}: {what} width {value} is not a multiple of {HEAD}, the width of a head")

    def layers(prefix: str) -> int:
        found = {k[len(prefix) :].split(".")[0] for k in state if k.startswith(prefix)}
        return max((int(n) + 1 for n in found if n.isdigit()), default=0)

    return Shape(
        width,
        layers("visual.transformer.resblocks."),
        patch,
        grid,
        embed,
        text_width,
        layers("transformer.resblocks."),
        context,
        vocabulary,
    )


def block_shapes(prefix: str, width: int, layers: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of residual attention blocks."""
    one = {
        "ln_1.weight": (width,),
        "ln_1.bias": (width,),
        "attn.in_proj_weight": (3 * width, width),
        "attn.in_proj_bias": (3 * width,),
        "attn.out_proj.weight": (width, width),
        "attn.out_proj.bias": (width,),
        "ln_2.weight": (width,),
        "ln_2.bias": (width,),
        "mlp.c_fc.weight": (4 * width, width),
        "mlp.c_fc.bias": (4 * width,),
        "mlp.c_proj.weight": (width, 4 * width),
        "mlp.c_proj.bias": (width,),
    }
    return {f"{prefix}{i}.{k}": v for i in range(layers) for k, v in one.items()}


def clip_shapes(s: Shape) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all tensors of a CLIP."""
    return {
        "visual.conv1.weight": (s.width, 3, s.patch, s.patch),
        "visual.class_embedding": (s.width,),
        "visual.positional_embedding": (s.tokens, s.width),
        "visual.proj": (s.width, s.embed),
        **{f"visual.{ln}.{p}": (s.width,) for ln in ("ln_pre", "ln_post") for p in ("weight", "bias")},
        **block_shapes("visual.transformer.resblocks.", s.width, s.layers),
        "token_embedding.weight": (s.vocabulary, s.text_width),
        "positional_embedding": (s.context, s.text_width),
        "ln_final.weight": (s.text_width,),
        "ln_final.bias": (s.text_width,),
        "text_projection": (s.text_width, s.embed),
        "logit_scale": (),
        **block_shapes("transformer.resblocks.", s.text_width, s.text_layers),
    }


def header_shapes(s: Shape) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the temporal header `Transf`: positions [77, D] and six blocks of width D."""
    return {
        "frame_position_embeddings.weight": (s.context, s.embed),
        **block_shapes("transformer.resblocks.", s.embed, 6),
    }


def attribute_shapes(s: Shape) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the trained attribute heads: two MLPs of two layers, width D."""
    return {
        f"{head}_fc.{i}.{p}": (s.embed, s.embed) if p == "weight" else (s.embed,)
        for head in ("query", "sentence")
        for i in (0, 2)
        for p in ("weight", "bias")
    }


def check(state: dict[str, torch.Tensor], expected: dict[str, tuple[int, ...]], where: str) -> dict[str, torch.Tensor]:
    """The tensors, f32, when names and shapes are exactly those expected and every number is finite."""
    missing = sorted(set(expected) - set(state))
    extra = sorted(set(state) - set(expected))
    if missing:
        raise BadCheckpoint(f"{where}: missing {some(missing)}")
    if extra:
        raise BadCheckpoint(f"{where}: not part of this architecture: {some(extra)}")
    for name, shape in expected.items():
        found = tuple(state[name].shape)
        if found != shape:
            turned = " (transposed)" if len(shape) == 2 and found == shape[::-1] else ""
            raise BadCheckpoint(f"{where}: {name} is {list(found)}{turned}, not {list(shape)}")
        if not state[name].is_floating_point():
            raise BadCheckpoint(f"{where}: {name} holds {state[name].dtype}, not real numbers")
        if not bool(torch.isfinite(state[name]).all()):
            raise BadCheckpoint(f"{where}: {name} has values that are not finite (NaN or infinite)")
    return {name: state[name].float().contiguous() for name in expected}

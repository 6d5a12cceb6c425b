"""Reads the sizes of a CLIP model from its tensors, and checks that all tensors are present and finite."""

from dataclasses import dataclass

import torch

from ..problem import Problem, shorten

CONTEXT, VOCABULARY = 77, 49408  # of CLIP's text tower
HEAD = 64  # width of an attention head, unless the configuration of a model states another one
# OpenCLIP's larger towers have heads of another width, which no tensor shows.
OTHER_HEADS = {1280: "ViT-H/14", 1408: "ViT-g/14", 1664: "ViT-bigG/14"}


@dataclass(frozen=True)
class Heads:
    """What the configuration of a model states about the attention heads of a tower: their width or their number."""

    width: int | None = None
    count: int | None = None


@dataclass(frozen=True)
class Shape:
    """Sizes of both towers. Crops are `size` x `size` pixels; D is `embed`."""

    width: int
    layers: int
    patch: int
    grid: int
    embed: int
    text_width: int
    text_layers: int
    context: int
    vocabulary: int
    head: int  # width of an attention head of the frame encoder, and of the text tower
    text_head: int
    mlp: int  # width of the hidden layer of a block of the frame encoder, and of the text tower
    text_mlp: int

    @property
    def heads(self) -> int:
        """Returns the attention heads of the frame encoder."""
        return self.width // self.head

    @property
    def text_heads(self) -> int:
        """Returns the attention heads of the text tower."""
        return self.text_width // self.text_head

    @property
    def size(self) -> int:
        """Returns the side of a crop in pixels."""
        return self.patch * self.grid

    @property
    def tokens(self) -> int:
        """Returns the tokens of a crop: its patches and the class token."""
        return self.grid**2 + 1

    @property
    def name(self) -> str:
        """Returns the published name of these sizes, such as ViT-B/32, or else the sizes."""
        family = {(768, 12): "B", (1024, 24): "L"}.get((self.width, self.layers))
        if family:
            at = f"@{self.size}px" if self.size != 224 else ""
            return f"ViT-{family}/{self.patch}{at}"
        return f"ViT of width {self.width}, {self.layers} layers, patch {self.patch}, {self.size} px"


def _size(state: dict[str, torch.Tensor], name: str, axes: int, where: str) -> torch.Size:
    if name not in state:
        raise Problem(f"{where}: {name} is missing; use the whole checkpoint")
    if state[name].ndim != axes:
        raise Problem(f"{where}: {name} has {state[name].ndim} axes, not {axes}; use a CLIP checkpoint")
    return state[name].shape


def refuse_other_architectures(state: dict[str, torch.Tensor], where: str) -> None:
    """Refuses related models of another architecture by name."""
    if any(k.startswith(("visual.layer1.", "visual.attnpool.")) for k in state):
        raise Problem(f"{where}: a ResNet CLIP, which is not supported; use a vision transformer (ViT)")
    if "visual.time_embedding" in state:
        raise Problem(
            f"{where}: a joint space-time model (joint_st: True), which cannot encode single frames; "
            "train with joint_st: False"
        )
    if any(k.startswith(("visual.trunk.", "visual.head.")) for k in state):
        raise Problem(
            f"{where}: an OpenCLIP model with a timm image tower, which is not supported; use one with CLIP's own ViT"
        )
    if "logit_bias" in state:
        raise Problem(f"{where}: a SigLIP model, which is not supported; use a CLIP model")


def head_width(tower: str, width: int, heads: Heads, where: str) -> int:
    """Returns the width of a tower's attention heads: as the configuration states, else 64. It divides the width."""
    if heads.count is not None:
        if heads.count < 1 or width % heads.count or not width:
            raise Problem(
                f"{where}: {tower} width {width} cannot be divided into {heads.count} attention heads, which the "
                "configuration states; copy the configuration again"
            )
        return width // heads.count
    if heads.width is None and width in OTHER_HEADS and tower == "visual":
        raise Problem(
            f"{where}: {tower} width {width} is that of {OTHER_HEADS[width]}, whose attention heads are not {HEAD} "
            "wide, and there is no configuration that states their width; use a model folder with its config.json or "
            "open_clip_config.json"
        )
    head = HEAD if heads.width is None else heads.width
    if head < 1 or width % head or not width:
        raise Problem(
            f"{where}: {tower} width {width} is not a multiple of {head}, the width of an attention head; "
            "use another model"
        )
    return head


def read_shape(
    state: dict[str, torch.Tensor], where: str, heads: Heads | None = None, text_heads: Heads | None = None
) -> Shape:
    """Reads the sizes from the tensors, as the reference does, and refuses sizes that are not supported."""
    refuse_other_architectures(state, where)
    width, _, patch, _ = _size(state, "visual.conv1.weight", 4, where)
    positions = _size(state, "visual.positional_embedding", 2, where)[0]
    grid = round(max(positions - 1, 0) ** 0.5)
    if grid < 1 or grid**2 + 1 != positions:
        raise Problem(
            f"{where}: visual.positional_embedding has {positions} rows, not a square number and one; "
            "use a CLIP checkpoint"
        )
    embed = _size(state, "text_projection", 2, where)[1]
    context = _size(state, "positional_embedding", 2, where)[0]
    vocabulary = _size(state, "token_embedding.weight", 2, where)[0]
    if context > CONTEXT or vocabulary < VOCABULARY:
        raise Problem(
            f"{where}: the text tower has {context} positions and {vocabulary} tokens, and only CLIP's {CONTEXT} and "
            f"{VOCABULARY} are supported; use another model"
        )
    text_width = _size(state, "ln_final.weight", 1, where)[0]
    head = head_width("visual", width, heads or Heads(), where)
    text_head = head_width("text", text_width, text_heads or Heads(), where)

    def layers(prefix: str) -> int:
        numbers = {k[len(prefix) :].split(".")[0] for k in state if k.startswith(prefix)}
        return max((int(n) + 1 for n in numbers if n.isdigit()), default=0)

    def mlp(prefix: str, width: int) -> int:
        first = state.get(f"{prefix}0.mlp.c_fc.weight")
        return first.shape[0] if first is not None and first.ndim == 2 else 4 * width

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
        head,
        text_head,
        mlp("visual.transformer.resblocks.", width),
        mlp("transformer.resblocks.", text_width),
    )


def block_shapes(prefix: str, width: int, layers: int, mlp: int) -> dict[str, tuple[int, ...]]:
    """Returns names and shapes of residual attention blocks, whose hidden layer has width `mlp`."""
    one = {
        "ln_1.weight": (width,),
        "ln_1.bias": (width,),
        "attn.in_proj_weight": (3 * width, width),
        "attn.in_proj_bias": (3 * width,),
        "attn.out_proj.weight": (width, width),
        "attn.out_proj.bias": (width,),
        "ln_2.weight": (width,),
        "ln_2.bias": (width,),
        "mlp.c_fc.weight": (mlp, width),
        "mlp.c_fc.bias": (mlp,),
        "mlp.c_proj.weight": (width, mlp),
        "mlp.c_proj.bias": (width,),
    }
    return {f"{prefix}{i}.{k}": v for i in range(layers) for k, v in one.items()}


def clip_shapes(s: Shape) -> dict[str, tuple[int, ...]]:
    """Returns names and shapes of all tensors of a CLIP."""
    return {
        "visual.conv1.weight": (s.width, 3, s.patch, s.patch),
        "visual.class_embedding": (s.width,),
        "visual.positional_embedding": (s.tokens, s.width),
        "visual.proj": (s.width, s.embed),
        **{f"visual.{ln}.{p}": (s.width,) for ln in ("ln_pre", "ln_post") for p in ("weight", "bias")},
        **block_shapes("visual.transformer.resblocks.", s.width, s.layers, s.mlp),
        "token_embedding.weight": (s.vocabulary, s.text_width),
        "positional_embedding": (s.context, s.text_width),
        "ln_final.weight": (s.text_width,),
        "ln_final.bias": (s.text_width,),
        "text_projection": (s.text_width, s.embed),
        "logit_scale": (),
        **block_shapes("transformer.resblocks.", s.text_width, s.text_layers, s.text_mlp),
    }


def header_shapes(s: Shape) -> dict[str, tuple[int, ...]]:
    """Returns names and shapes of the temporal header `Transf`: positions [77, D] and six blocks of width D."""
    return {
        "frame_position_embeddings.weight": (s.context, s.embed),
        **block_shapes("transformer.resblocks.", s.embed, 6, 4 * s.embed),
    }


def attribute_shapes(s: Shape) -> dict[str, tuple[int, ...]]:
    """Returns names and shapes of the trained attribute heads: two MLPs of two layers, width D."""
    return {
        f"{head}_fc.{i}.{p}": (s.embed, s.embed) if p == "weight" else (s.embed,)
        for head in ("query", "sentence")
        for i in (0, 2)
        for p in ("weight", "bias")
    }


def check(state: dict[str, torch.Tensor], expected: dict[str, tuple[int, ...]], where: str) -> dict[str, torch.Tensor]:
    """Returns the tensors in f32. Refuses other names or shapes than the expected ones, and infinite numbers."""
    missing = sorted(set(expected) - set(state))
    extra = sorted(set(state) - set(expected))
    if missing:
        raise Problem(f"{where}: missing {shorten(missing)}; use the whole checkpoint")
    if extra:
        raise Problem(f"{where}: not part of this architecture: {shorten(extra)}; use a plain CLIP or BIKE checkpoint")
    for name, shape in expected.items():
        found = tuple(state[name].shape)
        if found != shape:
            transposed = " (transposed)" if len(shape) == 2 and found == shape[::-1] else ""
            raise Problem(
                f"{where}: {name} is {list(found)}{transposed}, not {list(shape)}; "
                "use the checkpoint as it was published"
            )
        if not state[name].is_floating_point():
            raise Problem(
                f"{where}: {name} has {state[name].dtype} numbers, not floats; use the checkpoint as it was published"
            )
        if not bool(torch.isfinite(state[name]).all()):
            raise Problem(f"{where}: {name} has values that are not finite (NaN or infinite); use another checkpoint")
    return {name: state[name].float().contiguous() for name in expected}

"""Renames CLIP weights to the names of Hugging Face's `CLIPModel`, the inverse of what the exporter does."""

import torch

State = dict[str, torch.Tensor]


def hugging_face_state(clip: State) -> State:
    """Returns the same weights in Hugging Face's names."""
    out: State = {}
    top = {
        "visual.class_embedding": "vision_model.embeddings.class_embedding",
        "visual.conv1": "vision_model.embeddings.patch_embedding",
        "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
        "visual.ln_pre": "vision_model.pre_layrnorm",
        "visual.ln_post": "vision_model.post_layernorm",
        "token_embedding": "text_model.embeddings.token_embedding",
        "positional_embedding": "text_model.embeddings.position_embedding.weight",
        "ln_final": "text_model.final_layer_norm",
        "logit_scale": "logit_scale",
    }
    inner = {
        "ln_1": "layer_norm1",
        "ln_2": "layer_norm2",
        "mlp.c_fc": "mlp.fc1",
        "mlp.c_proj": "mlp.fc2",
        "attn.out_proj": "self_attn.out_proj",
    }
    for name, t in clip.items():
        stem, _, leaf = name.rpartition(".")
        if name in ("visual.proj", "text_projection"):
            out["visual_projection.weight" if name[0] == "v" else "text_projection.weight"] = t.T.contiguous()
        elif name in top:
            out[top[name]] = t
        elif stem in top:
            out[f"{top[stem]}.{leaf}"] = t
        else:
            tower = "vision" if name.startswith("visual.") else "text"
            layer, rest = name.split("resblocks.")[1].split(".", 1)
            prefix = f"{tower}_model.encoder.layers.{layer}."
            if "in_proj" in rest:
                for letter, part in zip("qkv", t.chunk(3), strict=True):
                    out[f"{prefix}self_attn.{letter}_proj.{rest.split('_')[-1]}"] = part.contiguous()
            else:
                part, _, leaf = rest.rpartition(".")
                out[f"{prefix}{inner[part]}.{leaf}"] = t
    return out

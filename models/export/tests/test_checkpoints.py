"""Every published format loads as the same model, and everything else is refused by name."""

import json
import pickle
import shutil
import zipfile
from pathlib import Path

import pytest
import torch

import random_checkpoints as rc
from bike_export.checkpoint import load
from bike_export.model.towers import encode_frames, encode_text
from bike_export.problem import Problem


def same(a: dict, b: dict, tolerance: float) -> bool:
    return a.keys() == b.keys() and all(torch.allclose(a[k], b[k], atol=tolerance) for k in a)


@pytest.mark.parametrize(
    ("form", "kind", "tolerance"),
    [
        ("bike", "BIKE checkpoint", 4e-3),
        ("bike-attributes", "BIKE attribute checkpoint", 0),
        ("archive", "OpenAI CLIP archive", 4e-3),
        ("state-dict", "torch.save", 0),
        ("hugging-face", "Hugging Face CLIPModel", 0),
    ],
)
def test_every_format_gives_the_same_weights(samples, form: str, kind: str, tolerance: float):
    c = load(samples[form], "quickgelu" if form == "state-dict" else None)
    assert c.kind.startswith(kind)
    assert c.activation == "quickgelu"
    assert same(c.clip, rc.clip_state("tiny"), tolerance)
    assert bool(c.heads) == (form == "bike-attributes")


def test_hugging_face_folders_agree_with_transformers(samples):
    from transformers import CLIPModel

    reference = CLIPModel.from_pretrained(samples["hugging-face"], local_files_only=True).eval()
    c = load(samples["hugging-face"])
    torch.manual_seed(0)
    frames = torch.randn(2, 3, 48, 48)
    with torch.no_grad():
        pooled = reference.vision_model(pixel_values=frames).pooler_output
        assert torch.allclose(reference.visual_projection(pooled), encode_frames(c, frames), atol=1e-4)
        tokens = torch.zeros(1, 77, dtype=torch.long)
        tokens[0, :4] = torch.tensor([49406, 320, 1929, 49407])
        hidden = reference.text_model(input_ids=tokens).last_hidden_state
        assert torch.allclose(reference.text_projection(hidden), encode_text(c, tokens), atol=1e-4)


def test_bin_folders_and_gelu_load(tmp_path: Path):
    folder = rc.save_hugging_face(tmp_path / "bin", rc.clip_state("tiny"), "tiny", safe=False, activation="gelu")
    c = load(folder)
    assert c.activation == "gelu"
    assert same(c.clip, rc.clip_state("tiny"), 0)


def test_openclip_training_checkpoints_load_with_an_activation(tmp_path: Path):
    clip = rc.clip_state("tiny")
    towers = {k if k.startswith("visual.") or k == "logit_scale" else f"text.{k}": v for k, v in clip.items()}
    towers["text.attn_mask"] = torch.zeros(77, 77)
    torch.save(
        {"epoch": 3, "name": "x", "state_dict": {f"module.{k}": v for k, v in towers.items()}}, tmp_path / "o.pt"
    )
    assert same(load(tmp_path / "o.pt", "gelu").clip, clip, 0)
    with pytest.raises(Problem, match="--activation"):
        load(tmp_path / "o.pt")


@pytest.mark.parametrize(("quick", "activation"), [(True, "quickgelu"), (False, "gelu")])
def test_openclip_folders_declare_their_activation(tmp_path: Path, quick: bool, activation: str):
    from safetensors.torch import save_file

    clip = {k: v.contiguous() for k, v in rc.clip_state("tiny").items()}
    save_file(clip, tmp_path / "open_clip_model.safetensors")
    config = {"model_cfg": {"embed_dim": 64, **({"quick_gelu": True} if quick else {})}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    c = load(tmp_path)
    assert c.activation == activation and same(c.clip, clip, 0)
    # A contradicting flag is refused.
    with pytest.raises(Problem, match=f"declares {activation}; leave the option out"):
        load(tmp_path, "gelu" if quick else "quickgelu")


@pytest.mark.parametrize(
    ("file", "config", "message"),
    [
        ("open_clip_config.json", {"model_cfg": {"vision_cfg": {"head_width": 80}}}, "not a multiple of 80, the width"),
        ("open_clip_config.json", {"model_cfg": {"text_cfg": {"no_causal_mask": True}}}, "no_causal_mask is True"),
        ("open_clip_config.json", {"preprocess_cfg": {"mean": [0.5, 0.5, 0.5]}}, "mean"),
        (
            "open_clip_config.json",
            {"model_cfg": {"vision_cfg": {"timm_model_name": "vit_b"}}},
            "timm image tower 'vit_b'",
        ),
        ("open_clip_config.json", {"model_cfg": {"vision_cfg": {"layers": [3, 4, 6, 3]}}}, "a ResNet CLIP"),
        ("open_clip_config.json", {"model_cfg": {"init_logit_bias": -10}}, "a SigLIP model"),
        ("open_clip_config.json", {"model_cfg": {"multimodal_cfg": {}}}, "a CoCa model"),
        ("open_clip_config.json", {"model_cfg": {"text_cfg": {"heads": 0}}}, "text_cfg.heads is 0"),
        ("open_clip_config.json", {"model_cfg": {"text_cfg": {"heads": 5}}}, "text width 64 cannot be divided into 5"),
        ("preprocessor_config.json", {"image_std": [0.5, 0.5, 0.5]}, "std"),
        ("preprocessor_config.json", {"image_mean": "grey"}, "mean grey"),
    ],
)
def test_folders_with_unsupported_settings_are_refused(tmp_path: Path, file: str, config: dict, message: str):
    from safetensors.torch import save_file

    save_file({k: v.contiguous() for k, v in rc.clip_state("tiny").items()}, tmp_path / "open_clip_model.safetensors")
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": {}}))
    (tmp_path / file).write_text(json.dumps(config))
    with pytest.raises(Problem, match=message):
        load(tmp_path)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "siglip"}, "config.json: a SigLIP model"),
        ({"model_type": "align"}, "an ALIGN model"),
        ({"model_type": "bert"}, "a 'bert' model"),
        ({"model_type": ["clip"]}, "not supported; use a CLIP model"),
        ({"architecture": "vit_base_patch32_clip_224"}, "a timm model"),
        ({"vision_config": {"hidden_act": "relu"}}, "the activation is"),
        ({"vision_config": {"layer_norm_eps": "small"}}, "layer_norm_eps is 'small'"),
        ({"vision_config": 1}, "vision_config is not an object"),
        ({"vision_config": {"num_attention_heads": "2"}}, "num_attention_heads is '2', not a positive integer"),
        ({"vision_config": {"num_attention_heads": 5}}, "visual width 128 cannot be divided into 5 attention heads"),
        ({"vision_config": {"hidden_size": 128}}, "cannot be divided into 12"),  # the default of the library
    ],
)
def test_hugging_face_folders_of_other_models_are_refused(samples, tmp_path: Path, config: dict, message: str):
    shutil.copy(samples["hugging-face"] / "model.safetensors", tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(Problem, match=message):
        load(tmp_path)


def with_heads(folder: Path, source: Path, visual: int, text: int) -> Path:
    """Copies a Hugging Face folder with other numbers of attention heads."""
    shutil.copytree(source, folder)
    config = json.loads((folder / "config.json").read_text())
    config["vision_config"]["num_attention_heads"] = visual
    config["text_config"]["num_attention_heads"] = text
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_heads_of_another_width_agree_with_transformers(samples, tmp_path: Path):
    from transformers import CLIPModel

    folder = with_heads(tmp_path / "heads", samples["hugging-face"], 4, 2)
    c = load(folder)
    assert (c.shape.head, c.shape.heads, c.shape.text_head, c.shape.text_heads) == (32, 4, 32, 2)
    reference = CLIPModel.from_pretrained(folder, local_files_only=True).eval()
    torch.manual_seed(0)
    frames = torch.randn(2, 3, 48, 48)
    tokens = torch.zeros(1, 77, dtype=torch.long)
    tokens[0, :4] = torch.tensor([49406, 320, 1929, 49407])
    with torch.no_grad():
        pooled = reference.vision_model(pixel_values=frames).pooler_output
        expected = reference.visual_projection(pooled)
        hidden = reference.text_model(input_ids=tokens).last_hidden_state
        assert torch.allclose(reference.text_projection(hidden), encode_text(c, tokens), atol=1e-4)
    assert torch.allclose(expected, encode_frames(c, frames), atol=1e-4)
    other = load(samples["hugging-face"])  # heads of width 64
    assert not torch.allclose(expected, encode_frames(other, frames), atol=1e-2)


def test_openclip_states_the_width_of_visual_heads_and_the_number_of_text_heads(tmp_path: Path):
    from safetensors.torch import save_file

    clip = {k: v.contiguous() for k, v in rc.clip_state("tiny").items()}
    # As in OpenCLIP's ViT-g, the hidden layers are not four times as wide; only the tensors show it.
    for i in range(2):
        for name, axis in (("c_fc.weight", 0), ("c_fc.bias", 0), ("c_proj.weight", 1)):
            key = f"visual.transformer.resblocks.{i}.mlp.{name}"
            clip[key] = clip[key].narrow(axis, 0, 384).contiguous()
    save_file(clip, tmp_path / "open_clip_model.safetensors")
    towers = {"vision_cfg": {"width": 128, "head_width": 16, "mlp_ratio": 3.0}, "text_cfg": {"width": 64, "heads": 4}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": towers}))
    s = load(tmp_path).shape
    assert (s.head, s.heads, s.text_head, s.text_heads, s.mlp, s.text_mlp) == (16, 8, 16, 4, 384, 256)
    towers["text_cfg"] = {"width": 64}  # eight heads is OpenCLIP's default
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": towers}))
    assert load(tmp_path).shape.text_head == 8


def test_graphs_have_heads_of_the_stated_width(samples, export, tmp_path: Path, capsys):
    """verify compares the graphs, and the binary if it is built, with PyTorch."""
    from bike_export.__main__ import main

    folder = with_heads(tmp_path / "heads", samples["hugging-face"], 4, 2)
    bundle = export(str(folder), "--precision", "fp32", "--keep-text")
    assert main(["verify", str(bundle), str(folder), "--threads", "1"]) == 0, capsys.readouterr().out


@pytest.mark.parametrize("change", [{"positional_embedding": (96, 64)}, {"token_embedding.weight": (100, 64)}])
def test_text_towers_of_another_size_are_refused(tmp_path: Path, change: dict):
    state = rc.clip_state("tiny") | {k: torch.zeros(shape) for k, shape in change.items()}
    torch.save(state, tmp_path / "other.pt")
    with pytest.raises(Problem, match="77 and 49408"):
        load(tmp_path / "other.pt", "quickgelu")


def test_weights_in_parts_are_joined_and_must_be_in_their_folder(samples, tmp_path: Path):
    from safetensors.torch import load_file, save_file

    whole = load_file(samples["hugging-face"] / "model.safetensors")
    names = sorted(whole)
    parts = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
    for part, part_names in parts.items():
        save_file({n: whole[n] for n in part_names}, tmp_path / part)
    index = {"weight_map": {n: part for part, part_names in parts.items() for n in part_names}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "config.json").write_text((samples["hugging-face"] / "config.json").read_text())
    assert same(load(tmp_path).clip, load(samples["hugging-face"]).clip, 0)
    index["weight_map"]["logit_scale"] = "../elsewhere.safetensors"
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(Problem, match="does not name files in its own folder"):
        load(tmp_path)


def broken(tmp_path: Path, change) -> Path:
    clip = rc.clip_state("tiny")
    change(clip)
    return rc.save_bike(tmp_path / "broken.pt", clip, {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("ln_final.bias"), "missing ln_final.bias"),
        (lambda s: s.update({"visual.extra": torch.zeros(1)}), "visual.extra"),
        (
            lambda s: s.update({"visual.proj": s["visual.proj"].T.contiguous()}),
            r"visual.proj is \[64, 128\] \(transposed\)",
        ),
        (lambda s: s["visual.proj"].fill_(float("nan")), "visual.proj has values that are not finite"),
        (lambda s: s.update({"visual.time_embedding": torch.zeros(8, 128)}), "joint space-time"),
        (lambda s: s.update({"visual.layer1.0.conv1.weight": torch.zeros(1)}), "ResNet"),
        (lambda s: s.update({"visual.conv1.weight": torch.zeros(96, 3, 16, 16)}), "multiple of 64"),
        (lambda s: s.update({"visual.trunk.patch_embed.proj.weight": torch.zeros(1)}), "timm"),
        (lambda s: s.update({"logit_bias": torch.zeros(1)}), "SigLIP"),
        (lambda s: s.update({"visual.conv1.weight": torch.zeros(1280, 3, 14, 14)}), "ViT-H"),
        (lambda s: s.update({"visual.conv1.weight": torch.zeros(1664, 3, 14, 14)}), "bigG"),
        (lambda s: s.pop("visual.transformer.resblocks.0.ln_1.bias"), "visual.transformer.resblocks.0.ln_1.bias"),
    ],
)
def test_problems_name_the_wrong_tensor(tmp_path: Path, change, message: str):
    with pytest.raises(Problem, match=message):
        load(broken(tmp_path, change))


class Attack:
    """Writes a file if a reader unpickles it and runs its code."""

    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return (open, (str(self.target), "w"))


def test_checkpoints_with_code_are_refused_and_not_run(tmp_path: Path):
    mark = tmp_path / "was-run"
    torch.save({"model_state_dict": Attack(mark), "fusion_model_state_dict": {}}, tmp_path / "a.pt")
    # Neither the code nor torch's advice on how to allow it appears.
    with pytest.raises(
        Problem, match=r"a.pt: contains code \([\w.]*open\), which is not run; use a checkpoint of tensors only$"
    ):
        load(tmp_path / "a.pt")
    folder = tmp_path / "hugging-face"
    folder.mkdir()
    torch.save({"logit_scale": Attack(mark)}, folder / "pytorch_model.bin")
    with pytest.raises(Problem, match="not run"):
        load(folder)
    with zipfile.ZipFile(tmp_path / "b.pt", "w") as archive:  # as a TorchScript archive
        archive.writestr("b/data.pkl", pickle.dumps(Attack(mark), protocol=2))
        archive.writestr("b/constants.pkl", b"")
    with pytest.raises(Problem, match="neither a tensor nor a list"):
        load(tmp_path / "b.pt")
    assert not mark.exists()


def test_archives_with_wrong_tensor_sizes_are_refused(samples, tmp_path: Path):
    with zipfile.ZipFile(samples["archive"]) as source, zipfile.ZipFile(tmp_path / "cut.pt", "w") as out:
        for item in source.infolist():
            data = source.read(item)
            out.writestr(item.filename, data[: len(data) // 2] if item.filename.endswith("/data/0") else data)
    with pytest.raises(Problem, match="elements"):
        load(tmp_path / "cut.pt")


def test_archives_that_grow_when_they_are_read_are_refused(samples, tmp_path: Path):
    for form in ("bike", "archive"):
        path = tmp_path / f"{form}.pt"
        with zipfile.ZipFile(samples[form]) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
            for item in source.infolist():
                out.writestr(item.filename, bytes(len(source.read(item))))
        with pytest.raises(Problem, match="an archive with compressed tensors, which PyTorch does not write"):
            load(path)


@pytest.mark.parametrize("form", ["bike", "archive"])
def test_incomplete_files_are_refused(samples, tmp_path: Path, form: str):
    data = samples[form].read_bytes()
    (tmp_path / "cut.pt").write_bytes(data[: len(data) // 2])
    with pytest.raises(Problem, match="cut.pt: a damaged or incomplete .* file; copy it again$"):
        load(tmp_path / "cut.pt")


@pytest.mark.parametrize("data", [b"", b"hello world, this is text", b"\x00" * 64])
def test_other_files_are_refused(tmp_path: Path, data: bytes):
    (tmp_path / "x.pt").write_bytes(data)
    with pytest.raises(Problem, match="x.pt"):
        load(tmp_path / "x.pt")


def test_a_bike_checkpoint_without_its_second_half_is_refused(tmp_path: Path):
    torch.save({"model_state_dict": rc.clip_state("tiny")}, tmp_path / "h.pt")
    with pytest.raises(Problem, match="fusion_model_state_dict"):
        load(tmp_path / "h.pt")

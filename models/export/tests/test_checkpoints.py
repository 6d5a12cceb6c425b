"""Every published format reads as the same model, and what is not a model is refused by name."""

import json
import pickle
import zipfile
from pathlib import Path

import pytest
import random_checkpoints as rc
import torch
from bike_export.checkpoint import BadCheckpoint, load
from bike_export.model.towers import encode_frames, encode_text


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
def test_every_format_gives_the_same_weights(made, form: str, kind: str, tolerance: float):
    c = load(made[form], "quickgelu" if form == "state-dict" else None)
    assert c.kind.startswith(kind)
    assert c.activation == "quickgelu"
    assert same(c.clip, rc.clip_state("tiny"), tolerance)
    assert bool(c.heads) == (form == "bike-attributes")


def test_hugging_face_agrees_with_its_own_library(made):
    from transformers import CLIPModel

    theirs = CLIPModel.from_pretrained(made["hugging-face"], local_files_only=True).eval()
    c = load(made["hugging-face"])
    torch.manual_seed(0)
    frames = torch.randn(2, 3, 48, 48)
    with torch.no_grad():
        pooled = theirs.vision_model(pixel_values=frames).pooler_output
        assert torch.allclose(theirs.visual_projection(pooled), encode_frames(c, frames), atol=1e-4)
        tokens = torch.zeros(1, 77, dtype=torch.long)
        tokens[0, :4] = torch.tensor([49406, 320, 1929, 49407])
        hidden = theirs.text_model(input_ids=tokens).last_hidden_state
        assert torch.allclose(theirs.text_projection(hidden), encode_text(c, tokens), atol=1e-4)


def test_bin_folders_and_gelu_are_read(tmp_path: Path):
    folder = rc.save_hugging_face(tmp_path / "bin", rc.clip_state("tiny"), "tiny", safe=False, activation="gelu")
    c = load(folder)
    assert c.activation == "gelu"
    assert same(c.clip, rc.clip_state("tiny"), 0)


def test_openclip_names_and_training_checkpoints(tmp_path: Path):
    clip = rc.clip_state("tiny")
    towers = {k if k.startswith("visual.") or k == "logit_scale" else f"text.{k}": v for k, v in clip.items()}
    towers["text.attn_mask"] = torch.zeros(77, 77)
    torch.save(
        {"epoch": 3, "name": "x", "state_dict": {f"module.{k}": v for k, v in towers.items()}}, tmp_path / "o.pt"
    )
    assert same(load(tmp_path / "o.pt", "gelu").clip, clip, 0)
    with pytest.raises(BadCheckpoint, match="--activation"):
        load(tmp_path / "o.pt")


@pytest.mark.parametrize(("quick", "activation"), [(True, "quickgelu"), (False, "gelu")])
def test_openclip_folders_tell_their_activation(tmp_path: Path, quick: bool, activation: str):
    from safetensors.torch import save_file

    clip = {k: v.contiguous() for k, v in rc.clip_state("tiny").items()}
    save_file(clip, tmp_path / "open_clip_model.safetensors")
    config = {"model_cfg": {"embed_dim": 64, **({"quick_gelu": True} if quick else {})}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    c = load(tmp_path)
    assert c.activation == activation and same(c.clip, clip, 0)
    # A flag that says otherwise is a mistake.
    with pytest.raises(BadCheckpoint, match="states the activation"):
        load(tmp_path, "gelu" if quick else "quickgelu")


@pytest.mark.parametrize(
    ("file", "config", "message"),
    [
        ("open_clip_config.json", {"model_cfg": {"vision_cfg": {"head_width": 80}}}, "vision_cfg.head_width is 80"),
        ("open_clip_config.json", {"model_cfg": {"text_cfg": {"no_causal_mask": True}}}, "no_causal_mask is True"),
        ("open_clip_config.json", {"preprocess_cfg": {"mean": [0.5, 0.5, 0.5]}}, "mean"),
        ("preprocessor_config.json", {"image_std": [0.5, 0.5, 0.5]}, "std"),
        ("preprocessor_config.json", {"image_mean": "grey"}, "mean grey"),
    ],
)
def test_models_that_are_computed_otherwise_are_refused(tmp_path: Path, file: str, config: dict, message: str):
    from safetensors.torch import save_file

    save_file({k: v.contiguous() for k, v in rc.clip_state("tiny").items()}, tmp_path / "open_clip_model.safetensors")
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": {}}))
    (tmp_path / file).write_text(json.dumps(config))
    with pytest.raises(BadCheckpoint, match=message):
        load(tmp_path)


@pytest.mark.parametrize("change", [{"positional_embedding": (96, 64)}, {"token_embedding.weight": (100, 64)}])
def test_other_text_towers_are_refused(tmp_path: Path, change: dict):
    state = rc.clip_state("tiny") | {k: torch.zeros(shape) for k, shape in change.items()}
    torch.save(state, tmp_path / "other.pt")
    with pytest.raises(BadCheckpoint, match="77 and 49408"):
        load(tmp_path / "other.pt", "quickgelu")


def test_weights_in_parts_are_put_together_and_stay_in_their_folder(made, tmp_path: Path):
    from safetensors.torch import load_file, save_file

    whole = load_file(made["hugging-face"] / "model.safetensors")
    names = sorted(whole)
    parts = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
    for part, some in parts.items():
        save_file({n: whole[n] for n in some}, tmp_path / part)
    index = {"weight_map": {n: part for part, some in parts.items() for n in some}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "config.json").write_text((made["hugging-face"] / "config.json").read_text())
    assert same(load(tmp_path).clip, load(made["hugging-face"]).clip, 0)
    index["weight_map"]["logit_scale"] = "../elsewhere.safetensors"
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(BadCheckpoint, match="does not name files beside it"):
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
def test_wrong_tensors_are_named(tmp_path: Path, change, message: str):
    with pytest.raises(BadCheckpoint, match=message):
        load(broken(tmp_path, change))


class Attack:
    """Would write a file if it were unpickled by a reader that runs code."""

    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self):
        return (open, (str(self.target), "w"))


def test_pickles_that_run_code_are_refused_and_not_run(tmp_path: Path):
    mark = tmp_path / "was-run"
    torch.save({"model_state_dict": Attack(mark), "fusion_model_state_dict": {}}, tmp_path / "a.pt")
    with pytest.raises(BadCheckpoint, match="not run"):
        load(tmp_path / "a.pt")
    folder = tmp_path / "hugging-face"
    folder.mkdir()
    torch.save({"logit_scale": Attack(mark)}, folder / "pytorch_model.bin")
    with pytest.raises(BadCheckpoint, match="not run"):
        load(folder)
    with zipfile.ZipFile(tmp_path / "b.pt", "w") as archive:  # as a TorchScript archive
        archive.writestr("b/data.pkl", pickle.dumps(Attack(mark), protocol=2))
        archive.writestr("b/constants.pkl", b"")
    with pytest.raises(BadCheckpoint, match="neither a tensor nor a list"):
        load(tmp_path / "b.pt")
    assert not mark.exists()


def test_archives_with_lying_tensors_are_refused(made, tmp_path: Path):
    with zipfile.ZipFile(made["archive"]) as source, zipfile.ZipFile(tmp_path / "cut.pt", "w") as out:
        for item in source.infolist():
            data = source.read(item)
            out.writestr(item.filename, data[: len(data) // 2] if item.filename.endswith("/data/0") else data)
    with pytest.raises(BadCheckpoint, match="elements"):
        load(tmp_path / "cut.pt")


@pytest.mark.parametrize("form", ["bike", "archive"])
def test_cut_off_files_are_refused(made, tmp_path: Path, form: str):
    data = made[form].read_bytes()
    (tmp_path / "cut.pt").write_bytes(data[: len(data) // 2])
    with pytest.raises(BadCheckpoint, match="cut-off|cannot be read"):
        load(tmp_path / "cut.pt")


@pytest.mark.parametrize("data", [b"", b"hello world, this is text", b"\x00" * 64])
def test_files_of_another_kind_are_refused(tmp_path: Path, data: bytes):
    (tmp_path / "x.pt").write_bytes(data)
    with pytest.raises(BadCheckpoint, match="x.pt"):
        load(tmp_path / "x.pt")


def test_half_a_bike_checkpoint_is_refused(tmp_path: Path):
    torch.save({"model_state_dict": rc.clip_state("tiny")}, tmp_path / "h.pt")
    with pytest.raises(BadCheckpoint, match="fusion_model_state_dict"):
        load(tmp_path / "h.pt")

"""What is exported computes what PyTorch computes, and nothing is left half-written."""

import tomllib
from pathlib import Path

import numpy as np
import onnx
import pytest
import random_checkpoints as rc
import torch
from asking import drifting, save_gif
from bike_export.__main__ import main
from bike_export.check import check_bundle
from bike_export.checkpoint import load
from bike_export.checkpoint.stated import MEAN, STD
from bike_export.export.words import spotted
from bike_export.model import recognise
from bike_export.model.frames import prepare, sample
from bike_export.model.towers import (
    encode_frames,
    encode_sentences,
    encode_text,
    encode_words,
    shared_prefix,
    temporal,
)
from bike_export.reader import Bundle, open_session
from bike_export.text.tokenizer import tokenize
from safetensors.numpy import load_file

EXACT = ("--precision", "fp32", "--exact-words", "--no-composer")


def manifest(folder: Path) -> dict:
    return tomllib.loads((folder / "bundle.toml").read_text())


def window(c) -> torch.Tensor:
    """Frames of noise [8, 3, S, S] whose embeddings differ, so that a wrong method shows."""
    if c.shape.width > 128:  # full size: noise differs enough there, and drawing from many takes minutes
        return torch.randn(8, 3, c.shape.size, c.shape.size, generator=torch.Generator().manual_seed(3))
    return rc.normalised(rc.different_pictures(lambda f: encode_frames(c, f), c.shape.size))


def truth(c, b: Bundle, frames: torch.Tensor, interaction: str) -> np.ndarray:
    h = temporal(c, encode_frames(c, frames)[None])[0]
    sentence, words = encode_words(c, tokenize([f"This is a video about {n}" for n in b.categories]))
    score = (
        recognise.concept_spotting(h, torch.from_numpy(words), torch.from_numpy(sentence))
        if interaction == "vcs"
        else recognise.dot_product(h, torch.from_numpy(sentence))
    )
    return score.numpy()


@pytest.mark.parametrize("interaction", ["vcs", "dp"])
@pytest.mark.parametrize("checkpoint", ["bike", "bike-header", "archive", "hugging-face"])
def test_exact_bundles_score_as_pytorch_does(made, export, checkpoint: str, interaction: str):
    folder = export(checkpoint, *EXACT, "--window", "8", "--interaction", interaction)
    assert check_bundle(folder) == []
    b, c = Bundle(folder, manifest(folder)), load(made[checkpoint])
    frames = window(c)
    expected = truth(c, b, frames, interaction)
    found = b.video_scores(b.embed("visual.onnx", frames.numpy()))
    assert np.abs(found - expected).max() < 1e-5
    assert list(np.argsort(-found)) == list(np.argsort(-expected))


@pytest.mark.parametrize(("precision", "distance"), [("int8", 5e-3), ("fp16", 1e-4)])
def test_other_precisions_are_near(made, export, precision: str, distance: float):
    folder = export("bike-header", "--precision", precision, "--window", "8")
    b, c = Bundle(folder, manifest(folder)), load(made["bike-header"])
    frames = window(c)
    v, expected = b.embed("visual.onnx", frames.numpy()), encode_frames(c, frames).numpy()
    cosine = (v * expected).sum(1) / np.linalg.norm(v, axis=1) / np.linalg.norm(expected, axis=1)
    assert 1 - cosine.min() < distance
    assert np.abs(b.video_scores(v) - truth(c, b, frames, "vcs")).max() < 0.02


def test_int8_graphs_compute_what_is_stated(made, export):
    """One Linear by hand: u8 activations with one scale, i8 weights with one scale a channel, then the bias."""
    from bike_export.graphs.builder import Graph, quantise_columns

    rng = np.random.default_rng(0)
    x, w, bias = (
        rng.normal(size=(1, 5, 64)).astype(np.float32),
        rng.normal(size=(64, 32)).astype(np.float32),
        rng.normal(size=32).astype(np.float32),
    )
    g = Graph("int8")
    g.out(g.linear("x", "fc", w, bias), "y")
    path = made["labels"].parent / "linear.onnx"
    g.save(path, "linear", ("x", "f32", [1, 5, 64]), ("y", [1, 5, 32]), {})
    found = open_session(path).run(None, {"x": x})[0]
    low, high = min(x.min(), 0), max(x.max(), 0)
    scale = np.float32((high - low) / 255)
    zero = np.clip(np.rint(-low / scale), 0, 255)
    q = np.clip(np.rint(x / scale) + zero, 0, 255) - zero
    integers, columns = quantise_columns(w)
    assert integers.min() >= -127
    np.testing.assert_allclose(found, (q @ integers.astype(np.float64)) * scale * columns + bias, atol=1e-4)


def test_graphs_say_where_they_are_from_and_are_repeatable(made, export):
    first, second = (
        export("bike-header", "--window", "4", "--name", "x"),
        export("bike-header", "--window", "4", "--name", "x"),
    )
    for name in ("visual.onnx", "temporal.onnx"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
        model = onnx.load(str(first / name))
        about = {p.key: p.value for p in model.metadata_props}
        assert about["name"] == "x" and about["source_sha256"] == load(made["bike-header"]).sha256
        assert {"licence", "provenance"} <= about.keys()
        assert [o.version for o in model.opset_import] == [17]
        assert all(
            d.dim_value > 0 for v in (*model.graph.input, *model.graph.output) for d in v.type.tensor_type.shape.dim
        )


def test_trained_attributes_through_the_tower(made, export):
    """Video and attribute checkpoint together, S_A exact through the kept text tower and the trained heads."""
    folder = export(
        "bike",
        *EXACT,
        "--lexicon",
        str(made["lexicon"]),
        "--attribute-checkpoint",
        str(made["bike-attributes"]),
        "--keep-text",
    )
    assert check_bundle(folder) == []
    b, video, attribute = Bundle(folder, manifest(folder)), load(made["bike"]), load(made["bike-attributes"])
    top = b.retrieve(encode_frames(video, window(video)).numpy())
    text = "This is a video about " + ",".join(b.phrases[i] for i in top)
    sentence = torch.from_numpy(encode_sentences(attribute, tokenize([text])))[0]
    category = torch.from_numpy(
        encode_sentences(attribute, tokenize([f"This is a video about {n}" for n in b.categories]))
    )
    expected = recognise.attribute_scores(sentence, category, attribute.heads).numpy()
    assert np.abs(b.attribute_scores(top, tower=True) - expected).max() < 1e-3


def test_attribute_encoder_of_its_own(made, export):
    folder = export("bike", *EXACT, "--lexicon", str(made["lexicon"]), "--attribute-clip", str(made["other-clip"]))
    assert check_bundle(folder) == []
    m = manifest(folder)
    assert (
        m["model"]["attribute_encoder"] == "own"
        and m["model"]["attribute_dim"] == 128
        and m["model"]["embedding_dim"] == 64
    )
    b, c = Bundle(folder, m), load(made["other-clip"])
    frames = window(c)
    np.testing.assert_allclose(
        b.embed("attribute_visual.onnx", frames.numpy()), encode_frames(c, frames).numpy(), atol=1e-4
    )
    assert b.retrieval.shape == (12, 128) and b.sentence.shape == (12, 64)


def test_composer_or_the_mean_is_used_and_said(made, export):
    folder = export("bike", "--lexicon", str(made["lexicon"]), "--tuples", "400")
    m = manifest(folder)
    assert m["model"]["attribute_scores"] in ("composer", "mean")
    assert ("composer.onnx" in m["files"]) == (m["model"]["attribute_scores"] == "composer")
    assert 0 <= m["quality"]["composer_spearman"] <= 1
    assert (folder / "composer.onnx").stat().st_size < 8e6
    card = (folder / "README.md").read_text()
    assert "Intended use" in card and "rank correlation" in card


def test_where_training_does_not_help_the_mean_is_used_and_said(made, export, capsys, monkeypatch):
    """A composer that learned nothing right loses against the mean of the phrases."""
    from bike_export.export import stand_in

    def useless(*arguments, **options):
        state = train(*arguments, **options)
        draw = torch.Generator().manual_seed(1)
        return {k: torch.randn(v.shape, generator=draw) if v.ndim == 2 and k != "learned" else v for k, v in state.items()}

    train = stand_in.train
    monkeypatch.setattr(stand_in, "train", useless)
    folder = export("bike", "--lexicon", str(made["lexicon"]), "--tuples", "100")
    m = manifest(folder)
    assert m["model"]["attribute_scores"] == "mean" and "composer.onnx" not in m["files"]
    assert m["quality"]["composer_spearman"] <= m["quality"]["phrase_mean_spearman"]
    said = capsys.readouterr()
    assert "training did not beat it" in said.out + said.err


def test_compacted_words_stay_within_their_bound(made, export):
    figures = manifest(export("bike", "--word-bound", "0.02"))["quality"]
    assert figures["word_s_v_change_max"] <= 0.02
    assert figures["word_rows_shared"] == 6  # the start mark and "this is a video about"
    assert figures["word_table_mb"] < figures["word_table_exact_mb"]


def test_the_word_bound_holds_on_the_frames_that_were_given(made, export, tmp_path: Path):
    """Measured again from outside: exact words of the checkpoint against the table that is read back, same frames."""
    clips = [save_gif(drifting((80, 60), 20, seed), tmp_path / f"{seed}.gif") for seed in (1, 2, 3)]
    folder = export("bike", "--word-bound", "0.02", "--window", "8", "--frames", *map(str, clips))
    figures, c, b = manifest(folder)["quality"], load(made["bike"]), Bundle(folder, manifest(folder))
    change, damaged = 0.0, 0.0
    for clip in clips:
        pixels = np.stack([prepare(i, 48, 48, MEAN, STD) for i in sample(clip, 8)[1]])
        v = encode_frames(c, torch.from_numpy(pixels))
        expected = truth(c, b, torch.from_numpy(pixels), "vcs")
        # The category table is stored rounded too, so S_V is compared for the exact one.
        sentence, _ = encode_words(c, tokenize([f"This is a video about {n}" for n in b.categories]))
        spot = lambda words: spotted(torch.from_numpy(words), torch.from_numpy(sentence), v[None])[0].numpy()  # noqa: E731
        change = max(change, float(np.abs(spot(b.words) - expected).max()))
        # The same words, each of the next category.
        damaged = max(damaged, float(np.abs(spot(np.roll(b.words, 1, 0)) - expected).max()))
    print(f"{change:.1e} of {figures['word_s_v_change_frames']:.1e}; words of the next category {damaged:.1e}")
    assert 0 < change <= figures["word_s_v_change_frames"] * 1.01 <= 0.02 < damaged
    assert figures["word_s_v_change_frames"] <= figures["word_s_v_change_max"]


def test_where_no_compaction_holds_the_bound_the_exact_rows_are_kept_in_f16(made, export, capsys):
    folder = export("bike", "--word-bound", "1e-9")
    figures, tensors = manifest(folder)["quality"], load_file(str(folder / "categories.safetensors"))
    assert tensors["word"].shape[1] == 77 and tensors["word"].dtype == np.float16
    assert figures["word_rows"] == 77 and 1e-9 < figures["word_s_v_change_max"] < 1e-3
    assert "cannot be met" in capsys.readouterr().err


def test_what_the_precision_changes_is_measured_and_on_the_card(made, export):
    """fp32 against the same weights in int8, on real frames."""
    exact, small = (
        export("bike-header", *EXACT[:3], "--precision", p, "--window", "8", "--resize", "64") for p in ("fp32", "int8")
    )
    figures = [manifest(folder)["quality"] for folder in (exact, small)]
    assert figures[0]["frame_cosine_min"] > 1 - 1e-6 and figures[0]["s_v_change_max"] < 1e-5
    assert 0.98 < figures[1]["frame_cosine_min"] <= figures[1]["frame_cosine_mean"] < 1 - 1e-6
    assert 1e-5 < figures[1]["s_v_change_max"] < 0.05
    assert f"in f32, mean | {figures[1]['frame_cosine_mean']:g} |" in (small / "README.md").read_text()


def test_configuration_files(made, export, tmp_path: Path, capsys):
    config = tmp_path / "bike.yaml"
    text = "data: {num_segments: 4, input_size: 48, select_topk_attributes: 3}\nnetwork: {arch: x, sim_header: Transf, interaction: DP, joint_st: False}\n"
    config.write_text(text)
    m = manifest(export("bike-header", "--config", str(config), "--lexicon", str(made["lexicon"]), "--no-composer"))[
        "model"
    ]
    assert (m["window"], m["header"], m["interaction"], m["attributes_top_k"]) == (4, "transf", "dp", 3)
    assert (
        main(
            [str(made["bike"]), "--labels", str(made["labels"]), "--out", str(tmp_path / "no"), "--config", str(config)]
        )
        == 1
    )
    assert "do not belong together" in capsys.readouterr().err


def test_a_header_needs_a_window(made, tmp_path: Path, capsys):
    assert main([str(made["bike-header"]), "--labels", str(made["labels"]), "--out", str(tmp_path / "b")]) == 1
    assert "--window" in capsys.readouterr().err


def test_what_texts_begin_with_is_read_once_and_changes_nothing(made):
    c = load(made["archive"])
    tokens = tokenize(["a film of a cat", "a film of two dogs, running", "a film of"])
    whole = encode_text(c, torch.from_numpy(tokens)).numpy()
    last = tokens.argmax(1)
    assert shared_prefix(tokens) == 4
    sentence, words = encode_words(c, tokens)
    for found, expected in (
        (words, whole),
        (sentence, whole[np.arange(3), last]),
        (encode_sentences(c, tokens), whole[np.arange(3), last]),
    ):
        np.testing.assert_allclose(found, expected, atol=1e-5)
    alike = np.concatenate([tokens[:1], tokens[:1]])
    np.testing.assert_allclose(encode_words(c, alike)[1], whole[[0, 0]], atol=1e-5)
    np.testing.assert_allclose(encode_sentences(c, alike[:1]), whole[:1, last[0]], atol=1e-5)


def test_relabelled_bundles_keep_their_graphs(made, export, tmp_path: Path, capsys):
    folder = export("bike", "--lexicon", str(made["lexicon"]), "--tuples", "400")
    labels = tmp_path / "new.csv"
    labels.write_text("id,name\n0,rowing\n1,reading a book\n")
    out = tmp_path / "relabelled"
    assert (
        main(["relabel", str(folder), str(made["bike"]), "--labels", str(labels), "--out", str(out), "--threads", "1"])
        == 0
    )
    assert (out / "visual.onnx").read_bytes() == (folder / "visual.onnx").read_bytes()
    assert (out / "categories.txt").read_text() == "rowing\nreading a book\n"
    old, new = manifest(folder), manifest(out)
    assert new["model"] == old["model"] and new["model"]["prompts"] == ["This is a video about {}"]
    card = (out / "README.md").read_text()
    assert "of the old ones" in card and f"| {new['quality']['word_table_mb']:g} |" in card.partition("of the old ones")[2]
    assert new["files"].keys() == old["files"].keys()
    # What was judged on the old categories is not said of the new ones.
    judged = {k for k in old["quality"] if k.startswith(("composer_", "phrase_mean_"))}
    assert judged and not judged & new["quality"].keys()
    assert (
        main(["relabel", str(folder), str(made["bike-header"]), "--labels", str(labels), "--out", str(tmp_path / "no")])
        == 1
    )
    assert "not the checkpoint" in capsys.readouterr().err


def test_relabelling_takes_the_same_trained_heads(made, export, tmp_path: Path, capsys):
    heads = ("--attribute-checkpoint", str(made["bike-attributes"]))
    lexicon = ("--lexicon", str(made["lexicon"]), "--no-composer")
    other = rc.save(tmp_path / "other", "bike-attributes", "tiny", seed=5)

    def relabelled(folder: Path, *options: str) -> str:
        out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        command = ["relabel", str(folder), str(made["bike"]), "--labels", str(made["labels"]), "--out", str(out)]
        status = main([*command, *options])
        assert out.exists() == (status == 0)
        return capsys.readouterr().err if status else ""

    trained, plain = export("bike", *lexicon, *heads), export("bike", *lexicon)
    assert relabelled(trained, *heads) == ""
    assert "add --attribute-checkpoint" in relabelled(trained)
    assert "leave --attribute-checkpoint out" in relabelled(plain, *heads)
    assert "composer.onnx names" in relabelled(trained, heads[0], str(other))
    # With heads the mean is a graph; the card and the figures say what it is.
    assert manifest(trained)["quality"]["composer_is_mean"] == 1
    assert "sentences by the centred mean" in (trained / "README.md").read_text().replace("to sentences", "sentences")


def test_existing_folders_are_kept_without_force_and_on_failure(made, tmp_path: Path, capsys, monkeypatch):
    out = tmp_path / "there"
    out.mkdir()
    (out / "keep").write_text("x")
    (out / "bundle.toml").write_text("")
    command = [str(made["bike"]), "--labels", str(made["labels"]), "--out", str(out)]
    assert main(command) == 1
    assert "--force" in capsys.readouterr().err

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bike_export.bundle.write_safetensors", full)
    assert main([*command, "--force"]) == 1
    assert "No space left" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["there"] and (out / "keep").read_text() == "x"

    monkeypatch.undo()
    assert main([*command, "--force"]) == 0
    assert [p.name for p in tmp_path.iterdir()] == ["there"] and "bike" in (out / "bundle.toml").read_text()
    assert not (out / "keep").exists()


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_force_replaces_bundles_alone(made, tmp_path: Path, capsys, kind: str):
    out = tmp_path / "thesis"
    if kind == "folder":
        out.mkdir()
    kept = out / "chapter.txt" if kind == "folder" else out
    kept.write_text("x")
    assert main([str(made["bike"]), "--labels", str(made["labels"]), "--out", str(out), "--force"]) == 1
    assert "not a bundle" in capsys.readouterr().err and kept.read_text() == "x"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--word-bound", "nan"], "--word-bound"),
        (["--word-bound", "-1"], "--word-bound"),
        (["--tuples", "0"], "--tuples"),
        (["--name", "n" * 129], "--name"),
        (["--licence", "MIT\nor not"], "--licence"),
        (["--resize", "4096"], "--resize"),
    ],
)
def test_settings_that_the_program_would_refuse_are_refused_first(made, tmp_path: Path, capsys, options, message: str):
    assert main([str(made["bike"]), "--labels", str(made["labels"]), "--out", str(tmp_path / "b"), *options]) == 1
    assert message in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_names_that_are_one_text_to_the_model_are_refused(made, tmp_path: Path, capsys):
    labels = tmp_path / "l.csv"
    labels.write_text("id,name\n0,Running\n1,running\n")
    assert main([str(made["bike"]), "--labels", str(labels), "--out", str(tmp_path / "b")]) == 1
    assert "'Running' and 'running' are the same text" in capsys.readouterr().err


def test_too_long_labels_are_refused_before_anything_is_made(made, tmp_path: Path, capsys):
    labels = tmp_path / "l.csv"
    labels.write_text(f"id,name\n0,{'very ' * 80}long\n")
    assert main([str(made["bike"]), "--labels", str(labels), "--out", str(tmp_path / "b")]) == 1
    assert "77 fit" in capsys.readouterr().err


def test_verify_compares_and_fails_past_the_tolerance(made, export, capsys):
    folder = export(
        "bike-header", *EXACT, "--window", "8", "--resize", "64", "--lexicon", str(made["lexicon"]), "--keep-text"
    )
    assert main(["verify", str(folder), str(made["bike-header"])]) == 0
    assert "within tolerance" in capsys.readouterr().out
    assert main(["verify", str(folder), str(made["bike"])]) == 1
    assert "not the checkpoint" in capsys.readouterr().err

"""Exported bundles compute the same as PyTorch, and a failed export leaves nothing behind."""

import tomllib
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.numpy import load_file

import random_checkpoints as rc
from bike_export.__main__ import main
from bike_export.bundle_runner import BundleRunner, open_session
from bike_export.check import check_bundle
from bike_export.checkpoint import load
from bike_export.checkpoint.folder_config import MEAN, STD
from bike_export.export.background import choose
from bike_export.export.word_tables import video_scores
from bike_export.model import scoring
from bike_export.model.frames import prepare, sample
from bike_export.model.towers import (
    encode_frames,
    encode_sentences,
    encode_text,
    encode_words,
    shared_prefix,
    temporal,
)
from bike_export.problem import Problem
from bike_export.text.tokenizer import tokenize
from small_clips import drifting_pictures, save_gif

EXACT = ("--precision", "fp32", "--exact-words", "--no-composer")


def manifest(folder: Path) -> dict:
    return tomllib.loads((folder / "bundle.toml").read_text())


def window(c) -> torch.Tensor:
    """Returns noise frames [8, 3, S, S] whose embeddings differ, so that a wrong method changes scores."""
    if c.shape.width > 128:  # at full size any noise differs enough, and choosing among many takes minutes
        return torch.randn(8, 3, c.shape.size, c.shape.size, generator=torch.Generator().manual_seed(3))
    return rc.normalised(rc.different_pictures(lambda f: encode_frames(c, f), c.shape.size))


def expected_scores(c, b: BundleRunner, frames: torch.Tensor, interaction: str) -> np.ndarray:
    h = temporal(c, encode_frames(c, frames)[None])[0]
    sentence, words = encode_words(c, tokenize([f"This is a video about {n}" for n in b.categories]))
    score = (
        scoring.concept_spotting(h, torch.from_numpy(words), torch.from_numpy(sentence))
        if interaction == "vcs"
        else scoring.dot_product(h, torch.from_numpy(sentence))
    )
    return score.numpy()


@pytest.mark.parametrize("interaction", ["vcs", "dp"])
@pytest.mark.parametrize("checkpoint", ["bike", "bike-header", "archive", "hugging-face"])
def test_exact_bundles_have_the_scores_of_pytorch(samples, export, checkpoint: str, interaction: str):
    folder = export(checkpoint, *EXACT, "--window", "8", "--interaction", interaction)
    assert check_bundle(folder) == []
    b, c = BundleRunner(folder, manifest(folder)), load(samples[checkpoint])
    frames = window(c)
    expected = expected_scores(c, b, frames, interaction)
    found = b.video_scores(b.embed("visual.onnx", frames.numpy()))
    assert np.abs(found - expected).max() < 1e-5
    assert list(np.argsort(-found)) == list(np.argsort(-expected))


@pytest.mark.parametrize(("precision", "distance"), [("int8", 5e-3), ("fp16", 1e-4)])
def test_int8_and_fp16_are_near_pytorch(samples, export, precision: str, distance: float):
    folder = export("bike-header", "--precision", precision, "--window", "8")
    b, c = BundleRunner(folder, manifest(folder)), load(samples["bike-header"])
    frames = window(c)
    v, expected = b.embed("visual.onnx", frames.numpy()), encode_frames(c, frames).numpy()
    cosine = (v * expected).sum(1) / np.linalg.norm(v, axis=1) / np.linalg.norm(expected, axis=1)
    assert 1 - cosine.min() < distance
    assert np.abs(b.video_scores(v) - expected_scores(c, b, frames, "vcs")).max() < 0.02


def test_int8_linear_layers_follow_the_documented_arithmetic(samples, export):
    """Computes a Linear by hand: u8 activations with one scale, i8 weights with one scale per channel, the bias."""
    from bike_export.graphs.builder import Graph, quantise_columns

    rng = np.random.default_rng(0)
    x, w, bias = (
        rng.normal(size=(1, 5, 64)).astype(np.float32),
        rng.normal(size=(64, 32)).astype(np.float32),
        rng.normal(size=32).astype(np.float32),
    )
    g = Graph("int8")
    g.out(g.linear("x", "fc", w, bias), "y")
    path = samples["labels"].parent / "linear.onnx"
    g.save(path, "linear", ("x", "f32", [1, 5, 64]), ("y", [1, 5, 32]), {})
    found = open_session(path).run(None, {"x": x})[0]
    low, high = min(x.min(), 0), max(x.max(), 0)
    scale = np.float32((high - low) / 255)
    zero = np.clip(np.rint(-low / scale), 0, 255)
    q = np.clip(np.rint(x / scale) + zero, 0, 255) - zero
    integers, columns = quantise_columns(w)
    assert integers.min() >= -127
    np.testing.assert_allclose(found, (q @ integers.astype(np.float64)) * scale * columns + bias, atol=1e-4)


def test_graphs_name_their_source_and_are_repeatable(samples, export):
    first, second = (
        export("bike-header", "--window", "4", "--name", "x"),
        export("bike-header", "--window", "4", "--name", "x"),
    )
    for name in ("visual.onnx", "temporal.onnx"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
        model = onnx.load(str(first / name))
        about = {p.key: p.value for p in model.metadata_props}
        assert about["name"] == "x" and about["source_sha256"] == load(samples["bike-header"]).sha256
        assert {"licence", "provenance"} <= about.keys()
        assert [o.version for o in model.opset_import] == [17]
        assert all(
            d.dim_value > 0 for v in (*model.graph.input, *model.graph.output) for d in v.type.tensor_type.shape.dim
        )


def test_trained_attributes_through_the_text_tower_agree(samples, export):
    """With both checkpoints, S_A is exact through the text tower in the bundle and the trained heads."""
    folder = export(
        "bike",
        *EXACT,
        "--lexicon",
        str(samples["lexicon"]),
        "--attribute-checkpoint",
        str(samples["bike-attributes"]),
        "--keep-text",
    )
    assert check_bundle(folder) == []
    b, video, attribute = (
        BundleRunner(folder, manifest(folder)),
        load(samples["bike"]),
        load(samples["bike-attributes"]),
    )
    top = b.retrieve(encode_frames(video, window(video)).numpy())
    text = "This is a video about " + ",".join(b.phrases[i] for i in top)
    sentence = torch.from_numpy(encode_sentences(attribute, tokenize([text])))[0]
    category = torch.from_numpy(
        encode_sentences(attribute, tokenize([f"This is a video about {n}" for n in b.categories]))
    )
    expected = scoring.attribute_scores(sentence, category, attribute.heads).numpy()
    assert np.abs(b.attribute_scores(top, text_tower=True) - expected).max() < 1e-3


def test_an_own_attribute_encoder_agrees(samples, export):
    folder = export(
        "bike", *EXACT, "--lexicon", str(samples["lexicon"]), "--attribute-clip", str(samples["other-clip"])
    )
    assert check_bundle(folder) == []
    m = manifest(folder)
    assert (
        m["model"]["attribute_encoder"] == "own"
        and m["model"]["attribute_dim"] == 128
        and m["model"]["embedding_dim"] == 64
    )
    b, c = BundleRunner(folder, m), load(samples["other-clip"])
    frames = window(c)
    np.testing.assert_allclose(
        b.embed("attribute_visual.onnx", frames.numpy()), encode_frames(c, frames).numpy(), atol=1e-4
    )
    assert b.retrieval.shape == (12, 128) and b.sentence.shape == (12, 64)


def test_manifest_and_card_state_what_makes_attribute_sentences(samples, export):
    folder = export("bike", "--lexicon", str(samples["lexicon"]), "--tuples", "400")
    m = manifest(folder)
    assert m["model"]["attribute_scores"] in ("composer", "mean")
    assert ("composer.onnx" in m["files"]) == (m["model"]["attribute_scores"] == "composer")
    assert 0 <= m["quality"]["composer_spearman"] <= 1
    assert (folder / "composer.onnx").stat().st_size < 8e6
    card = (folder / "README.md").read_text()
    assert "Intended use" in card and "rank correlation" in card


def test_a_useless_composer_is_replaced_by_the_mean(samples, export, capsys, monkeypatch):
    """A composer with random weights is worse than the mean of the phrases."""
    from bike_export.export import fit_composer

    def useless(*arguments, **options):
        state = train(*arguments, **options)
        draw = torch.Generator().manual_seed(1)
        return {
            k: torch.randn(v.shape, generator=draw) if v.ndim == 2 and k != "learned" else v for k, v in state.items()
        }

    train = fit_composer.train
    monkeypatch.setattr(fit_composer, "train", useless)
    folder = export("bike", "--lexicon", str(samples["lexicon"]), "--tuples", "100")
    m = manifest(folder)
    assert m["model"]["attribute_scores"] == "mean" and "composer.onnx" not in m["files"]
    assert m["quality"]["composer_spearman"] <= m["quality"]["phrase_mean_spearman"]
    assert "the trained composer is not better" in capsys.readouterr().err


def test_compacted_words_stay_within_their_bound(samples, export):
    figures = manifest(export("bike", "--word-bound", "0.02"))["quality"]
    assert figures["word_s_v_change_max"] <= 0.02
    assert figures["word_rows_shared"] == 6  # the start mark and "this is a video about"
    assert figures["word_table_mb"] < figures["word_table_exact_mb"]


def test_the_word_bound_holds_on_the_frames_of_the_option(samples, export, tmp_path: Path):
    """Measured independently: exact words of the checkpoint against the table in the bundle, on the same frames."""
    clips = [save_gif(drifting_pictures((80, 60), 20, seed), tmp_path / f"{seed}.gif") for seed in (1, 2, 3)]
    folder = export("bike", "--word-bound", "0.02", "--window", "8", "--frames", *map(str, clips))
    figures, c, b = manifest(folder)["quality"], load(samples["bike"]), BundleRunner(folder, manifest(folder))
    change, damaged = 0.0, 0.0
    for clip in clips:
        pixels = np.stack([prepare(i, 48, 48, MEAN, STD) for i in sample(clip, 8)[1]])
        v = encode_frames(c, torch.from_numpy(pixels))
        expected = expected_scores(c, b, torch.from_numpy(pixels), "vcs")
        # The category table is rounded too, so S_V is computed with exact categories.
        sentence, _ = encode_words(c, tokenize([f"This is a video about {n}" for n in b.categories]))
        # The second words are those of the next category.
        stored, shifted = (
            video_scores(torch.from_numpy(words), torch.from_numpy(sentence), v[None])[0].numpy()
            for words in (b.words, np.roll(b.words, 1, 0))
        )
        change = max(change, float(np.abs(stored - expected).max()))
        damaged = max(damaged, float(np.abs(shifted - expected).max()))
    print(f"{change:.1e} of {figures['word_s_v_change_frames']:.1e}; words of the next category {damaged:.1e}")
    assert 0 < change <= figures["word_s_v_change_frames"] * 1.01 <= 0.02 < damaged
    assert figures["word_s_v_change_frames"] <= figures["word_s_v_change_max"]


def test_exact_rows_in_f16_are_stored_if_no_compaction_is_within_the_bound(samples, export, capsys):
    folder = export("bike", "--word-bound", "1e-9")
    figures, tensors = manifest(folder)["quality"], load_file(str(folder / "categories.safetensors"))
    assert tensors["word"].shape[1] == 77 and tensors["word"].dtype == np.float16
    assert figures["word_rows"] == 77 and 1e-9 < figures["word_s_v_change_max"] < 1e-3
    assert "no compacted table is within it" in capsys.readouterr().err


def test_the_card_states_what_the_precision_changes(samples, export):
    """fp32 and int8 of the same weights, on real frames."""
    exact, small = (
        export("bike-header", *EXACT[:3], "--precision", p, "--window", "8", "--resize", "64") for p in ("fp32", "int8")
    )
    figures = [manifest(folder)["quality"] for folder in (exact, small)]
    assert figures[0]["frame_cosine_min"] > 1 - 1e-6 and figures[0]["s_v_change_max"] < 1e-5
    assert 0.98 < figures[1]["frame_cosine_min"] <= figures[1]["frame_cosine_mean"] < 1 - 1e-6
    assert 1e-5 < figures[1]["s_v_change_max"] < 0.05
    assert f"in f32, mean | {figures[1]['frame_cosine_mean']:g} |" in (small / "README.md").read_text()


def test_configuration_files_give_settings_and_must_match(samples, export, tmp_path: Path, capsys):
    config = tmp_path / "bike.yaml"
    config.write_text(
        "data: {num_segments: 4, input_size: 48, select_topk_attributes: 3}\n"
        "network: {arch: x, sim_header: Transf, interaction: DP, joint_st: False}\n"
    )
    m = manifest(export("bike-header", "--config", str(config), "--lexicon", str(samples["lexicon"]), "--no-composer"))[
        "model"
    ]
    assert (m["window"], m["header"], m["interaction"], m["attributes_top_k"]) == (4, "transf", "dp", 3)
    assert (
        main(
            [
                str(samples["bike"]),
                "--labels",
                str(samples["labels"]),
                "--out",
                str(tmp_path / "no"),
                "--config",
                str(config),
            ]
        )
        == 1
    )
    assert "use the configuration file of this checkpoint" in capsys.readouterr().err


def test_a_temporal_header_needs_a_window(samples, tmp_path: Path, capsys):
    assert main([str(samples["bike-header"]), "--labels", str(samples["labels"]), "--out", str(tmp_path / "b")]) == 1
    assert "--window" in capsys.readouterr().err


def test_encoding_a_common_beginning_once_changes_nothing(samples):
    c = load(samples["archive"])
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


def test_relabelled_bundles_have_the_same_graphs(samples, export, tmp_path: Path, capsys):
    folder = export("bike", "--lexicon", str(samples["lexicon"]), "--tuples", "400")
    labels = tmp_path / "new.csv"
    labels.write_text("id,name\n0,rowing\n1,reading a book\n")
    out = tmp_path / "relabelled"
    assert (
        main(
            ["relabel", str(folder), str(samples["bike"]), "--labels", str(labels), "--out", str(out), "--threads", "1"]
        )
        == 0
    )
    assert (out / "visual.onnx").read_bytes() == (folder / "visual.onnx").read_bytes()
    assert (out / "categories.txt").read_text() == "rowing\nreading a book\n"
    old, new = manifest(folder), manifest(out)
    assert new["model"] == old["model"] and new["model"]["prompts"] == ["This is a video about {}"]
    card = (out / "README.md").read_text()
    new_part = card.partition("## New categories")[2]
    assert "about the old categories" in new_part and f"| {new['quality']['word_table_mb']:g} |" in new_part
    assert new["files"].keys() == old["files"].keys()
    # Figures of the old categories are not repeated for the new ones.
    evaluated = {k for k in old["quality"] if k.startswith(("composer_", "phrase_mean_"))}
    assert evaluated and not evaluated & new["quality"].keys()
    assert (
        main(
            [
                "relabel",
                str(folder),
                str(samples["bike-header"]),
                "--labels",
                str(labels),
                "--out",
                str(tmp_path / "no"),
            ]
        )
        == 1
    )
    assert "not the checkpoint" in capsys.readouterr().err


def test_relabelling_needs_the_same_trained_heads(samples, export, tmp_path: Path, capsys):
    heads = ("--attribute-checkpoint", str(samples["bike-attributes"]))
    lexicon = ("--lexicon", str(samples["lexicon"]), "--no-composer")
    other = rc.save(tmp_path / "other", "bike-attributes", "tiny", seed=5)

    def relabelled(folder: Path, *options: str) -> str:
        out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        command = ["relabel", str(folder), str(samples["bike"]), "--labels", str(samples["labels"]), "--out", str(out)]
        status = main([*command, *options])
        assert out.exists() == (status == 0)
        return capsys.readouterr().err if status else ""

    trained, plain = export("bike", *lexicon, *heads), export("bike", *lexicon)
    assert relabelled(trained, *heads) == ""
    assert "add --attribute-checkpoint" in relabelled(trained)
    assert "leave --attribute-checkpoint out" in relabelled(plain, *heads)
    assert "composer.onnx names" in relabelled(trained, heads[0], str(other))
    # With heads the mean is a graph, and the card and the figures state that.
    assert manifest(trained)["quality"]["composer_is_mean"] == 1
    assert "joined to sentences by the centred mean" in (trained / "README.md").read_text()


def test_existing_folders_remain_without_force_and_after_a_failure(samples, tmp_path: Path, capsys, monkeypatch):
    out = tmp_path / "there"
    out.mkdir()
    (out / "keep").write_text("x")
    (out / "bundle.toml").write_text("")
    command = [str(samples["bike"]), "--labels", str(samples["labels"]), "--out", str(out)]
    assert main(command) == 1
    assert "--force" in capsys.readouterr().err

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bike_export.bundle.write_safetensors", full)
    assert main([*command, "--force"]) == 1
    assert f"error: {out}: no space left on the disk" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["there"] and (out / "keep").read_text() == "x"

    monkeypatch.undo()
    assert main([*command, "--force"]) == 0
    assert [p.name for p in tmp_path.iterdir()] == ["there"] and "bike" in (out / "bundle.toml").read_text()
    assert not (out / "keep").exists()


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_force_replaces_only_bundles(samples, tmp_path: Path, capsys, kind: str):
    out = tmp_path / "thesis"
    if kind == "folder":
        out.mkdir()
    file = out / "chapter.txt" if kind == "folder" else out
    file.write_text("x")
    assert main([str(samples["bike"]), "--labels", str(samples["labels"]), "--out", str(out), "--force"]) == 1
    assert "not a bundle" in capsys.readouterr().err and file.read_text() == "x"


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
def test_settings_that_bike_edge_would_refuse_are_refused(samples, tmp_path: Path, capsys, options, message: str):
    assert main([str(samples["bike"]), "--labels", str(samples["labels"]), "--out", str(tmp_path / "b"), *options]) == 1
    assert message in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_names_with_the_same_tokens_are_refused(samples, tmp_path: Path, capsys):
    labels = tmp_path / "l.csv"
    labels.write_text("id,name\n0,Running\n1,running\n")
    assert main([str(samples["bike"]), "--labels", str(labels), "--out", str(tmp_path / "b")]) == 1
    assert "'Running' and 'running' are the same text" in capsys.readouterr().err


def test_labels_that_are_too_long_are_refused(samples, tmp_path: Path, capsys):
    labels = tmp_path / "l.csv"
    labels.write_text(f"id,name\n0,{'very ' * 80}long\n")
    assert main([str(samples["bike"]), "--labels", str(labels), "--out", str(tmp_path / "b")]) == 1
    assert "at most 77 fit" in capsys.readouterr().err


def test_verify_compares_and_refuses_another_checkpoint(samples, export, capsys):
    folder = export(
        "bike-header", *EXACT, "--window", "8", "--resize", "64", "--lexicon", str(samples["lexicon"]), "--keep-text"
    )
    assert main(["verify", str(folder), str(samples["bike-header"])]) == 0
    assert "within tolerance" in capsys.readouterr().out
    assert main(["verify", str(folder), str(samples["bike"])]) == 1
    assert "not the checkpoint" in capsys.readouterr().err


def test_the_background_is_what_the_bundle_can_name(samples, export, tmp_path: Path):
    def background(*options: str) -> list[str]:
        bundle = export("bike", *EXACT, *options)
        manifest = tomllib.loads((bundle / "bundle.toml").read_text(encoding="utf-8"))
        return manifest.get("defaults", {}).get("background", [])

    lexicon = ("--lexicon", str(samples["lexicon"]))
    known = set(samples["lexicon"].read_text(encoding="utf-8").splitlines())
    assert background() == []
    assert set(background(*lexicon)) <= known and "a street" in background(*lexicon)
    assert "an empty room" in background("--keep-text")
    assert background(*lexicon, "--background", "a tree, water") == ["a tree", "water"]
    assert background(*lexicon, "--background", "none") == []
    with pytest.raises(Problem, match="neither labels nor lexicon phrases: an empty cellar"):
        choose("an empty cellar", ["a"], ["b"], False)
    with pytest.raises(Problem, match="one twice"):
        choose("a,a", ["a"], [], False)

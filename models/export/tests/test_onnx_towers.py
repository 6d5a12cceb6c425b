"""Bundles from ready-made ONNX towers give the embeddings of the given graphs, and what cannot be taken is refused."""

import json
import pickle
import re
import subprocess
import tomllib
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import onnx_graphs
from bike_export.__main__ import main
from bike_export.bundle_runner import BundleRunner, open_session
from bike_export.check import check_bundle
from bike_export.text.tokenizer import tokenize
from bike_export.verify import generate_clip, save_resized
from onnx_graphs import EMBED, SIDE, Text
from running_binary import classify, cosine_distances

SENTENCE = re.compile(r"^error: [^;]+: [^;]+; [^;]+$")
TOLERANCE = {"fp32": 1e-6, "fp16": 1e-4, "fp16-io": 1e-4, "int8": 1e-2, "uint8": 1e-2}
TEXTS = ["archery", "jumping, running", "this is a video about two dogs in the snow"]


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return onnx_graphs.save_all(tmp_path_factory.mktemp("onnx") / "onnx")


def command(samples, visual: Path, text: Path, out: Path, *options: str) -> list[str]:
    words = ["--visual", visual, "--text", text, "--labels", samples["labels"], "--out", out, "--threads", "1"]
    return [str(word) for word in (*words, *options)]


def made(samples, visual: Path, text: Path, out: Path, *options: str) -> tuple[BundleRunner, dict]:
    """Makes a bundle with its text tower, and opens it."""
    assert main(command(samples, visual, text, out, "--keep-text", *options)) == 0
    assert check_bundle(out) == []
    manifest = tomllib.loads((out / "bundle.toml").read_text())
    return BundleRunner(out, manifest), manifest


def refused(samples, capsys, visual: Path, text: Path, out: Path, *options: str) -> str:
    """Returns the sentence of an export that must fail and leave nothing."""
    capsys.readouterr()
    before = sorted(p.name for p in out.parent.iterdir())
    assert main(command(samples, visual, text, out, *options)) == 1
    shown = capsys.readouterr()
    assert "Traceback" not in shown.out + shown.err
    last = shown.err.splitlines()[-1]
    assert SENTENCE.match(last), last
    assert sorted(p.name for p in out.parent.iterdir()) == before
    return last


def given_picture(path: Path, frame: np.ndarray) -> np.ndarray:
    session = open_session(path)
    kind = np.float16 if "float16" in session.get_inputs()[0].type else np.float32
    return session.run(["image_embeds"], {session.get_inputs()[0].name: frame.astype(kind)})[0].astype(np.float32)


def given_text(path: Path, tokens: np.ndarray) -> np.ndarray:
    session = open_session(path)
    feeds = {i.name: np.ones_like(tokens) if "mask" in i.name else tokens for i in session.get_inputs()}
    return session.run(["text_embeds"], feeds)[0].astype(np.float32)


def ends_of(runner: BundleRunner, texts: list[str]) -> np.ndarray:
    """Returns the rows of the end mark in the words of texts."""
    tokens = tokenize(texts)
    return np.stack([runner.run("text.onnx", t[None])[0][t.argmax()] for t in tokens])


@pytest.mark.parametrize("form", onnx_graphs.FORMS)
def test_embeddings_are_those_of_the_given_graphs(samples, graphs, tmp_path: Path, form: str):
    visual, text = graphs[f"visual-{form}"], graphs[f"text-{form}"]
    runner, manifest = made(samples, visual, text, tmp_path / "out", "--exact-words")
    frames = np.random.default_rng(1).standard_normal((4, 3, SIDE, SIDE)).astype(np.float32)
    found = runner.embed("visual.onnx", frames)
    expected = np.concatenate([given_picture(visual, frames[i : i + 1]) for i in range(4)])
    assert cosine_distances(found, expected).max() < TOLERANCE[form]
    assert cosine_distances(found[:3], found[1:]).min() > 3 * TOLERANCE[form]
    expected_texts = np.concatenate([given_text(text, t[None]) for t in tokenize(TEXTS)])
    found_texts = ends_of(runner, TEXTS)
    assert cosine_distances(found_texts, expected_texts).max() < TOLERANCE[form]
    assert cosine_distances(found_texts[:2], found_texts[1:]).min() > 3 * TOLERANCE[form]
    # The categories are those of the given text tower.
    prompts = [f"This is a video about {name}" for name in runner.categories]
    rows = np.concatenate([given_text(text, t[None]) for t in tokenize(prompts)])
    assert cosine_distances(runner.category, rows).max() < TOLERANCE[form]
    assert runner.words.shape == (7, 77, EMBED)
    assert manifest["quality"]["given_text_cosine_min"] > 1 - TOLERANCE[form]
    assert manifest["preprocess"]["crop"] == SIDE and manifest["model"]["logit_scale"] == 100.0
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"`{visual.name} and {text.name}`" in card and "to the given graph's, mean" in card


@pytest.mark.parametrize("form", onnx_graphs.FORMS)
def test_bike_edge_runs_the_bundle(samples, graphs, program: Path, tmp_path: Path, form: str):
    out = tmp_path / "out"
    options = ("--lexicon", str(samples["lexicon"]), "--no-composer", "--window", "4", "--background", "none")
    runner, _ = made(samples, graphs[f"visual-{form}"], graphs[f"text-{form}"], out, *options)
    done = subprocess.run([program, "bundle", "verify", out], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    from bike_export.model.frames import prepare, sample

    p = runner.manifest["preprocess"]
    _, images = sample(generate_clip(tmp_path / "clip", SIDE), 4)
    pixels = np.stack([prepare(i, p["resize"], p["crop"], p["mean"], p["std"]) for i in images])
    stills = save_resized(images, p["resize"], tmp_path / "stills")
    result = classify(program, out, stills, "--attributes", "tower")
    v = runner.embed("visual.onnx", pixels)
    assert cosine_distances(result.embeddings[0], v).max() < (1e-6 if form == "fp32" else 1e-3)
    assert np.abs(result.s_v - runner.video_scores(v)).max() < (1e-4 if form == "fp32" else 1e-2)
    s_a = runner.attribute_scores(runner.retrieve(v), text_tower=True)
    assert np.abs(result.s_a - s_a).max() < (1e-4 if form == "fp32" else 1e-2)


def test_all_words_are_projected_as_the_end_mark_is(samples, graphs, tmp_path: Path):
    """A text's words are those of a text that ends there: the tower is causal, and the row is projected alike."""
    runner, _ = made(samples, graphs["visual-fp32"], graphs["text-fp32"], tmp_path / "out")
    tokens = tokenize(["a dog in the snow"])
    words = runner.run("text.onnx", tokens)[0]
    for at in (1, 3):
        # With the end mark's number at this position, the given graph chooses its row.
        cut = tokens.copy()
        cut[0, at] = 49407
        cut[0, at + 1 :] = 0
        np.testing.assert_allclose(
            runner.run("text.onnx", cut)[0][at], given_text(graphs["text-fp32"], cut)[0], atol=1e-5
        )
        np.testing.assert_allclose(runner.run("text.onnx", cut)[0][:at], words[:at], atol=1e-5)


def test_composer_and_lexicon_are_made_from_the_text_tower(samples, graphs, tmp_path: Path):
    options = ("--lexicon", str(samples["lexicon"]), "--tuples", "60", "--name", "mine", "--licence", "MIT")
    runner, manifest = made(samples, graphs["visual-int8"], graphs["text-fp32"], tmp_path / "out", *options)
    assert len(runner.phrases) == 12 and manifest["model"]["attribute_source"] == "plain"
    assert manifest["name"] == "mine" and manifest["licence"] == "MIT"
    expected = ends_of(runner, [f"This is a video about {p}" for p in runner.phrases])
    assert cosine_distances(runner.retrieval, expected).max() < 1e-3  # stored in int8
    assert 0 < manifest["quality"]["composer_cosine"] <= 1


@pytest.mark.parametrize("case", ["no mask", "fixed", "end mark by number", "unit", "int32", "both towers"])
def test_other_exports_are_taken_over(samples, graphs, tmp_path: Path, case: str):
    visual, text = onnx_graphs.towers(end=49407 if case == "end mark by number" else 2)
    path = tmp_path / "text.onnx"
    onnx_graphs.export(Text(text, unit=case == "unit"), path, mask=case != "no mask", fixed=case == "fixed")
    image = graphs["visual-fp32"]
    model = onnx.load(str(path))
    if case == "int32":
        for value in model.graph.input:
            value.type.tensor_type.elem_type = TensorProto.INT32
            for node in model.graph.node:
                for at, name in enumerate(node.input):
                    node.input[at] = f"{name}.i64" if name == value.name else name
            cast = helper.make_node("Cast", [value.name], [f"{value.name}.i64"], to=TensorProto.INT64)
            model.graph.node.insert(0, cast)
        onnx.save(model, str(path))
    if case == "both towers":
        one = onnx.compose.merge_models(
            onnx.compose.add_prefix(model, "t.", rename_inputs=False, rename_outputs=False),
            onnx.compose.add_prefix(onnx.load(str(image)), "v.", rename_inputs=False, rename_outputs=False),
            io_map=[],
        )
        onnx.save(one, str(path))
        image = path
    runner, _ = made(samples, image, path, tmp_path / "out")
    rows = text_rows(path, TEXTS)
    np.testing.assert_allclose(ends_of(runner, TEXTS), rows, atol=1e-5)


def text_rows(path: Path, texts: list[str]) -> np.ndarray:
    """Returns the given graph's embeddings, whatever else its inputs are."""
    session = open_session(path)
    rows = []
    for tokens in tokenize(texts):
        feeds = {}
        for value in session.get_inputs():
            kind = {"tensor(int32)": np.int32, "tensor(int64)": np.int64}.get(value.type, np.float32)
            if len(value.shape) == 4:
                feeds[value.name] = np.zeros((1, 3, SIDE, SIDE), kind)
            else:
                feeds[value.name] = (np.ones((1, 77)) if "mask" in value.name else tokens[None]).astype(kind)
        rows.append(session.run(["text_embeds"], feeds)[0])
    return np.concatenate(rows)


def test_the_preprocessor_next_to_the_graph_is_used(samples, graphs, tmp_path: Path, capsys):
    folder = tmp_path / "model" / "onnx"
    folder.mkdir(parents=True)
    visual = folder / "vision_model.onnx"
    visual.write_bytes(graphs["visual-fp32"].read_bytes())
    config = {"crop_size": {"height": SIDE, "width": SIDE}, "image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    file = folder.parent / "preprocessor_config.json"
    file.write_text(json.dumps(config))
    runner, manifest = made(samples, visual, graphs["text-fp32"], tmp_path / "out")
    assert manifest["preprocess"]["mean"] == [0.5] * 3 and manifest["preprocess"]["std"] == [0.25] * 3
    assert manifest["quality"]["frame_cosine_min"] > 1 - 1e-6
    for change, message in (
        ({"image_mean": "x"}, "image_mean is 'x'"),
        ({"resample": 2}, "resample is 2"),
        ({"do_normalize": False}, "do_normalize"),
        ({"rescale_factor": "big"}, "not scaled to 0..1"),
    ):
        file.write_text(json.dumps(config | change))
        assert message in refused(samples, capsys, visual, graphs["text-fp32"], tmp_path / "no")


def changed(source: Path, path: Path, change) -> Path:
    """Writes a graph after a change."""
    model = onnx.load(str(source))
    change(model)
    onnx.save(model, str(path))
    return path


class Code:
    def __reduce__(self):
        return (print, ("run",))


def refusal(case: str, graphs: dict[str, Path], folder: Path) -> tuple[Path, Path, str]:
    """Returns the two graphs of a case that must be refused, and a part of the sentence."""
    visual, text, bad = graphs["visual-fp32"], graphs["text-fp32"], folder / "bad.onnx"

    def outputs(model: onnx.ModelProto) -> None:
        del model.graph.output[1]

    def shape(*dims: int):
        def change(model: onnx.ModelProto) -> None:
            value = model.graph.input[0]
            value.CopyFrom(helper.make_tensor_value_info(value.name, value.type.tensor_type.elem_type, dims))

        return change

    def foreign(model: onnx.ModelProto) -> None:
        model.graph.node[5].domain = "com.microsoft"
        model.opset_import.append(helper.make_opsetid("com.microsoft", 1))

    def old(model: onnx.ModelProto) -> None:
        model.opset_import[0].version = 8

    def damaged(model: onnx.ModelProto) -> None:
        del model.graph.initializer[3]

    if case == "swapped":
        return text, visual, "has text_embeds and no image_embeds; give --visual the image tower"
    if case == "swapped text":
        return visual, visual, "has image_embeds and no text_embeds"
    if case == "pickle":
        bad.write_bytes(pickle.dumps(Code()))
        return bad, text, f"{bad}: not an ONNX graph, or incomplete"
    if case == "empty":
        bad.write_bytes(b"")
        return visual, bad, f"{bad}: not an ONNX graph, or incomplete"
    if case == "truncated":
        bad.write_bytes(visual.read_bytes()[:-1000])
        return bad, text, f"{bad}: not "
    if case == "half":
        data = text.read_bytes()
        bad.write_bytes(data[: len(data) // 2])
        return visual, bad, f"{bad}: not "
    if case == "external":
        onnx.save(onnx.load(str(visual)), str(bad), save_as_external_data=True, location="w.data", size_threshold=0)
        return bad, text, "its weights are in another file (w.data)"
    if case == "missing":
        return visual, folder / "none.onnx", "none.onnx: no such file"
    if case == "folder":
        return folder, text, "is a folder, not a file"
    if case == "no projection":
        return changed(visual, bad, outputs), text, "no output image_embeds"
    if case == "four channels":
        return changed(visual, bad, shape(1, 4, 32, 32)), text, "does not have 3 channels first"
    if case == "batch":
        return changed(visual, bad, shape(8, 3, 32, 32)), text, "has a fixed batch"
    if case == "wide":
        return changed(visual, bad, shape(1, 3, 32, 48)), text, "is not square"
    if case == "size":
        return changed(visual, bad, shape(1, 3, 40, 40)), text, "its shapes do not fit together"
    if case == "length":
        return visual, changed(text, bad, shape(1, 64)), "tokens are [1, 77]"
    if case == "foreign":
        return changed(visual, bad, foreign), text, "com.microsoft."
    if case == "operator set":
        return changed(visual, bad, old), text, "operator set 8, and 9 to 24 are supported"
    if case == "missing weight":
        return changed(visual, bad, damaged), text, f"{bad}: not a valid ONNX graph"
    if case == "vocabulary":
        _, small = onnx_graphs.towers(vocabulary=1000)
        return visual, onnx_graphs.export(Text(small), bad), "has 1000 tokens"
    if case == "width":
        _, other = onnx_graphs.towers(embed=48)
        return visual, onnx_graphs.export(Text(other), bad), "use the two towers of one model"
    raise ValueError(case)


@pytest.mark.parametrize(
    "case",
    [
        *("swapped", "swapped text", "pickle", "empty", "truncated", "half", "external", "missing", "folder"),
        *("no projection", "four channels", "batch", "wide", "size", "length", "foreign", "operator set"),
        *("missing weight", "vocabulary", "width"),
    ],
)
def test_what_cannot_be_taken_over_is_one_sentence(samples, graphs, tmp_path: Path, capsys, case: str):
    visual, text, message = refusal(case, graphs, tmp_path)
    assert message in refused(samples, capsys, visual, text, tmp_path / "out")


def test_a_text_tower_that_is_not_causal_is_refused(samples, graphs, tmp_path: Path, capsys):
    """Without its causal mask, a text depends on its padding and so on the attention mask."""

    def change(model: onnx.ModelProto) -> None:
        comparisons = [n for n in model.graph.node if n.op_type == "LessOrEqual"]
        assert comparisons
        for node in comparisons:
            node.op_type = "GreaterOrEqual"

    bad = changed(graphs["text-fp32"], tmp_path / "bad.onnx", change)
    shown = refused(samples, capsys, graphs["visual-fp32"], bad, tmp_path / "out")
    assert "gives other embeddings than this one" in shown


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--activation", "gelu"), "--activation cannot be used"),
        (("--precision", "fp16"), "--precision cannot be used"),
        (("--attribute-clip", "x.pt"), "--attribute-clip cannot be used"),
        (("--attribute-checkpoint", "x.pt"), "--attribute-checkpoint cannot be used"),
        (("--config", "x.yaml"), "--config cannot be used"),
        (("--crop", "31"), "--crop 31"),
    ],
)
def test_options_that_need_a_checkpoint_are_refused(samples, graphs, tmp_path: Path, capsys, options, message: str):
    shown = refused(samples, capsys, graphs["visual-fp32"], graphs["text-fp32"], tmp_path / "out", *options)
    assert message in shown


def test_incomplete_commands_are_refused(samples, graphs, tmp_path: Path, capsys):
    labels = ["--labels", str(samples["labels"]), "--out", str(tmp_path / "out")]
    for words, message in (
        ([], "nothing to export"),
        (["--visual", str(graphs["visual-fp32"])], "--text: missing"),
        (["--text", str(graphs["text-fp32"])], "--visual: missing"),
        ([str(samples["bike"]), "--visual", str(graphs["visual-fp32"])], "a checkpoint next to --visual"),
    ):
        assert main([*words, *labels]) == 1
        last = capsys.readouterr().err.splitlines()[-1]
        assert SENTENCE.match(last) and message in last, last
    with pytest.raises(SystemExit):
        main(["--visual", str(graphs["visual-fp32"]), "--text", str(graphs["text-fp32"]), "--out", str(tmp_path / "o")])
    assert "--labels" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()

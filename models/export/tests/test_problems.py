"""Problems that the user can solve are one sentence with the file and a remedy, without tracebacks or errno numbers."""

import errno
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from bike_export import problem
from bike_export.__main__ import main
from bike_export.check import check_bundle

SENTENCE = re.compile(r"^error: [^;]+: [^;]+; [^;]+$")


def error_of(capsys: pytest.CaptureFixture, *command: object) -> str:
    """Runs a command that must fail, and returns its last line, which must be one sentence with a remedy."""
    capsys.readouterr()
    assert main([str(word) for word in command]) == 1
    shown = capsys.readouterr()
    text = shown.out + shown.err
    assert "Traceback" not in text and "Errno" not in text and "torch." not in text.replace("torch.save", "")
    last = shown.err.splitlines()[-1]
    assert SENTENCE.match(last), last
    assert text.count("error: ") == 1
    return last


@pytest.mark.parametrize(
    "option", ["checkpoint", "--labels", "--lexicon", "--config", "--frames", "--attribute-checkpoint"]
)
def test_a_missing_file_is_named(samples, tmp_path: Path, capsys, option: str):
    missing = tmp_path / "missing"
    options = {"--labels": samples["labels"], "--out": tmp_path / "out"} | (
        {option: missing} if option[0] == "-" else {}
    )
    checkpoint = missing if option == "checkpoint" else samples["bike"]
    shown = error_of(capsys, checkpoint, *(word for pair in options.items() for word in pair))
    assert f"{missing}: no such file" in shown


@pytest.mark.parametrize("command", ["verify", "relabel"])
def test_a_missing_bundle_is_named(samples, tmp_path: Path, capsys, command: str):
    more = ["--labels", samples["labels"], "--out", tmp_path / "out"] if command == "relabel" else []
    shown = error_of(capsys, command, tmp_path / "missing", samples["bike"], *more)
    assert f"{tmp_path / 'missing' / 'bundle.toml'}: no such file or folder" in shown


def test_a_missing_bundle_is_named_by_the_check(tmp_path: Path, capsys):
    assert main(["verify", str(tmp_path / "missing")]) == 1
    shown = capsys.readouterr().out
    assert f"{tmp_path / 'missing' / 'bundle.toml'}: no such file or folder; check the path" in shown
    assert "Errno" not in shown


def test_a_missing_program_or_clip_is_named(samples, export, tmp_path: Path, capsys):
    folder = export("bike", "--no-composer")
    missing = tmp_path / "missing"
    assert f"--binary {missing}: no such file" in error_of(
        capsys, "verify", folder, samples["bike"], "--binary", missing
    )
    assert f"{missing}: no such clip" in error_of(capsys, "verify", folder, samples["bike"], "--clip", missing)


@pytest.mark.parametrize("program", ["/bin/true", "/bin/false", "/bin/echo"])
def test_a_program_that_is_not_bike_edge_is_named(samples, export, capsys, program: str):
    folder = export("bike", "--no-composer")
    assert f"error: {program}" in error_of(capsys, "verify", folder, samples["bike"], "--binary", program)


def test_invalid_numbers_of_threads_are_refused(samples, tmp_path: Path, capsys):
    command = [samples["bike"], "--labels", samples["labels"], "--out", tmp_path / "out", "--threads", 0]
    assert error_of(capsys, *command) == "error: --threads 0: out of range; use at least 1"


def test_an_invalid_source_date_is_named(samples, tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    shown = error_of(capsys, samples["bike"], "--labels", samples["labels"], "--out", tmp_path / "out")
    assert "SOURCE_DATE_EPOCH 'yesterday': not a number of seconds" in shown and not (tmp_path / "out").exists()


def test_a_missing_word_list_of_the_demo_is_named(tmp_path: Path, capsys):
    shown = error_of(capsys, "demo", "--lexicon", tmp_path, "--out", tmp_path / "out")
    assert f"{tmp_path / 'categories' / 'activities.txt'}: no such file or folder" in shown


def test_a_folder_in_place_of_a_file_is_named(samples, tmp_path: Path, capsys):
    shown = error_of(capsys, samples["bike"], "--labels", tmp_path, "--out", tmp_path / "out")
    assert f"{tmp_path}: is a folder, not a file; name a file in it" in shown


def test_an_out_folder_below_a_file_is_named(samples, tmp_path: Path, capsys):
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "bundle"
    shown = error_of(capsys, samples["bike"], "--labels", samples["labels"], "--out", out)
    assert str(tmp_path / "file") in shown and "folder" in shown


def test_invalid_yaml_is_named_with_its_line(samples, tmp_path: Path, capsys):
    (tmp_path / "bike.yaml").write_text("data:\n  num_segments: [8\nnetwork: {}\n")
    command = [
        samples["bike"],
        "--labels",
        samples["labels"],
        "--out",
        tmp_path / "out",
        "--config",
        tmp_path / "bike.yaml",
    ]
    assert f"--config {tmp_path / 'bike.yaml'}: not valid YAML (line 3); correct that line" in error_of(
        capsys, *command
    )


def test_labels_in_another_encoding_are_named(samples, tmp_path: Path, capsys):
    (tmp_path / "labels.csv").write_bytes("id,name\n0,café\n".encode("latin-1"))
    shown = error_of(capsys, samples["bike"], "--labels", tmp_path / "labels.csv", "--out", tmp_path / "out")
    assert f"{tmp_path / 'labels.csv'}: not UTF-8 text; save it as UTF-8" in shown


@pytest.mark.parametrize("command", ["export", "relabel"])
def test_an_empty_label_is_refused_with_its_line(samples, export, tmp_path: Path, capsys, command: str):
    labels = tmp_path / "labels.csv"
    labels.write_text("id,name\n0,archery\n1,\n")
    first = [samples["bike"]] if command == "export" else ["relabel", export("bike", "--no-composer"), samples["bike"]]
    shown = error_of(capsys, *first, "--labels", labels, "--out", tmp_path / "out")
    assert f"{labels}, line 3: the name is empty; write a name or remove the line" in shown
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "data", [b"PK\x03\x04 not a zip file", b"\x80\x02 not a pickle", b"\x10\0\0\0\0\0\0\0{not safetensors"]
)
def test_damaged_checkpoints_are_named(samples, tmp_path: Path, capsys, data: bytes):
    path = tmp_path / "damaged.pt"
    path.write_bytes(data)
    shown = error_of(capsys, path, "--labels", samples["labels"], "--out", tmp_path / "out")
    assert shown.startswith(f"error: {path}: ")


def test_a_checkpoint_with_code_gets_no_advice_from_torch(samples, tmp_path: Path, capsys):
    class Code:
        def __reduce__(self):
            return (print, ("run",))

    path = tmp_path / "code.pt"
    torch.save({"model_state_dict": Code(), "fusion_model_state_dict": {}}, path)
    shown = error_of(capsys, path, "--labels", samples["labels"], "--out", tmp_path / "out")
    assert f"{path}: contains code" in shown and "weights_only" not in shown and "add_safe_globals" not in shown


def test_a_damaged_clip_is_named(samples, export, tmp_path: Path, capsys):
    folder = export("bike", "--no-composer")
    clip = tmp_path / "clip.gif"
    clip.write_bytes(b"GIF89a, but not really")
    shown = error_of(capsys, "verify", folder, samples["bike"], "--clip", clip)
    assert str(clip) in shown


def damaged(folder: Path, out: Path, file: str, data: bytes) -> Path:
    """Returns a copy of a bundle with another content of one file, under the old manifest with the new hash."""
    import hashlib

    shutil.copytree(folder, out)
    old = (out / file).read_bytes()
    (out / file).write_bytes(data)
    text = (out / "bundle.toml").read_text()
    text = text.replace(hashlib.sha256(old).hexdigest(), hashlib.sha256(data).hexdigest())
    (out / "bundle.toml").write_text(text.replace(f"bytes = {len(old)}", f"bytes = {len(data)}"))
    return out


@pytest.mark.parametrize("file", ["visual.onnx", "categories.safetensors"])
def test_damaged_files_of_a_bundle_are_named(samples, export, tmp_path: Path, capsys, file: str):
    bundle = damaged(export("bike", "--no-composer"), tmp_path / "damaged", file, b"not such a file")
    assert str(bundle / file) in error_of(capsys, "verify", bundle, samples["bike"])
    assert any(file in line and "; " in line for line in check_bundle(bundle))


def test_damaged_manifests_are_named(samples, export, tmp_path: Path, capsys):
    bundle = export("bike", "--no-composer")
    text = (bundle / "bundle.toml").read_text()
    for new, message in (
        ("name = \n", "not valid TOML"),
        (text.replace("window = 8\n", ""), "window missing in [model]; export the bundle again"),
        (text.replace("[preprocess]", "[other]"), "resize, crop, mean, std missing in [preprocess]"),
    ):
        (bundle / "bundle.toml").write_text(new)
        shown = error_of(capsys, "verify", bundle, samples["bike"])
        assert f"{bundle / 'bundle.toml'}: {message}" in shown
        assert check_bundle(bundle) or "window" in message


@pytest.mark.parametrize("number", sorted(problem.FILE_SYSTEM))
def test_errors_of_the_file_system_are_sentences(number: int):
    error = OSError(number, os.strerror(number))
    sentence = problem.describe(error, "out")
    assert sentence and sentence.startswith("out: ") and "; " in sentence and "Errno" not in sentence
    with_file = OSError(number, os.strerror(number), "a file")
    assert str(problem.describe(with_file, "out")).startswith("a file: ")


def test_an_unlisted_error_of_the_file_system_is_a_sentence():
    assert (
        problem.describe(OSError(errno.EBUSY, "Device or resource busy"), "x")
        == "x: Device or resource busy; check the file"
    )


def test_failed_allocations_are_one_sentence():
    advice = (
        "[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to ..."
    )
    assert problem.describe(RuntimeError(advice), "out") == problem.OUT_OF_MEMORY
    assert problem.describe(MemoryError(), "out") == problem.OUT_OF_MEMORY


def test_a_missing_package_is_named():
    error = ModuleNotFoundError("No module named 'x'", name="x")
    assert str(problem.describe(error, "out")).startswith("Python package x: not installed; run `make export-env`")


def test_defects_are_not_described_as_problems():
    assert problem.describe(KeyError("x"), "out") is None
    with pytest.raises(KeyError), problem.naming("out"):
        raise KeyError("x")


def test_naming_turns_errors_into_problems():
    with pytest.raises(problem.Problem, match="^a.yaml: not valid YAML"), problem.naming("a.yaml"):
        yaml.safe_load("[")


def test_a_defect_is_an_internal_error_with_its_traceback(samples, tmp_path: Path, capsys, monkeypatch):
    def defect(*_):
        raise KeyError("x")

    monkeypatch.setattr("bike_export.export.pipeline.make_windows", defect)
    assert main([str(samples["bike"]), "--labels", str(samples["labels"]), "--out", str(tmp_path / "out")]) == 1
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert shown.splitlines()[-1] == "error: internal error: KeyError; please report it with the lines above"


def test_a_missing_dependency_of_the_command_line_is_one_sentence(tmp_path: Path):
    (tmp_path / "yaml.py").write_text("raise ModuleNotFoundError('No module named yaml', name='yaml')\n")
    command = [sys.executable, "-m", "bike_export", "--help"]
    exporter = Path(__file__).resolve().parent.parent
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=exporter, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.startswith("error: Python package yaml: not installed; run `make export-env`")

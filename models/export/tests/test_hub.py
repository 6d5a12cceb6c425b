"""`hf:OWNER/NAME` exports from a model hub: one of our own on this machine, for no test may use the internet."""

import json
import os
import re
import shutil
import socket
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import pytest
import torch
from safetensors.torch import load_file, save_file

import forked_export
import random_checkpoints as rc
from bike_export.hub.licence import licence_of
from bike_export.hub.reference import parse
from bike_export.problem import Problem
from loopback_hub import COMMIT, Hub, serve

EXPORTER = Path(__file__).resolve().parent.parent
SENTENCE = re.compile(r"^error: [^;]+: [^;]+; [^;]+$")
TOKEN = "hf_secretsecretsecret"
CARD = b"---\nlicense: mit\ntags: [clip]\n---\n# A model\n"
OPEN_CLIP = {"model_cfg": {"embed_dim": 64, "quick_gelu": True, "vision_cfg": {"width": 128, "head_width": 64}}}


@pytest.fixture
def hub(samples, tmp_path: Path) -> Iterator[Hub]:
    """Runs a hub with a CLIPModel as our/clip and an OpenCLIP model as our/open."""
    hub = Hub()
    hub.add("our/clip", samples["hugging-face"])
    hub.repositories["our/clip"] |= {"README.md": CARD, "pytorch_model.bin": b"never downloaded"}
    folder = tmp_path / "open"
    folder.mkdir()
    save_file({k: v.contiguous() for k, v in rc.clip_state("tiny").items()}, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps(OPEN_CLIP))
    hub.add("our/open", folder)
    server = serve(hub)
    yield hub
    server.shutdown()
    server.server_close()


@pytest.fixture
def run(hub: Hub, samples, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess]:
    """Returns run(reference, *options), which exports in a process of its own, because the hub is read at import."""

    def run(
        *command: str,
        environment: dict[str, str] | None = None,
        limit: int | None = None,
        out: str = "bundle",
    ) -> subprocess.CompletedProcess:
        env = {k: v for k, v in os.environ.items() if not k.upper().startswith("HF_") and "proxy" not in k.lower()}
        env |= {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": TOKEN} | (environment or {})
        command += ("--labels", str(samples["labels"]), "--out", str(tmp_path / out), "--threads", "1")
        done = forked_export.run(list(command), env, limit)
        assert TOKEN not in done.stderr
        return done

    return run


def error_of(done: subprocess.CompletedProcess) -> str:
    """Returns the error of a failed export, which must be one sentence with a remedy."""
    assert done.returncode == 1, done.stderr
    last = done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr and SENTENCE.match(last), done.stderr
    return last


def cache(tmp_path: Path) -> list[str]:
    """Returns the names of the weights, complete or not, in the cache."""
    names = [p.name for p in (tmp_path / "home").rglob("*") if p.is_file()]
    return [n for n in names if n.endswith((".incomplete", ".bin", ".safetensors")) or re.fullmatch("[0-9a-f]{64}", n)]


def test_a_repository_gives_the_same_graphs_as_its_folder(hub: Hub, run, export, samples, tmp_path: Path):
    done = run("hf:our/clip")
    assert done.returncode == 0, done.stderr
    folder = export("hugging-face")
    ours, theirs = (tomllib.loads((b / "bundle.toml").read_text()) for b in (tmp_path / "bundle", folder))
    assert ours["files"]["categories.safetensors"] == theirs["files"]["categories.safetensors"]
    graphs = [onnx.load(b / "visual.onnx").graph.SerializeToString() for b in (tmp_path / "bundle", folder)]
    assert graphs[0] == graphs[1]
    assert ours["licence"] == "MIT"
    assert f"our/clip at commit {COMMIT}" in ours["provenance"]
    assert f"our/clip at commit {COMMIT}" in (tmp_path / "bundle" / "README.md").read_text()
    # Shown: commit, and each file with size and SHA-256.
    weights = hub.repositories["our/clip"]["model.safetensors"]
    assert f"hf:our/clip: commit {COMMIT}" in done.stderr and "licence MIT" in done.stderr
    assert re.search(rf"model.safetensors: {len(weights)} bytes, sha256 [0-9a-f]{{64}}\n", done.stderr)
    assert re.search(r"config.json: \d+ bytes, sha256 [0-9a-f]{64}\n", done.stderr)
    assert not hub.downloaded("pytorch_model.bin")
    # Nothing else is requested, such as statistics.
    assert all(path.startswith(("/api/models/our/clip", "/our/clip/")) for _, path, _ in hub.requests)


def test_an_openclip_repository_exports(hub: Hub, run, tmp_path: Path):
    done = run("hf:our/open", "--licence", "Apache-2.0")
    assert done.returncode == 0, done.stderr
    manifest = tomllib.loads((tmp_path / "bundle" / "bundle.toml").read_text())
    assert manifest["licence"] == "Apache-2.0" and "our/open" in manifest["provenance"]
    assert "states no licence" in done.stderr


def test_a_revision_is_pinned_and_works_offline(hub: Hub, run, tmp_path: Path):
    assert run("hf:our/open@v1").returncode == 0
    requests = len(hub.requests)
    assert all(f"/resolve/{COMMIT}/" in path for _, path, _ in hub.requests if "/resolve/" in path)
    done = run("hf:our/open@v1", "--force", environment={"HF_HUB_OFFLINE": "1"})
    assert done.returncode == 0 and f"commit {COMMIT} from the cache" in done.stderr
    assert run(f"hf:our/open@{COMMIT}", "--force", environment={"HF_HUB_OFFLINE": "1"}).returncode == 0
    assert len(hub.requests) == requests
    # Without HF_HUB_OFFLINE, but without a network.
    done = run("hf:our/open@v1", "--force", environment={"HF_ENDPOINT": f"http://127.0.0.1:{closed_port()}"})
    assert done.returncode == 0 and "is not reachable; using the copy in the cache" in done.stderr
    assert "not in the cache" in error_of(run("hf:our/clip", "--force", environment={"HF_HUB_OFFLINE": "1"}))


def test_relabel_takes_a_repository(run, tmp_path: Path):
    assert run("hf:our/open").returncode == 0
    done = run("relabel", str(tmp_path / "bundle"), "hf:our/open", out="other")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "other" / "bundle.toml").is_file()


def test_weights_in_parts_are_downloaded(hub: Hub, run, samples, tmp_path: Path):
    whole = load_file(samples["hugging-face"] / "model.safetensors")
    names = sorted(whole)
    files = hub.repositories["our/clip"]
    del files["model.safetensors"]
    index = {"weight_map": {}}
    for part, chosen in (("model-1-of-2.safetensors", names[::2]), ("model-2-of-2.safetensors", names[1::2])):
        save_file({n: whole[n] for n in chosen}, tmp_path / part)
        files[part] = (tmp_path / part).read_bytes()
        index["weight_map"] |= dict.fromkeys(chosen, part)
    files["model.safetensors.index.json"] = json.dumps(index).encode()
    done = run("hf:our/clip")
    assert done.returncode == 0, done.stderr
    index["weight_map"]["logit_scale"] = "../../elsewhere.safetensors"
    files["model.safetensors.index.json"] = json.dumps(index).encode()
    hub.commit = "1" * 40
    assert "does not name 1 to 64 safetensors files" in error_of(run("hf:our/clip", "--force"))


def test_a_download_that_breaks_off_is_resumed(hub: Hub, run):
    hub.breaks["model.safetensors"] = 5_000_000
    done = run("hf:our/clip")
    assert done.returncode == 0, done.stderr
    first, second = hub.downloaded("model.safetensors")
    assert "Range" not in first and second["Range"] == "bytes=4194304-"


def test_a_download_whose_connection_is_reset_starts_again(hub: Hub, run, tmp_path: Path):
    hub.breaks["model.safetensors"] = 5_000_000
    hub.resets = True
    done = run("hf:our/clip")
    assert done.returncode == 0, done.stderr
    assert "the connection was reset, starting again" in done.stderr
    assert len(hub.downloaded("model.safetensors")) == 2
    assert not [n for n in cache(tmp_path) if n.endswith(".incomplete")]


@pytest.mark.parametrize("difference", [-1000, 1000])
def test_a_wrong_size_is_refused(hub: Hub, run, tmp_path: Path, difference: int):
    size = len(hub.repositories["our/clip"]["model.safetensors"])
    hub.listed_sizes["model.safetensors"] = size + difference
    shown = error_of(run("hf:our/clip"))
    assert "hf:our/clip, model.safetensors: " in shown and ("more than the" in shown or "another size" in shown)
    assert cache(tmp_path) == [] and not (tmp_path / "bundle").exists()


def test_a_file_that_does_not_end_is_refused(hub: Hub, run, tmp_path: Path):
    hub.extra["model.safetensors"] = bytes(30_000_000)
    assert "more than the" in error_of(run("hf:our/clip"))
    assert cache(tmp_path) == []


def test_a_wrong_hash_is_refused_and_the_file_removed(hub: Hub, run, tmp_path: Path):
    hub.listed_hashes["model.safetensors"] = "f" * 64
    assert "model.safetensors: not the content that the hub lists (its hash differs)" in error_of(run("hf:our/clip"))
    assert cache(tmp_path) == []
    del hub.listed_hashes["model.safetensors"]
    assert run("hf:our/clip").returncode == 0


def test_weights_that_are_too_large_are_refused_before_the_download(hub: Hub, run):
    hub.listed_sizes["model.safetensors"] = 20 << 30
    assert "21.5 GB of weights, and at most 17.2 GB" in error_of(run("hf:our/clip"))
    hub.listed_sizes = {"config.json": 5 << 20}
    assert "config.json: 5.2 MB, and at most 4.2 MB" in error_of(run("hf:our/clip"))
    assert not hub.downloaded("model.safetensors") and not hub.downloaded("config.json")[1:]


@pytest.mark.parametrize("name", ["pytorch_model.bin", "open_clip_pytorch_model.bin"])
def test_pickles_are_never_downloaded(hub: Hub, run, name: str):
    files = hub.repositories["our/clip"]
    files[name] = files.pop("model.safetensors")
    shown = error_of(run("hf:our/clip"))
    assert "only in files that can contain code" in shown and name in shown
    assert not hub.downloaded(name)


@pytest.mark.parametrize(
    ("file", "config", "message"),
    [
        ("config.json", {"model_type": "siglip"}, "hf:our/clip/config.json: a SigLIP model"),
        (
            "open_clip_config.json",
            {"model_cfg": {"vision_cfg": {"timm_model_name": "vit_b"}}},
            "timm image tower 'vit_b'",
        ),
        ("open_clip_config.json", [], "not a JSON object"),
    ],
)
def test_other_models_are_named_without_their_weights(hub: Hub, run, file: str, config: object, message: str):
    repository = "our/clip" if file == "config.json" else "our/open"
    hub.repositories[repository][file] = json.dumps(config).encode()
    assert message in error_of(run(f"hf:{repository}"))
    assert not [path for _, path, _ in hub.requests if path.endswith(".safetensors")]


def test_a_repository_without_a_clip_is_refused(hub: Hub, run):
    hub.repositories["our/text"] = {"README.md": CARD, "model.gguf": b"GGUF"}
    assert "no config.json or open_clip_config.json, so that it is not a CLIP model" in error_of(run("hf:our/text"))


def test_the_supported_form_is_used_if_a_repository_has_two(hub: Hub, run):
    files = hub.repositories["our/open"]
    files |= {"config.json": b'{"model_type": "timm_wrapper"}', "model.safetensors": b"another form"}
    done = run("hf:our/open")
    assert done.returncode == 0, done.stderr
    assert not hub.downloaded("model.safetensors")


@pytest.mark.parametrize("redirects", ["here", "another hub"])
def test_redirects_are_followed_without_the_token(hub: Hub, run, redirects: str):
    other = Hub(repositories=hub.repositories)
    server = serve(other)
    hub.redirects = "here" if redirects == "here" else other.url
    done = run("hf:our/clip")
    server.shutdown()
    server.server_close()
    assert done.returncode == 0, done.stderr
    assert any(headers.get("authorization") == f"Bearer {TOKEN}" for _, _, headers in hub.requests)
    assert not any("authorization" in headers for _, _, headers in other.requests)
    assert bool(other.requests) == (redirects != "here")


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("hf:our/missing", "hf:our/missing: no such repository, or a private one"),
        ("hf:our/clip@v2", "hf:our/clip@v2: no such branch, tag or commit"),
        ("hf:clip", "'hf:clip': not a repository of a model hub; write hf:OWNER/NAME"),
    ],
)
def test_repositories_that_do_not_exist_are_named(run, reference: str, message: str):
    assert message in error_of(run(reference))


@pytest.mark.parametrize(
    "name",
    ["", "clip", "our/clip/more", "our/../clip", "our/clip@../x", "our/clip@", "our/clip@-x", "our/cl ip", "/clip"],
)
def test_other_names_are_refused(name: str):
    with pytest.raises(Problem, match="not a repository of a model hub"):
        parse(f"hf:{name}")


def test_revisions_are_branches_tags_or_commits():
    assert parse("hf:a/b").revision == "main"
    assert parse("hf:a/b@refs/pr/3").revision == "refs/pr/3"
    assert str(parse("hf:a/b@v1.0")) == "hf:a/b@v1.0"


@pytest.mark.parametrize(
    ("status", "remedy"), [(401, "HF_TOKEN"), (403, "check HF_TOKEN"), (404, "check"), (500, "try again later")]
)
def test_refusals_of_the_hub_are_sentences(hub: Hub, run, status: int, remedy: str):
    hub.status = status
    assert remedy in error_of(run("hf:our/clip"))


def test_a_gated_repository_asks_for_consent(hub: Hub, run):
    hub.error = "GatedRepo"
    hub.status = 403
    assert "its owner asks for consent" in error_of(run("hf:our/clip"))


def test_a_hub_that_states_no_commit_is_refused(hub: Hub, run):
    hub.commit = "not a commit"
    assert "does not state the commit; check HF_ENDPOINT" in error_of(run("hf:our/clip"))


def closed_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.mark.parametrize("variable", ["HF_ENDPOINT", "HTTP_PROXY"])
def test_without_a_network_the_remedy_is_another_machine(run, variable: str):
    environment = {variable: f"http://user:password@127.0.0.1:{closed_port()}"}
    if variable == "HTTP_PROXY":
        environment |= {"HF_ENDPOINT": "http://hub.invalid"}
    done = run("hf:our/clip", environment=environment)
    shown = error_of(done)
    assert "cannot be reached" in shown
    assert "`hf download our/clip --revision main --local-dir DIR` and give DIR as the checkpoint" in shown
    assert "password" not in done.stderr


def test_the_folder_of_a_download_is_the_same_checkpoint(hub: Hub, run, samples, tmp_path: Path):
    """The remedy works: the folder on another machine gives the same bundle as the repository."""
    folder = tmp_path / "copy"
    shutil.copytree(samples["hugging-face"], folder)
    assert run("hf:our/clip").returncode == 0
    assert run(str(folder), out="from-folder").returncode == 0
    ours, theirs = ((tmp_path / b / "categories.safetensors").read_bytes() for b in ("bundle", "from-folder"))
    assert ours == theirs


def test_a_full_disk_is_one_sentence_and_leaves_nothing(run, tmp_path: Path):
    shown = error_of(run("hf:our/clip", limit=1_000_000))
    assert shown.startswith(f"error: {tmp_path / 'home' / 'hub'}: no space for the download")
    assert cache(tmp_path) == [] and not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: mit\n---\n", "MIT"),
        ("---\nlicense: apache-2.0\ntags:\n- x\n---\ntext --- text", "Apache-2.0"),
        ("---\nlicense: cc-by-nc-4.0\n---\n", "CC-BY-NC-4.0"),
        ("---\nlicense: openrail\n---\n", "LicenseRef-openrail"),
        ("---\nlicense: other\nlicense_name: our-terms\n---\n", "LicenseRef-our-terms"),
        ("---\nlicense: other\n---\n", None),
        ("---\nlicense: unknown\n---\n", None),
        ("---\nlicense: [mit]\n---\n", None),
        ("---\nlicense: 'mit\\nx'\n---\n", None),
        ("---\nlicense: [\n---\n", None),
        ("---\n- x\n---\n", None),
        ("# A card without metadata\n", None),
        ("", None),
    ],
)
def test_the_licence_is_that_of_the_model_card(card: str, licence: str | None):
    assert licence_of(card) == licence


@pytest.mark.parametrize(
    ("state", "message"),
    [(torch.zeros(1), "missing"), (torch.full((1,), float("nan")), "missing")],
)
def test_weights_that_are_no_clip_are_named_by_repository(hub: Hub, run, tmp_path: Path, state, message: str):
    save_file({"logit_scale": state}, tmp_path / "w.safetensors")
    hub.repositories["our/open"]["open_clip_model.safetensors"] = (tmp_path / "w.safetensors").read_bytes()
    shown = error_of(run("hf:our/open"))
    assert shown.startswith("error: hf:our/open") and message in shown

"""Makes the numbers that recognition must reproduce, from BIKE's published code.

    python tests/data/make_goldens_bike.py PATH_OF_A_CHECKOUT

PATH_OF_A_CHECKOUT is https://github.com/whwu95/BIKE at commit e8f6a8b: a work tree, or a git directory without one.
Needs torch, numpy, safetensors, onnx, onnxruntime. Writes, next to this file:

    bike_goldens.safetensors   inputs (float32), the outputs of modules/video_clip.py (computed in float64), and those
                               of five wrong methods (wrong_*), which differ by at least ten tolerances
    bike_temporal.onnx         the temporal header, random weights, LayerNormalization as one operator

Frames of a window differ (the cosine of any two is below 0.5), because otherwise every method gives the same scores.
"""

import json
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

COMMIT = "e8f6a8b"
HERE = Path(__file__).parent
# Small sizes, except W = 77, the text positions of CLIP.
K, W, D, T = 5, 77, 16, 8
PROMPT, TOLERANCE = 6, 1e-5


def published(checkout: Path) -> types.ModuleType:
    """Returns modules/video_clip.py at COMMIT as a module."""
    bare = [] if (checkout / ".git").exists() else ["--git-dir", str(checkout)]
    command = ["git", *(bare or ["-C", str(checkout)]), "show", f"{COMMIT}:modules/video_clip.py"]
    source = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    module = types.ModuleType("video_clip")
    exec(compile(source, "modules/video_clip.py", "exec"), module.__dict__)
    return module


def frames(generator: np.random.Generator) -> np.ndarray:
    """Draws T frames of different lengths and directions."""
    while True:
        x = generator.normal(size=(T, D)) * generator.uniform(5, 15, size=(T, 1))
        unit = x / np.linalg.norm(x, axis=1, keepdims=True)
        if (unit @ unit.T - 2 * np.eye(T)).max() < 0.5:
            return x.astype(np.float32)


def rows_of_length_1(x: np.ndarray) -> np.ndarray:
    """Scales rows to length 1."""
    x = x.astype(np.float64)
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def texts(generator: np.random.Generator, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Draws categories [K, D] and words [K, W, D]: equal prompts, a few different words, similar padding."""
    words = np.zeros((K, W, D))
    words[:, :PROMPT] = generator.normal(size=(PROMPT, D))
    for k in range(K):
        own = 2 + k
        # A category's own words resemble one frame, so that saliency is neither flat nor on a single frame.
        words[k, PROMPT : PROMPT + own] = x[(2 * k) % T] / 10 + generator.normal(size=(own, D)) * 0.9
        words[k, PROMPT + own :] = generator.normal(size=D) + generator.normal(size=(W - PROMPT - own, D)) * 0.05
    category = words[:, PROMPT + 3] + generator.normal(size=(K, D)) * 0.5
    return rows_of_length_1(category), rows_of_length_1(words)


def state_dict() -> dict[str, torch.Tensor]:
    """Returns the part of a CLIP checkpoint that determines the header's sizes: width D and one attention head."""
    return {
        "text_projection": torch.zeros(64, D),
        "positional_embedding": torch.zeros(W, 64),
        "token_embedding.weight": torch.zeros(10, 64),
        "ln_final.weight": torch.zeros(64),
    }


def random_header(module: types.ModuleType) -> torch.nn.Module:
    """Returns the temporal header with random weights."""
    header = module.video_header("Transf", "VCS", state_dict()).double().eval()
    torch.manual_seed(3)
    with torch.no_grad():
        for name, parameter in header.named_parameters():
            noise = torch.randn_like(parameter)
            if "ln_" in name and name.endswith("weight"):
                parameter.copy_((1 + 0.2 * noise).float().double())
            elif "frame_position" in name:
                parameter.copy_(noise.float().double() * 0.5)
            else:
                parameter.copy_((noise * (0.2 if parameter.ndim > 1 else 0.1)).float().double())
    return header


def export_header(header: torch.nn.Module, path: Path) -> None:
    """Writes the header as ONNX, [1, T, D] to [1, T, D] with one attention head, operator by operator."""
    state = {name: value.detach().numpy().astype(np.float32) for name, value in header.state_dict().items()}
    nodes, initializers, count = [], [], iter(range(10_000))

    def constant(value: np.ndarray) -> str:
        name = f"c{next(count)}"
        initializers.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(operator: str, *inputs: str, **attributes) -> str:
        name = f"v{next(count)}"
        nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def linear(x: str, weight: np.ndarray, bias: np.ndarray) -> str:
        return node("Add", node("MatMul", x, constant(weight.T)), constant(bias))

    def norm(x: str, prefix: str) -> str:
        weight, bias = constant(state[f"{prefix}.weight"]), constant(state[f"{prefix}.bias"])
        return node("LayerNormalization", x, weight, bias, axis=-1, epsilon=1e-12)

    x = node("Add", "frames", constant(state["frame_position_embeddings.weight"][None, :T]))
    for layer in range(6):
        prefix = f"transformer.resblocks.{layer}"
        y = norm(x, f"{prefix}.ln_1")
        weight, bias = state[f"{prefix}.attn.in_proj_weight"], state[f"{prefix}.attn.in_proj_bias"]
        q, k, v = (linear(y, weight[i * D : (i + 1) * D], bias[i * D : (i + 1) * D]) for i in range(3))
        scores = node("Mul", node("MatMul", q, node("Transpose", k, perm=[0, 2, 1])), constant(np.float32(D**-0.5)))
        y = node("MatMul", node("Softmax", scores, axis=-1), v)
        x = node("Add", x, linear(y, state[f"{prefix}.attn.out_proj.weight"], state[f"{prefix}.attn.out_proj.bias"]))
        y = norm(x, f"{prefix}.ln_2")
        y = linear(y, state[f"{prefix}.mlp.c_fc.weight"], state[f"{prefix}.mlp.c_fc.bias"])
        y = node("Mul", y, node("Sigmoid", node("Mul", y, constant(np.float32(1.702)))))
        x = node("Add", x, linear(y, state[f"{prefix}.mlp.c_proj.weight"], state[f"{prefix}.mlp.c_proj.bias"]))
    nodes.append(helper.make_node("Add", [x, "frames"], ["headed"]))

    def value(name: str):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, T, D])

    graph = helper.make_graph(nodes, "temporal", [value("frames")], [value("headed")], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def saliency(x: torch.Tensor, words: torch.Tensor, tau: float = 0.01, positions: slice = slice(None)) -> torch.Tensor:
    """Returns the saliency [k, t] that get_logits computes but does not return; also used for the wrong methods."""
    x = x / x.norm(dim=-1, keepdim=True)
    words = words / words.norm(dim=-1, keepdim=True)
    return torch.softmax(torch.einsum("kwd,td->kwt", words[:, positions], x) / tau, -1).mean(1)


def main() -> None:
    """Writes the goldens and the header."""
    module = published(Path(sys.argv[1]))
    generator = np.random.default_rng(20230)
    x = frames(generator)
    category, words = texts(generator, x)
    attribute = rows_of_length_1(generator.normal(size=D))
    views = np.stack([x, frames(generator), frames(generator)])
    unit = rows_of_length_1(views).astype(np.float64)
    for view in unit:
        assert (view @ view.T - 2 * np.eye(T)).max() < 0.5, "frames of a window must differ"

    header = random_header(module)
    vcs = module.video_header("None", "VCS", None)
    dp = module.video_header("None", "DP", None)
    headed_dp = random_header(module)
    headed_dp.interaction = "DP"

    tensors = {
        name: torch.from_numpy(value).double()
        for name, value in {"x": x, "views": views, "category": category, "word": words, "attribute": attribute}.items()
    }
    x64, word64, category64 = tensors["x"], tensors["word"], tensors["category"]
    with torch.no_grad():

        def score(head, frames64):
            return head(frames64[None], word64, category64)[0]

        headed = header.agg_video_feat(x64[None])[0]
        s_a = tensors["attribute"] @ category64.T / (tensors["attribute"].norm() * category64.norm(dim=-1))
        # train.py and train_attributes.py save one softmax each, and utils.fusion_acc adds them with these weights.
        fused = 0.7 * score(vcs, x64).softmax(-1) + 0.3 * s_a.softmax(-1)
        # test.py: softmax, mean over views, softmax.
        of_views = vcs(tensors["views"], word64, category64).softmax(-1).mean(0).softmax(-1)
        truth = {
            "vcs": score(vcs, x64),
            "dp": score(dp, x64),
            "headed": headed,
            "headed_vcs": score(header, x64),
            "headed_dp": score(headed_dp, x64),
            "saliency": saliency(x64, word64),
            "headed_saliency": saliency(headed, word64),
            "s_a": s_a,
            "fused": fused,
            "views_reference": of_views,
        }

        # Each wrong method must differ by ten times the tolerance of the tests, so that the tests detect it.
        unit64 = x64 / x64.norm(dim=-1, keepdim=True)
        e = torch.einsum("kt,td->kd", truth["saliency"], unit64)
        masked = torch.stack(
            [saliency(x64, word64[k : k + 1], positions=slice(0, PROMPT + 2 + k))[0] for k in range(K)]
        )
        no_residual = headed - x64
        unit_no_residual = no_residual / no_residual.norm(dim=-1, keepdim=True)

        def by(weights, frames64):
            return torch.einsum("kt,td,kd->k", weights, frames64, category64)

        assert torch.allclose(by(truth["saliency"], unit64), truth["vcs"], atol=1e-6)
        wrong = {
            "mean_pooling": (by(torch.full((K, T), 1 / T, dtype=torch.float64), unit64), "vcs"),
            "doubled_tau": (by(saliency(x64, word64, tau=0.02), unit64), "vcs"),
            "masked_padding": (by(masked, unit64), "vcs"),
            "renormalised_e_k": ((e / e.norm(dim=-1, keepdim=True) * category64).sum(-1), "vcs"),
            "header_without_residual": (by(saliency(no_residual, word64), unit_no_residual), "headed_vcs"),
        }
        differences = {name: (value - truth[of]).abs().max().item() for name, (value, of) in wrong.items()}
    for name, difference in differences.items():
        assert difference >= 10 * TOLERANCE, f"{name} differs by only {difference}"

    export_header(header, HERE / "bike_temporal.onnx")
    session = onnxruntime.InferenceSession(HERE / "bike_temporal.onnx", providers=["CPUExecutionProvider"])
    exported = session.run(None, {"frames": x[None]})[0][0]
    error = np.abs(exported - headed.numpy()).max()
    assert error < 1e-4, f"the exported header differs by {error}"

    inputs = {"frames": x, "views": views, "category": category, "word": words, "attribute": attribute}
    outputs = {name: value.numpy().astype(np.float64) for name, value in truth.items()}
    outputs |= {f"wrong_{name}": value.numpy().astype(np.float64) for name, (value, _) in wrong.items()}
    save_file({**inputs, **outputs}, HERE / "bike_goldens.safetensors", {"commit": COMMIT, "prompt": str(PROMPT)})
    print(json.dumps(differences, indent=1), f"exported header differs by {error:.1e}", sep="\n")


if __name__ == "__main__":
    main()

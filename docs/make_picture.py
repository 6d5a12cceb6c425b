"""Draw a terminal as an SVG: run bike-edge commands in colour and render their output.

    python3 docs/make_picture.py docs/terminal.svg 'bike-edge classify clip.mp4' [--bin target/release/bike-edge]

Supports only the SGR codes that bike-edge writes. Needs only the standard library.
"""

import argparse
import html
import re
import shlex
import subprocess
from pathlib import Path

CELL_W, CELL_H, PAD = 8.4, 18, 16
COLOURS = {31: "#f28b82", 32: "#81c995", 33: "#fdd663", 36: "#78d9ec"}
SGR = re.compile(r"\x1b\[([0-9;]*)m")


def spans(line: str):
    """Yield the (text, style) pairs of a line, with the style as SVG attributes."""
    style: dict[str, str] = {}
    start = 0
    for code in SGR.finditer(line):
        if code.start() > start:
            yield line[start : code.start()], dict(style)
        start = code.end()
        for number in (int(n or 0) for n in code[1].split(";")):
            if number == 0:
                style.clear()
            elif number == 1:
                style["font-weight"] = "bold"
            elif number == 2:
                style["fill"] = "#9aa0a6"
            elif number in COLOURS:
                style["fill"] = COLOURS[number]
    if start < len(line):
        yield line[start:], dict(style)


def draw(lines: list[str]) -> str:
    """Return the SVG of a terminal that shows these lines."""
    columns = max((len(SGR.sub("", line)) for line in lines), default=1)
    width, height = columns * CELL_W + 2 * PAD, len(lines) * CELL_H + 2 * PAD
    body = []
    for row, line in enumerate(lines):
        column = 0
        y = PAD + row * CELL_H + 13
        for text, style in spans(line):
            attributes = "".join(f' {name}="{value}"' for name, value in style.items())
            x = PAD + column * CELL_W
            length = len(text) * CELL_W
            body.append(
                f'<text x="{x:.1f}" y="{y}" textLength="{length:.1f}" lengthAdjust="spacingAndGlyphs"'
                f' xml:space="preserve"{attributes}>{html.escape(text)}</text>'
            )
            column += len(text)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}"'
        f' height="{height}" font-family="ui-monospace,Menlo,Consolas,DejaVu Sans Mono,monospace" font-size="14"'
        f' fill="#e8eaed"><rect width="100%" height="100%" rx="8" fill="#202124"/>\n' + "\n".join(body) + "\n</svg>\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="SVG file to write")
    parser.add_argument("commands", nargs="+", help="commands to run and show, each starting with bike-edge")
    parser.add_argument("--bin", default="target/release/bike-edge", help="program to run (%(default)s)")
    args = parser.parse_args()
    lines: list[str] = []
    for command in args.commands:
        words = shlex.split(command)
        run = subprocess.run([args.bin, "--color", "always", *words[1:]], capture_output=True, text=True, check=True)
        output = "$ " + command + "\n" + run.stdout.rstrip("\n")
        lines += [*output.split("\n"), ""]
    args.out.write_text(draw(lines[:-1]), encoding="utf-8")


if __name__ == "__main__":
    main()

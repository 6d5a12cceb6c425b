#!/usr/bin/env python3
"""Checks the structure of src.

    tools/check-structure.py [cycles] [cli] [sizes] [dependencies]     default: all

cycles        no import cycle between the folders of src, or between files. An import counts for the file that
              defines the item, so a mod.rs may re-export its children. Test modules do not count.
cli           only src/main.rs, src/cli and src/commands mention clap or cli::
sizes         at most 240 files, none over 500 lines, and a median over 110 lines
dependencies  the library without default features depends on no crate of the command line
"""

import re
import statistics
import subprocess
import sys
import tempfile
import textwrap
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = "bike_edge"
MAX_FILES, MAX_LINES, MIN_MEDIAN = 240, 500, 110
CLI_CRATES = {"clap", "clap_builder", "clap_derive", "indicatif", "env_logger", "signal-hook", "sd-notify"}

COMMENT_OR_STRING = re.compile(
    r"""//[^\n]*|/\*.*?\*/|\bb?r(\#*)".*?"\1|\bb?"(?:\\.|[^"\\])*"|"(?:\\.|[^"\\])*"|'(?:\\[^']+|[^\\'])'""", re.S
)
TEST_ATTRIBUTE = re.compile(r"#\[(?:cfg\((?:all\()?test\b[^\]]*|test)\]\s*(?:#\[[^\]]*\]\s*)*")
ITEM_START = re.compile(r"(pub|use|fn|impl|struct|enum|mod|const|static|type|trait|unsafe|async|extern|let)\b")
MODULE = re.compile(r"^(?:pub(?:\([^)]*\))?\s+)?mod\s+(?P<name>\w+)\s*(?P<end>[;{])", re.M)
DEFINITION = re.compile(
    r"(?m)^(?:pub(?:\([^)]*\))?\s+)?(?:(?:async|const|unsafe|extern \"\")\s+)*"
    r"(?:(?:fn|struct|enum|union|trait|type|const|static(?: mut)?)\s+|macro_rules!\s*)(\w+)"
)
USE = re.compile(r"^\s*(pub(?:\([^)]*\))?\s+)?use\s+([^;]+);", re.M)
PATH = re.compile(r"(?<![\w:.$])[A-Za-z_]\w*(?:::[A-Za-z_]\w*)+")


class Module:
    """A module: its file, the names it defines and imports, and the code in which names are used."""

    def __init__(self, file, parent, text, folder, library=None):
        self.file, self.parent = file, parent
        self.root, self.library = (parent.root, parent.library) if parent else (self, library or self)
        self.children = {}
        while match := MODULE.search(text):
            name, end = match["name"], match.end()
            if match["end"] == "{":
                end = item_end(text, match.end(), "{")
                self.children[name] = Module(file, self, textwrap.dedent(text[match.end() : end - 1]), folder / name)
            else:
                for path in (folder / f"{name}.rs", folder / name / "mod.rs"):
                    if path.is_file():
                        self.children[name] = Module(path, self, clean(path.read_text()), folder / name)
            text = text[: match.start()] + text[end:]
        self.uses = [(bool(use[1]), path) for use in USE.finditer(text) for path in expand(use[2])]
        self.code = USE.sub("", text)
        self.words = set(re.findall(r"\w+", self.code))
        self.defined = set(DEFINITION.findall(self.code))
        self.globs = [segments for _, (segments, alias) in self.uses if alias == "*"]
        self.imports = {alias: segments for _, (segments, alias) in self.uses if alias != "*"}

    def lookup(self, name, want_item, seen):
        """Returns the Module or the defining file that a name means in this module, or None."""
        if (self, name) in seen:
            return None
        seen = seen | {(self, name)}
        if name in self.defined and (want_item or name not in self.children):
            return self.file
        if name in self.children:
            return self.children[name]
        if name in self.imports:
            return self.resolve(self.imports[name], seen)
        for module in (self.resolve(segments, seen) for segments in self.globs):
            if isinstance(module, Module) and (found := module.lookup(name, want_item, seen)):
                return found
        return None

    def resolve(self, segments, seen=frozenset()):
        """Returns the Module or the defining file of a path, or None for other crates."""
        start = {"crate": self.root, "self": self, "super": self.parent, LIBRARY: self.library}
        here, rest = self, segments
        if segments[0] in start:
            here, rest = start[segments[0]], segments[1:]
        for at, name in enumerate(rest):
            if name == "super":
                here = here.parent
                continue
            found = here.lookup(name, at == len(rest) - 1, seen)
            if not isinstance(found, Module):
                # An item that a macro defines is not found: it counts for the module's file.
                return found or (None if here is self and rest is segments else here.file)
            here = found
        return here

    def imported(self):
        """Yields (file or Module, name) of what is used here. A re-export that is not used itself does not count."""
        for is_public, (segments, alias) in self.uses:
            if alias != "*" and (not is_public or alias in self.words):
                yield self.resolve(segments), segments[-1]
        for module in map(self.resolve, self.globs):
            if isinstance(module, Module):
                for word in self.words - self.defined - set(self.imports):
                    yield module.lookup(word, True, frozenset()), word
        for path in PATH.findall(self.code):
            yield self.resolve(path.split("::")), "::".join(path.split("::")[-2:])

    def all(self):
        """Returns this module and those below it."""
        return [self, *(module for child in self.children.values() for module in child.all())]


def clean(text):
    """Returns code without comments, contents of strings, and test code."""
    text = COMMENT_OR_STRING.sub(lambda match: " " if match[0].startswith("/") else '""', text)
    while match := TEST_ATTRIBUTE.search(text):
        text = text[: match.start()] + text[item_end(text, match.end()) :]
    return text


def item_end(text, at, end=None):
    """Returns the position after the item, field or variant at `at`, or after the bracket there that `end` closes."""
    ends = ";" if ITEM_START.match(text, at) else ",;"
    while at < len(text) and text[at] not in ")]}":
        opening, at = text[at], at + 1
        if opening in "([{":
            at = item_end(text, at, opening)
            if opening == "{" and not end and not re.match(r"\s*[;.?]", text[at:]):
                return at
        elif not end and opening in ends:
            return at
    return at + bool(end)


def expand(tree, before=()):
    """Yields (segments, alias) of every path in a use tree."""
    head, brace, rest = tree.partition("{")
    if not brace and (segments := [*before, *re.findall(r"\w+|\*", tree.partition(" as ")[0])]) and tree.strip():
        alias = tree.partition(" as ")[2].strip()
        segments = segments[:-1] if segments[-1] == "self" and len(segments) > 1 else segments
        yield (segments[:-1], "*") if segments[-1] == "*" else (segments, alias or segments[-1])
    if not brace:
        return
    before, depth, part = (*before, *re.findall(r"\w+", head)), 0, ""
    for letter in rest[: rest.rindex("}")] + ",":
        depth += (letter == "{") - (letter == "}")
        if letter == "," and depth == 0:
            yield from expand(part, before)
            part = ""
        else:
            part += letter


def graph(src, of):
    """Returns {node: {node: names}}, where `of` gives a file's node or None."""
    edges = defaultdict(lambda: defaultdict(set))
    library = None
    for file in filter(Path.is_file, (src / "lib.rs", src / "main.rs")):
        library = root = Module(file, None, clean(file.read_text()), src, library)
        for module in root.all():
            for target, name in module.imported():
                if isinstance(target, Path) and None not in (a := of(module.file), b := of(target)) and a != b:
                    edges[a][b].add(name)
    return edges


def cycles(edges):
    """Returns, for every node on a cycle, a shortest one through it, without repetitions."""
    found = {}
    for start in sorted(edges):
        paths, queue = {start: [start]}, [start]
        for node in queue:
            if start in edges.get(node, {}):
                path = paths[node]
                found.setdefault(frozenset(path), [*path, start])
                break
            for following in sorted(edges.get(node, {})):
                if following not in paths:
                    paths[following] = [*paths[node], following]
                    queue.append(following)
    return sorted(found.values(), key=lambda path: (len(path), path))


def check_cycles(src=ROOT / "src"):
    def folder(file):
        first = file.relative_to(src).parts[0]
        return None if first in ("lib.rs", "main.rs") else first.removesuffix(".rs")

    for kind, node in (("folders", folder), ("files", lambda file: str(file.relative_to(src)))):
        edges = graph(src, node)
        for path in cycles(edges):
            steps = (f"-> {b} ({', '.join(sorted(edges[a][b])[:4])})" for a, b in zip(path, path[1:], strict=False))
            yield f"cycle of {kind}: {path[0]} {' '.join(steps)}"


def check_cli():
    for file in sorted((ROOT / "src").rglob("*.rs")):
        name = file.relative_to(ROOT / "src").as_posix()
        if name != "main.rs" and not name.startswith(("cli/", "commands/")):
            for number, line in enumerate(file.read_text().splitlines(), 1):
                if re.search("cli::|clap", line):
                    yield f"src/{name}:{number}: mentions the command line: {line.strip()}"


def check_sizes():
    lines = {file: len(file.read_text().splitlines()) for file in (ROOT / "src").rglob("*.rs")}
    if len(lines) > MAX_FILES:
        yield f"src has {len(lines)} files, more than {MAX_FILES}"
    if (median := statistics.median(lines.values())) <= MIN_MEDIAN:
        yield f"the median file has {median:g} lines, not more than {MIN_MEDIAN}"
    for file in sorted(file for file in lines if lines[file] > MAX_LINES):
        yield f"{file.relative_to(ROOT)}: {lines[file]} lines, more than {MAX_LINES}"


def check_dependencies():
    command = "cargo tree --locked -e normal --no-default-features --prefix none"
    tree = subprocess.run(command.split(), cwd=ROOT, capture_output=True, text=True, check=False)
    if tree.returncode != 0:
        yield f"cargo tree failed: {tree.stderr.strip()}"
    for crate in sorted({line.split()[0] for line in tree.stdout.splitlines() if line} & CLI_CRATES):
        yield f"the library depends on {crate}"


def self_test():
    """Fails unless check_cycles finds a cycle through a re-export, and nothing without one."""
    for back, expected in (("use super::b::make;\n", 1), ("#[cfg(test)]\nuse super::b::make;\n", 0)):
        with tempfile.TemporaryDirectory() as folder:
            src = Path(folder)
            (src / "x").mkdir()
            (src / "lib.rs").write_text("pub mod x;\n")
            (src / "x/mod.rs").write_text("mod a;\nmod b;\npub use a::Thing;\npub use b::make;\n")
            (src / "x/a.rs").write_text(back + "pub struct Thing;\n")
            (src / "x/b.rs").write_text("use super::Thing;\npub fn make() -> Thing { Thing }\n")
            assert len(found := list(check_cycles(src))) == expected, found


CHECKS = {"cycles": check_cycles, "cli": check_cli, "sizes": check_sizes, "dependencies": check_dependencies}

if __name__ == "__main__":
    if unknown := set(sys.argv[1:]) - set(CHECKS):
        sys.exit(f"{__doc__}\nunknown check: {', '.join(sorted(unknown))}")
    self_test()
    results = {name: list(CHECKS[name]()) for name in sys.argv[1:] or CHECKS}
    for name, problems in results.items():
        print(f"{name}: {len(problems)} problems" if problems else f"{name}: ok", *problems, sep="\n  ")
    sys.exit(any(results.values()))

"""Reads the serial console of a guest and runs the checks of a test on it.

The guest prints one line per result, beginning with `T `:

    T rc NAME CODE        exit code of the command NAME
    T out NAME LINE       a line of its stdout
    T err NAME LINE       a line of its stderr, or of a failed check's output
    T file NAME BASE64    a file
    T ok NAME             a check in the guest passed
    T fail NAME           a check or a step in the guest failed
    T FACT VALUE          anything else: nonce, sha256, frames, done, ...
"""

import argparse
import base64
import json
import sys


class Console:
    """The guest's results by kind and name."""

    def __init__(self, path):
        self.codes, self.out, self.err, self.files, self.facts, self.failed, self.passed = {}, {}, {}, {}, {}, [], []
        with open(path, "rb") as file:
            text = file.read().decode("utf-8", "replace")
        for line in text.replace("\r", "").split("\n"):
            if not line.startswith("T "):
                continue
            kind, _, rest = line[2:].partition(" ")
            name, _, value = rest.partition(" ")
            if kind == "rc":
                self.codes[name] = int(value)
            elif kind in ("out", "err"):
                getattr(self, kind).setdefault(name, []).append(value)
            elif kind == "file":
                self.files[name] = base64.b64decode(value)
            elif kind == "fail":
                self.failed.append(rest)
            elif kind == "ok":
                self.passed.append(rest)
            else:
                self.facts[kind] = rest

    def json(self, name):
        """Returns the last stdout line of a command as JSON."""
        return json.loads(self.out[name][-1])

    def stderr(self, name):
        """Returns the stderr of a command."""
        return "\n".join(self.err.get(name, []))


def run_checks(check):
    """Prints the result of each check of `check(console, nonce, sha256)`, and exits with 1 if one failed.

    `check` yields (check, whether it passed, details for a failure).
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("console")
    parser.add_argument("--nonce", required=True)
    parser.add_argument("--sha256", required=True)
    arguments = parser.parse_args()
    console = Console(arguments.console)
    passed = failed = 0
    try:
        for name, ok, details in check(console, arguments.nonce, arguments.sha256):
            print(f"{'ok  ' if ok else 'FAIL'} {name}" + ("" if ok else f": {details}"))
            passed, failed = passed + bool(ok), failed + (not ok)
    except (KeyError, IndexError, ValueError, AssertionError) as error:
        failed += 1
        print(f"FAIL the console lacks a result, or it cannot be read: {error!r}")
    if failed:
        sys.stderr.write("".join(f"  {name}: {line}\n" for name, lines in console.err.items() for line in lines))
    print(f"frames={console.facts.get('frames', 0)}")
    print(f"binary-sha256={console.facts.get('sha256', '')}")
    print(f"nonce={console.facts.get('nonce', '')}")
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0 or int(console.facts.get("frames", 0)) == 0)

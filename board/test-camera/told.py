"""What a guest told on its serial console, and whether it is what is promised."""

import argparse
import base64
import json
import sys


class Told:
    """The guest's lines, by what they are about."""

    def __init__(self, path):
        self.codes, self.out, self.err, self.files, self.facts, self.failed, self.kept = {}, {}, {}, {}, {}, [], []
        with open(path, "rb") as console:
            text = console.read().decode("utf-8", "replace")
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
                self.kept.append(rest)
            else:
                self.facts[kind] = rest

    def json(self, name):
        return json.loads(self.out[name][-1])

    def said(self, name):
        return "\n".join(self.err.get(name, []))


def judge(check):
    """Prints each promise of `check(told, nonce, sha256)`, which yields (promise, whether it is kept, what was seen), and
    ends the program, with an error where one is not."""
    parser = argparse.ArgumentParser()
    parser.add_argument("console")
    parser.add_argument("--nonce", required=True)
    parser.add_argument("--sha256", required=True)
    arguments = parser.parse_args()
    told = Told(arguments.console)
    passed = failed = 0
    try:
        for promise, kept, seen in check(told, arguments.nonce, arguments.sha256):
            print(f"{'ok  ' if kept else 'FAIL'} {promise}" + ("" if kept else f": {seen}"))
            passed, failed = passed + bool(kept), failed + (not kept)
    except (KeyError, IndexError, ValueError, AssertionError) as error:
        failed += 1
        print(f"FAIL the guest did not tell what was asked of it: {error!r}")
    if failed:
        sys.stderr.write("".join(f"  {name}: {line}\n" for name, lines in told.err.items() for line in lines))
    print(f"frames={told.facts.get('frames', 0)}")
    print(f"binary-sha256={told.facts.get('sha256', '')}")
    print(f"nonce={told.facts.get('nonce', '')}")
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0 or int(told.facts.get("frames", 0)) == 0)

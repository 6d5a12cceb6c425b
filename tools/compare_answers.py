#!/usr/bin/env python3
"""Records the outputs of a binary, and compares two records.

    tools/compare_answers.py record BINARY OUT CLIPS...     CLIPS: clips, or a folder with a clips.csv
    tools/compare_answers.py diff OLD NEW

Records `classify --json --raw`, `watch` and `watch --steps` of every clip, and `eval --json` and `calibrate` of every
folder, without times of day and durations. `diff` exits with 1 if any output differs.
"""

import concurrent.futures
import csv
import json
import pathlib
import subprocess
import sys
import tempfile

# Fields that differ between two runs of one binary.
VOLATILE = {"timing_ms", "wall", "seconds"}


def stable(value):
    """Removes the volatile fields."""
    if isinstance(value, dict):
        return {key: stable(inner) for key, inner in value.items() if key not in VOLATILE}
    if isinstance(value, list):
        return [stable(inner) for inner in value]
    return value


def output(binary, *arguments):
    """Runs a command and returns its exit code and its stable output lines."""
    done = subprocess.run([binary, *arguments], capture_output=True, text=True, check=False)
    lines = []
    for line in done.stdout.splitlines():
        try:
            lines.append(json.dumps(stable(json.loads(line)), sort_keys=True))
        except ValueError:
            lines.append(line)
    return {"exit": done.returncode, "lines": lines}


def file_output(binary, suffix, *arguments):
    """Runs a command that writes a file, `{}` among its arguments, and returns the file's stable text."""
    with tempfile.NamedTemporaryFile(suffix=suffix) as file:
        command = [binary, *(argument.format(file.name) for argument in arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        text = pathlib.Path(file.name).read_text(encoding="utf-8")
    if suffix == ".json" and text:
        report = stable(json.loads(text))
        for failure in report.get("failures", []):
            failure.pop("problem", None)
        text = json.dumps(report, sort_keys=True)
    else:
        # The head of a thresholds file is a comment in words.
        text = "\n".join(line for line in text.splitlines() if not line.startswith("# Thr"))
    return {"exit": done.returncode, "lines": [text]}


def record(binary, out, inputs):
    """Writes one JSON file per clip and list."""
    out.mkdir(parents=True, exist_ok=True)
    jobs = {}
    for given in map(pathlib.Path, inputs):
        clips = [given]
        if given.is_dir():
            with open(given / "clips.csv", encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
            clips = [given / row["file"] for row in rows]
            labels = [(given / row["file"], row.get("small_labels", "")) for row in rows]
            jobs[f"list-{given.name}"] = ("list", labels)
        for clip in clips:
            jobs[clip.name] = ("clip", clip)

    def run(name, kind, what):
        if kind == "clip":
            result = {
                "classify": output(binary, "classify", "--json", "--raw", "--threads", "1", what),
                "watch": output(binary, "watch", "--threads", "1", what),
                "steps": output(binary, "watch", "--steps", "--threads", "1", what),
            }
        else:
            result = labelled(binary, what)
        (out / f"{name}.json").write_text(json.dumps(result, indent=1), encoding="utf-8")

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(run, name, *job) for name, job in jobs.items()]:
            done.result()
    print(f"{len(jobs)} records in {out}")


def labelled(binary, labels):
    """Evaluates a list; only labels that are categories of the embedded bundle count."""
    listed = subprocess.run([binary, "bundle", "inspect", "--categories"], capture_output=True, text=True, check=True)
    names = set(listed.stdout.splitlines())
    with tempfile.TemporaryDirectory() as folder:
        one, many = pathlib.Path(folder, "one.csv"), pathlib.Path(folder, "many.csv")
        rows = [(path, [label for label in text.split(";") if label in names]) for path, text in labels]
        with open(one, "w", encoding="utf-8") as first, open(many, "w", encoding="utf-8") as second:
            for file in (first, second):
                file.write("path,label\n")
            for path, known in rows:
                if known:
                    first.write(f"{path.resolve()},{known[0]}\n")
                second.write(f"{path.resolve()},{';'.join(known)}\n")
        report = file_output(binary, ".json", "eval", str(one), "--json", "{}")
        report["lines"] = [line.replace(folder, "") for line in report["lines"]]
        thresholds = file_output(binary, ".toml", "calibrate", str(many), "--min-positives", "1", "--out", "{}")
        return {"eval": report, "calibrate": thresholds}


def diff(old, new):
    """Compares two folders of records."""
    names = sorted({path.name for folder in (old, new) for path in folder.glob("*.json")})
    wrong = 0
    for name in names:
        paths = [folder / name for folder in (old, new)]
        if not all(path.exists() for path in paths):
            print(f"{name}: recorded once only")
            wrong += 1
            continue
        first, second = (json.loads(path.read_text(encoding="utf-8")) for path in paths)
        for command in sorted(first.keys() | second.keys()):
            if first.get(command) != second.get(command):
                print(f"{name}: {command} differs")
                wrong += 1
    print(f"{len(names)} records, {wrong} differences")
    return wrong == 0


def main():
    """Runs one of the two commands."""
    match sys.argv[1:]:
        case ["record", binary, out, *inputs] if inputs:
            record(str(pathlib.Path(binary).resolve()), pathlib.Path(out), inputs)
        case ["diff", old, new]:
            sys.exit(0 if diff(pathlib.Path(old), pathlib.Path(new)) else 1)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()

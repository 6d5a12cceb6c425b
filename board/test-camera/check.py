"""Checks the results of init.sh: what bike-edge does with cameras and their faults."""

import json
import struct
import zlib

from console import run_checks

# vivid's 75 % colour bars, in eighths of the width.
BARS = [(191, 191, 191), (191, 191, 0), (0, 191, 191), (0, 191, 0), (191, 0, 191), (191, 0, 0), (0, 0, 191), (0, 0, 0)]
# In levels: half a level of rounding in each of two conversions, and swscale's truncated products.
TOLERANCE = 4


def decode_png(data):
    """Returns width, height and rows of RGB pixels of an 8-bit PNG."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n", "not a PNG"
    at, packed, header = 8, b"", None
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            header = struct.unpack(">IIBBBBB", body)
        elif kind == b"IDAT":
            packed += body
        at += 12 + length
    width, height, depth, colour = header[:4]
    assert (depth, colour) == (8, 2), header
    raw, stride, rows, above = zlib.decompress(packed), width * 3, [], bytes(width * 3)
    for y in range(height):
        method, line = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1 : (y + 1) * (stride + 1)])
        for x in range(stride):
            a, b, c = (line[x - 3] if x > 2 else 0), above[x], (above[x - 3] if x > 2 else 0)
            p = a + b - c
            paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            line[x] = (line[x] + (0, a, b, (a + b) // 2, paeth)[method]) & 255
        rows.append([tuple(line[x : x + 3]) for x in range(0, stride, 3)])
        above = line
    return width, height, rows


def check(console, nonce, sha256):
    """Yields (check, whether it passed, details for a failure)."""

    def near(pixel, colour):
        return all(abs(a - b) <= TOLERANCE for a, b in zip(pixel, colour, strict=True))

    def exits(name, code, *words):
        stderr = console.stderr(name)
        return console.codes.get(name) == code and all(word in stderr for word in words), (
            console.codes.get(name),
            stderr,
        )

    yield "the guest completed without a failed step", "done" in console.facts and not console.failed, console.failed
    yield "the console is this run's", console.facts.get("nonce") == nonce, console.facts.get("nonce")
    yield "the guest ran the tested binary", console.facts.get("sha256") == sha256, console.facts.get("sha256")

    cameras = console.json("list_json")["cameras"]
    formats = {mode["format"] for mode in cameras[0]["modes"]}
    yield "five cameras are listed", [c["device"] for c in cameras] == [f"/dev/video{n}" for n in range(5)], cameras
    yield "ids are stable", cameras[1]["ids"] == ["platform:vivid-001"], cameras[1]["ids"]
    yield "formats are listed", {"yuyv", "nv12", "yu12", "rgb3", "bgr3"} <= formats, formats
    yield (
        "the list for people names the ids",
        any("camera:platform:vivid-000" in line for line in console.out["list"]),
        console.out["list"],
    )

    kinds = [f"snapshot_{name}" for name in ["yuyv", "nv12", "yu12", "rgb3", "bgr3"]]
    for name in [*kinds, "multi_yuyv", "multi_nv12", "multi_yu12"]:
        yield f"{name} exits with 0", *exits(name, 0)
        width, height, rows = decode_png(console.files[name])
        pixels = [rows[y][x * 40 + 20] for y in (10, 90, 170) for x in range(8)]
        right = all(near(pixel, BARS[i % 8]) for i, pixel in enumerate(pixels))
        yield f"{name} shows the colour bars", (width, height) == (320, 180) and right, (width, height, pixels)
    multi = cameras[4]
    yield (
        "the fifth camera has the multi-planar API",
        multi["problem"] is None and "NM12" in multi["other_formats"],
        multi,
    )
    counts = console.json("multi_test")
    yield "it delivers undamaged frames", counts["captured"] >= 5 and counts["corrupt"] == counts["short"] == 0, counts
    yield "an existing file is not replaced without --force", *exits("snapshot_again", 5, "--force")
    yield "a masked snapshot exits with 0", *exits("masked", 0)
    width, height, rows = decode_png(console.files["masked"])
    # After a quarter turn the bars run across, from the top down. The mask covers the left half of the upper 100 rows.
    masked = all(near(rows[y][x], (0, 0, 0)) for y in range(100) for x in range(90))
    free = all(near(rows[bar * 40 + 20][135], BARS[bar]) for bar in range(4))
    yield "it is masked and rotated", (width, height) == (180, 160) and masked and free, (width, height, masked, free)
    yield "a missing camera is refused", *exits("absent", 3, "camera list")
    yield "an ambiguous camera name is refused", *exits("two", 3, "fits 5 cameras")
    yield "a format that is not offered is refused", *exits("unoffered", 3, "--camera-format mjpeg")
    mode = console.json("negotiated")
    yield "a mode of 640x480 is negotiated", (mode["width"], mode["height"]) == (640, 480), mode

    yield "a camera in use is refused", *exits("busy", 3, "another program is using it")
    counts = console.json("faults_0")
    yield "a damaged frame is skipped and counted", counts["corrupt"] >= 1, counts
    yield (
        "bike-edge reconnects after a fatal error and after a disconnect",
        (counts["losses"], counts["reconnects"]) == (2, 2),
        (counts, console.stderr("faults_0")),
    )
    yield "frames arrive before and after", counts["captured"] >= 20, counts
    yield "each loss is logged once", console.stderr("faults_0").count(": lost:") == 2, console.stderr("faults_0")
    counts = console.json("faults_1")
    yield (
        "a camera without frames is reopened",
        counts["timeouts"] >= 1 and counts["reconnects"] >= 1,
        (counts, console.stderr("faults_1")),
    )
    yield "frames dropped by the driver are counted", counts["dropped"] >= 3, counts
    counts = console.json("faults_3")
    yield (
        "bike-edge survives a lost signal",
        console.codes.get("faults_3") == 0 and counts["captured"] >= 10,
        (counts, console.stderr("faults_3")),
    )
    counts = console.json("replug")
    yield (
        "bike-edge reconnects to a camera under another number",
        (counts["losses"], counts["reconnects"]) == (1, 1),
        (counts, console.stderr("replug"), console.facts.get("devices")),
    )
    yield "the number did change", "/dev/video5" in console.facts.get("devices", ""), console.facts.get("devices")
    lines = [json.loads(line) for line in console.out["watch"]]
    valid = [0 <= line["confidence"] <= 1 and bool(line["label"]) and line["t"] >= 0 for line in lines]
    yield (
        "watch prints results",
        console.codes.get("watch") == 0 and len(lines) == 2 and all(valid),
        (lines, console.stderr("watch")),
    )
    yield "stream time increases from frame to frame", lines[0]["t"] < lines[1]["t"], lines


run_checks(check)

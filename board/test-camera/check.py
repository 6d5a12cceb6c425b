"""Reads what the guest told on its console, and fails where it is not what cameras are promised to do."""

import json
import struct
import zlib

from told import judge

# vivid's 75 % colour bars, in eighths of the width.
BARS = [(191, 191, 191), (191, 191, 0), (0, 191, 191), (0, 191, 0), (191, 0, 191), (191, 0, 0), (0, 0, 191), (0, 0, 0)]
# Levels: half a level each for the two conversions, and swscale's products that are cut off.
TOLERANCE = 4


def decode_png(data):
    """Width, height and rows of RGB of an 8-bit PNG."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n", "no PNG"
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
    raw, stride, rows, last = zlib.decompress(packed), width * 3, [], bytes(width * 3)
    for y in range(height):
        how, line = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1 : (y + 1) * (stride + 1)])
        for x in range(stride):
            a, b, c = (line[x - 3] if x > 2 else 0), last[x], (last[x - 3] if x > 2 else 0)
            p = a + b - c
            paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            line[x] = (line[x] + (0, a, b, (a + b) // 2, paeth)[how]) & 255
        rows.append([tuple(line[x : x + 3]) for x in range(0, stride, 3)])
        last = line
    return width, height, rows


def check(told, nonce, sha256):
    """Yields (promise, whether it is kept, what was seen)."""

    def near(pixel, colour):
        return all(abs(a - b) <= TOLERANCE for a, b in zip(pixel, colour))

    def exits(name, code, *words):
        said = told.said(name)
        return told.codes.get(name) == code and all(word in said for word in words), (told.codes.get(name), said)

    yield "the guest ran to its end", "done" in told.facts and not told.failed, told.failed
    yield "it is this run", told.facts.get("nonce") == nonce, told.facts.get("nonce")
    yield "it is this program", told.facts.get("sha256") == sha256, told.facts.get("sha256")

    cameras = told.json("list_json")["cameras"]
    formats = {mode["format"] for mode in cameras[0]["modes"]}
    yield "five cameras are listed", [c["device"] for c in cameras] == [f"/dev/video{n}" for n in range(5)], cameras
    yield "with ids that stay", cameras[1]["ids"] == ["platform:vivid-001"], cameras[1]["ids"]
    yield "and formats", {"yuyv", "nv12", "yu12", "rgb3", "bgr3"} <= formats, formats
    yield "the list is readable", any("camera:platform:vivid-000" in line for line in told.out["list"]), told.out["list"]

    kinds = [f"snapshot_{name}" for name in ["yuyv", "nv12", "yu12", "rgb3", "bgr3"]]
    for name in [*kinds, "multi_yuyv", "multi_nv12", "multi_yu12"]:
        yield f"{name} is taken", *exits(name, 0)
        width, height, rows = decode_png(told.files[name])
        seen = [rows[y][x * 40 + 20] for y in (10, 90, 170) for x in range(8)]
        right = all(near(pixel, BARS[i % 8]) for i, pixel in enumerate(seen))
        yield f"{name} shows the colour bars", (width, height) == (320, 180) and right, (width, height, seen)
    multi = cameras[4]
    yield "the fifth speaks the multi-planar dialect", multi["problem"] is None and "NM12" in multi["other_formats"], multi
    seen = told.json("multi_test")
    yield "and gives frame after frame", seen["captured"] >= 5 and seen["corrupt"] == seen["short"] == 0, seen
    yield "a file is not replaced unasked", *exits("snapshot_again", 5, "--force")
    yield "a masked picture is taken", *exits("masked", 0)
    width, height, rows = decode_png(told.files["masked"])
    # Turned a quarter, bars lie across, from the top down; the mask covers the left half of the upper 100 rows.
    covered = all(near(rows[y][x], (0, 0, 0)) for y in range(100) for x in range(90))
    free = all(near(rows[bar * 40 + 20][135], BARS[bar]) for bar in range(4))
    yield "masked and turned before anyone sees it", (width, height) == (180, 160) and covered and free, (width, height, covered, free)
    yield "an absent camera is named", *exits("absent", 3, "camera list")
    yield "a name that fits several is refused", *exits("two", 3, "fits 5 cameras")
    yield "a format that is not offered is refused", *exits("unoffered", 3, "--camera-format mjpeg")
    mode = told.json("negotiated")
    yield "640 x 480 is large enough", (mode["width"], mode["height"]) == (640, 480), mode

    yield "a camera in use is named", *exits("busy", 3, "another program is using it")
    seen = told.json("faults_0")
    yield "a damaged frame is passed over and counted", seen["corrupt"] >= 1, seen
    yield "a fatal error and a disconnect are recovered from", (seen["losses"], seen["reconnects"]) == (2, 2), (seen, told.said("faults_0"))
    yield "frames came before and after", seen["captured"] >= 20, seen
    yield "losses are logged once each", told.said("faults_0").count(": lost:") == 2, told.said("faults_0")
    seen = told.json("faults_1")
    yield "a camera that stops delivering is opened again", seen["timeouts"] >= 1 and seen["reconnects"] >= 1, (seen, told.said("faults_1"))
    yield "frames that the driver dropped are counted", seen["dropped"] >= 3, seen
    seen = told.json("faults_3")
    yield "a lost signal is lived through", told.codes.get("faults_3") == 0 and seen["captured"] >= 10, (seen, told.said("faults_3"))
    seen = told.json("replug")
    yield "a camera is found again under another number", (seen["losses"], seen["reconnects"]) == (1, 1), (seen, told.said("replug"), told.facts.get("devices"))
    yield "which really was another", "/dev/video5" in told.facts.get("devices", ""), told.facts.get("devices")
    lines = [json.loads(line) for line in told.out["watch"]]
    fits = [0 <= line["confidence"] <= 1 and bool(line["label"]) and line["t"] >= 0 for line in lines]
    yield "watch says what it sees", told.codes.get("watch") == 0 and len(lines) == 2 and all(fits), (lines, told.said("watch"))
    yield "and goes on from frame to frame", lines[0]["t"] < lines[1]["t"], lines


judge(check)

"""Reads what the guest told on its console, and fails where it is not what the service is promised to do."""

import json
import re
import sys
from pathlib import Path

here = Path(__file__).resolve().parent
sys.path.insert(0, str(here.parent / "test-camera"))
from told import judge  # noqa: E402

SCHEMA = json.loads((here.parents[1] / "docs/events.schema.json").read_text())

# What guest.sh calls a promise, and what is promised.
PROMISES = {
    "camera_is_shut_at_first": "before, the camera belongs to root alone",
    "installs": "the package installs",
    "opened_by_the_rule": "its udev rule gives the camera to the group video, at once",
    "waits_to_be_asked": "the service is not started unasked",
    "disabled_at_first": "nor enabled",
    "verify": "systemd finds nothing wrong with the unit",
    "doctor": "doctor works",
    "listed": "the camera is listed by its stable name",
    "configured": "the configuration is understood",
    "starts": "it starts",
    "ready_when_told": "systemd took it for ready when `systemctl start` returned",
    "notifies": "by Type=notify",
    "dynamic_user": "it runs as a dynamic user",
    "no_capabilities": "without capabilities",
    "seccomp": "behind a filter of system calls",
    "frames": "frames come through the sandbox",
    "holds_the_camera": "from the camera itself",
    "status": "`systemctl status` says how things stand",
    "state_is_kept": "state is kept",
    "event_begins": "an event begins",
    "nothing_written_per_frame": "frames change no file",
    "no_byte_written": "and send no byte to the disk",
    "event_ends": "the event ends when the picture goes dark",
    "reloads": "a reload is possible",
    "reload_is_taken": "a changed configuration is taken",
    "reload_changes": "and holds: the event is updated",
    "reload_is_refused": "a bad configuration is refused",
    "refusal_names_the_key": "with a log line that names file and key",
    "goes_on_with_the_old": "the old one goes on",
    "same_process": "all that in one process",
    "watchdog_restarts": "a hang is noticed and mended",
    "watchdog_it_was": "by the watchdog",
    "restart_is_counted": "as systemd counts",
    "event_is_ended_after_a_hang": "what went on then is ended",
    "another_event_begins": "and another event begins",
    "kill_restarts": "kill -9 is mended",
    "state_after_kill": "state outlives it",
    "frames_after_kill": "frames come again",
    "loss_is_logged": "an unplugged camera is logged",
    "service_goes_on": "and does not end the service",
    "back_with_its_group": "plugged in again, the camera belongs to the group video",
    "reconnects": "it is opened again",
    "frames_after_replug": "frames come again after that",
    "same_after_replug": "in the same process",
    "warnings_are_known": "`journalctl -p warning` shows warnings, and those alone",
    "event_goes_on_at_the_cut": "an event goes on when the power is cut",
    "no_credentials_at_first": "until then no password was told",
    "started_by_the_boot": "after a power cut the boot starts it",
    "no_camera_yet": "before there is a camera",
    "frames_after_boot": "which is found when it comes",
    "state_after_cut": "state outlives a power cut",
    "event_after_cut": "and an event begins",
    "stops": "it stops",
    "stops_clean": "cleanly",
    "nothing_left_open": "no event is left open",
    "failing_camera_is_logged": "a camera that cannot be reached is logged",
    "no_credentials": "its password is in no log, state, event, figure or answer",
    "upgrades": "the package upgrades",
    "new_version": "to a new version",
    "upgrade_goes_on": "the service goes on with the new program",
    "stays_enabled": "and stays enabled",
    "configuration_is_kept": "the configuration is kept",
    "removes": "the package can be removed",
    "removal_stops": "which stops the service",
    "removal_keeps_the_configuration": "and keeps the configuration",
    "purges": "the package can be purged",
    "nothing_is_left": "nothing is left of it",
    "no_failed_units": "no unit has failed",
}


def sound(line, schema=SCHEMA):
    """Whether a value is as a schema says: types, names, bounds and patterns, which is what ours uses."""
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float), "null": type(None)}
    named = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not any(isinstance(line, kinds[kind]) and (kind == "boolean" or not isinstance(line, bool)) for kind in named):
        return False
    if isinstance(line, dict):
        parts = schema["properties"]
        return set(schema.get("required", [])) <= set(line) <= set(parts) and all(sound(line[name], parts[name]) for name in line)
    if isinstance(line, list):
        return len(line) <= schema.get("maxItems", len(line)) and all(sound(item, schema["items"]) for item in line)
    if isinstance(line, str):
        return line in schema.get("enum", [line]) and re.search(schema.get("pattern", ""), line) is not None
    if line is None or isinstance(line, bool):
        return True
    return schema.get("const", line) == line and schema.get("minimum", line) <= line <= schema.get("maximum", line)


def check(told, nonce, sha256):
    """Yields (promise, whether it is kept, what was seen)."""
    yield "it is this run", told.facts.get("nonce") == nonce, told.facts.get("nonce")
    yield "it is this program", told.facts.get("sha256") == sha256, told.facts.get("sha256")
    yield "systemd is the first process", told.facts.get("systemd", "").startswith("systemd "), told.facts.get("systemd")
    for name, promise in PROMISES.items():
        yield promise, name in told.kept and name not in told.failed, f"{name}: {told.said(name)}"
    unknown = [name for name in told.kept + told.failed if name not in PROMISES]
    yield "the guest ran to its end", "done" in told.facts and not unknown, unknown

    frames, steps = (int(n) for n in re.findall(r"\d+(?= frames| steps)", told.facts["quiet"]))
    yield f"while nothing was written, {frames} frames came and {steps} were looked at", frames >= 20 and steps >= 3, told.facts["quiet"]
    yield f"it stops within 20 s ({told.facts['stop_s']} s)", int(told.facts["stop_s"]) < 20, told.facts["stop_s"]

    lines = [json.loads(line) for line in told.out["events"]]
    yield "every line of an event is as the schema says", all(map(sound, lines)), [line for line in lines if not sound(line)]
    yield "events are the camera's", {line["camera"] for line in lines} == {"front"}, lines
    told_of = {}
    for line in lines:
        told_of.setdefault(line["id"], []).append(line)
    orders = {one: " ".join(line["event"] for line in of) for one, of in told_of.items()}
    # A power cut may take the beginning, which the disk was not asked to keep before the state was.
    whole = [re.fullmatch("(new )?(update )*end", order) is not None for order in orders.values()]
    yield "every event begins, goes on and ends, once", all(whole), orders
    natural = [of[-1] for of in told_of.values() if not of[-1].get("interrupted")]
    right = [line["start"] <= line["end"] <= line["t"] and line["confidence"] <= line["peak"] and line["wall"]["start"] <= line["wall"]["end"] for line in natural]
    yield "starts, ends, peaks and times of day fit together", len(right) >= 2 and all(right), natural
    shares = [sum(frame["weight"] for frame in line["saliency"]) for line in lines]
    yield "saliency adds up to 1", all(abs(share - 1) < 0.02 for share in shares), shares
    yield "attributes are told", all(line["attributes"] for line in lines), lines
    cut = json.loads("".join(told.out["before_cut"]))
    ended = {line["id"] for line in lines if line.get("interrupted")}
    yield "events that the power cut broke off are ended afterwards", bool(cut["open"]) and set(cut["open"]) <= ended, (cut, ended)
    after = json.loads("".join(told.out["after_cut"]))
    yield "counters go on after it", after["ended"] >= cut["ended"] + len(cut["open"]), (cut, after)
    state = json.loads("".join(told.out["state"]))
    yield "the state counts every event told to its end", state["ended"] == len(told_of), (state, len(told_of))

    for name in ["doctor", "journal", "security"]:
        print(f"--- {name}", *told.out.get(name, []), sep="\n    ")


judge(check)

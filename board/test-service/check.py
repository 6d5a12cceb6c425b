"""Checks the results of guest.sh: what the package and its service do."""

import json
import re
from pathlib import Path

from console import run_checks

SCHEMA = json.loads((Path(__file__).resolve().parents[2] / "docs/schemas/events.schema.json").read_text())

# The names of checks in guest.sh, with what each one shows.
CHECKS = {
    "camera_restricted_at_first": "before installation only root can open the camera",
    "installs": "the package installs",
    "udev_rule_applies": "its udev rule gives the camera to the group video at once",
    "not_started_by_install": "installation does not start the service",
    "not_enabled_by_install": "installation does not enable the service",
    "unit_verified": "systemd-analyze verify finds no fault in the unit",
    "doctor": "doctor exits with 0",
    "camera_listed": "camera list shows the camera's stable name",
    "configuration_accepted": "check-config accepts the configuration",
    "starts": "the service starts",
    "ready_after_start": "it is active when `systemctl start` returns",
    "notifies": "its unit has Type=notify",
    "dynamic_user": "it runs as a dynamic user",
    "no_capabilities": "it has no capabilities",
    "seccomp": "its system calls are filtered",
    "frames": "frames arrive through the sandbox",
    "camera_open": "the process has the camera open",
    "status": "`systemctl status` shows the number of cameras",
    "state_written": "the state is written",
    "event_starts": "an event starts",
    "nothing_written_per_frame": "frames change no file",
    "no_byte_written": "frames write no byte to the disk",
    "event_ends": "the event ends when the picture becomes dark",
    "reloads": "`systemctl reload` succeeds",
    "reload_applied": "a changed configuration is applied",
    "reload_takes_effect": "it takes effect: the event is updated",
    "reload_refused": "an invalid configuration is refused",
    "refusal_names_the_key": "the refusal is logged with file and key",
    "old_configuration_kept": "frames arrive with the old configuration",
    "same_process_after_reload": "reloading does not restart the process",
    "hang_restarts": "a hung process is restarted",
    "hang_found_by_watchdog": "by the watchdog",
    "restart_counted": "systemd counts the restart",
    "event_ended_after_hang": "the open event is ended after the restart",
    "event_starts_after_hang": "another event starts",
    "kill_restarts": "a killed process is restarted",
    "state_after_kill": "the state survives the kill",
    "frames_after_kill": "frames arrive after the kill",
    "loss_logged": "an unplugged camera is logged",
    "active_after_loss": "the service stays active without the camera",
    "udev_rule_applies_again": "the replugged camera belongs to the group video",
    "reconnects": "the service reconnects to it",
    "frames_after_replug": "frames arrive after the reconnect",
    "same_process_after_replug": "a lost camera does not restart the process",
    "warnings_filtered": "`journalctl -p warning` shows warnings and no info lines",
    "event_open_at_cut": "an event is open when the power is cut",
    "no_credentials_before_cut": "no password was written before the power cut",
    "started_at_boot": "after the power cut the boot starts the service",
    "no_camera_at_boot": "before a camera exists",
    "frames_after_boot": "frames arrive when the camera appears",
    "state_after_cut": "the state survives the power cut",
    "event_starts_after_cut": "an event starts after the power cut",
    "stops": "`systemctl stop` succeeds",
    "stops_cleanly": "the process exits with 0",
    "no_event_left_open": "no event is left open",
    "unreachable_camera_logged": "an unreachable camera is logged",
    "no_credentials": "its password is in no log, state, event, metric or output of check-config",
    "upgrades": "the package upgrades",
    "new_version": "the new version is installed",
    "restarted_by_upgrade": "the upgrade restarts the running service",
    "stays_enabled": "the service stays enabled",
    "configuration_kept": "the upgrade keeps the configuration",
    "removes": "the package can be removed",
    "removal_stops": "removal stops the service",
    "removal_keeps_configuration": "removal keeps the configuration",
    "purges": "the package can be purged",
    "nothing_left": "purging leaves no file",
    "no_failed_units": "no unit has failed",
}


def matches(value, schema=SCHEMA):
    """Returns whether a value matches a schema, by the keywords that events.schema.json uses."""
    kinds = {
        "object": dict,
        "array": list,
        "string": str,
        "boolean": bool,
        "integer": int,
        "number": (int, float),
        "null": type(None),
    }
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not any(isinstance(value, kinds[kind]) and (kind == "boolean" or not isinstance(value, bool)) for kind in types):
        return False
    if isinstance(value, dict):
        parts = schema["properties"]
        return set(schema.get("required", [])) <= set(value) <= set(parts) and all(
            matches(value[name], parts[name]) for name in value
        )
    if isinstance(value, list):
        return len(value) <= schema.get("maxItems", len(value)) and all(
            matches(item, schema["items"]) for item in value
        )
    if isinstance(value, str):
        return value in schema.get("enum", [value]) and re.search(schema.get("pattern", ""), value) is not None
    if value is None or isinstance(value, bool):
        return True
    return schema.get("const", value) == value and schema.get("minimum", value) <= value <= schema.get("maximum", value)


def check(console, nonce, sha256):
    """Yields (check, whether it passed, details for a failure)."""
    yield "the console is this run's", console.facts.get("nonce") == nonce, console.facts.get("nonce")
    yield "the guest ran the tested binary", console.facts.get("sha256") == sha256, console.facts.get("sha256")
    yield (
        "systemd is the first process",
        console.facts.get("systemd", "").startswith("systemd "),
        console.facts.get("systemd"),
    )
    for name, description in CHECKS.items():
        yield description, name in console.passed and name not in console.failed, f"{name}: {console.stderr(name)}"
    unknown = [name for name in console.passed + console.failed if name not in CHECKS]
    yield "the guest completed and reported no unknown check", "done" in console.facts and not unknown, unknown

    frames, steps = (int(n) for n in re.findall(r"\d+(?= frames| steps)", console.facts["quiet"]))
    yield (
        f"while nothing was written, {frames} frames arrived and {steps} were analysed",
        frames >= 20 and steps >= 3,
        console.facts["quiet"],
    )
    yield (
        f"the service stops within 20 s ({console.facts['stop_s']} s)",
        int(console.facts["stop_s"]) < 20,
        console.facts["stop_s"],
    )

    lines = [json.loads(line) for line in console.out["events"]]
    yield "every event line matches the schema", all(map(matches, lines)), [line for line in lines if not matches(line)]
    yield "every event names the camera", {line["camera"] for line in lines} == {"front"}, lines
    of_event = {}
    for line in lines:
        of_event.setdefault(line["id"], []).append(line)
    orders = {event: " ".join(line["event"] for line in its) for event, its in of_event.items()}
    # A power cut may lose the first line, which is not synced to the disk before the state is.
    complete = [re.fullmatch("(new )?(update )*end", order) is not None for order in orders.values()]
    yield "every event has its lines in order: new, updates, one end", all(complete), orders
    uninterrupted = [its[-1] for its in of_event.values() if not its[-1].get("interrupted")]
    consistent = [
        line["start"] <= line["end"] <= line["t"]
        and line["confidence"] <= line["peak"]
        and line["wall"]["start"] <= line["wall"]["end"]
        for line in uninterrupted
    ]
    yield (
        "starts, ends, peaks and wall clock times are consistent",
        len(consistent) >= 2 and all(consistent),
        uninterrupted,
    )
    sums = [sum(frame["weight"] for frame in line["saliency"]) for line in lines]
    yield "saliency adds up to 1", all(abs(total - 1) < 0.02 for total in sums), sums
    yield "every event has attributes", all(line["attributes"] for line in lines), lines
    cut = json.loads("".join(console.out["before_cut"]))
    ended = {line["id"] for line in lines if line.get("interrupted")}
    yield (
        "events that the power cut interrupted are ended afterwards",
        bool(cut["open"]) and set(cut["open"]) <= ended,
        (cut, ended),
    )
    after = json.loads("".join(console.out["after_cut"]))
    yield "counters continue after the power cut", after["ended"] >= cut["ended"] + len(cut["open"]), (cut, after)
    state = json.loads("".join(console.out["state"]))
    yield "the state counts every ended event", state["ended"] == len(of_event), (state, len(of_event))

    for name in ["doctor", "journal", "security"]:
        print(f"--- {name}", *console.out.get(name, []), sep="\n    ")


run_checks(check)

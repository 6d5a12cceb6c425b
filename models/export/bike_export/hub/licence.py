"""Reads the licence that a model card states."""

import re

import yaml

# The hub's names of licences that differ from SPDX in capital letters, or name no licence.
LICENCES = {
    "apache-2.0": "Apache-2.0",
    "bsd-2-clause": "BSD-2-Clause",
    "bsd-3-clause": "BSD-3-Clause",
    "cc": None,
    "mit": "MIT",
    "unknown": None,
}


def licence_of(card: str) -> str | None:
    """Returns the licence in the front matter of a model card, as an SPDX expression, or None."""
    parts = card.split("---", 2)
    try:
        values = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0].strip("\ufeff \n") else None
    except yaml.YAMLError:
        return None
    stated = values.get("license") if isinstance(values, dict) else None
    if stated == "other":
        stated = values.get("license_name")
        return f"LicenseRef-{stated}" if _is_licence(stated) else None
    if not _is_licence(stated):
        return None
    if stated.startswith(("cc-", "cc0-", "gpl-", "lgpl-", "agpl-")):
        return stated.upper()
    return LICENCES.get(stated, f"LicenseRef-{stated}")


def _is_licence(stated: object) -> bool:
    return isinstance(stated, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]{0,79}", stated) is not None

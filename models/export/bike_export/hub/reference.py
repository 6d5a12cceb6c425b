"""Reads the name of a revision of a repository: `hf:OWNER/NAME[@REVISION]`."""

import re
from dataclasses import dataclass

from ..problem import Problem

PREFIX = "hf:"
REFERENCE = re.compile(r"hf:([\w-][\w.-]{0,95})/([\w-][\w.-]{0,95})(?:@(\w[\w./-]{0,127}))?", re.ASCII)


@dataclass(frozen=True)
class Reference:
    """A revision of a repository: a branch, tag or commit."""

    owner: str
    name: str
    revision: str = "main"

    @property
    def repository(self) -> str:
        """Returns OWNER/NAME."""
        return f"{self.owner}/{self.name}"

    def __str__(self) -> str:
        """Returns the reference as the command line takes it."""
        return f"{PREFIX}{self.repository}" + ("" if self.revision == "main" else f"@{self.revision}")


def parse(text: str) -> Reference:
    """Reads `hf:OWNER/NAME[@REVISION]`."""
    match = REFERENCE.fullmatch(text)
    if match is None or any(".." in part for part in match.groups("")):
        raise Problem(
            f"{text[:200]!r}: not a repository of a model hub; write hf:OWNER/NAME or hf:OWNER/NAME@REVISION, as in "
            "hf:laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
        )
    return Reference(match[1], match[2], match[3] or "main")

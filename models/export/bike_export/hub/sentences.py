"""Turns the errors of huggingface_hub into sentences that name a remedy."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from huggingface_hub import constants, errors

from ..problem import FILE_SYSTEM, Problem
from .reference import Reference


class NoNetworkError(Problem):
    """The hub cannot be reached."""


class ResetError(NoNetworkError):
    """The hub, or something on the way to it, reset the connection."""


@contextmanager
def sentences(reference: Reference, name: str | None = None) -> Iterator[None]:
    """Turns the errors of huggingface_hub into sentences. Their own texts are not used: they contain addresses."""
    where = f"{reference}, {name}" if name else str(reference)
    try:
        yield
    except Problem:
        raise
    except errors.GatedRepoError as error:
        raise Problem(
            f"{where}: its owner asks for consent; give it on the repository's page, and set HF_TOKEN to your token"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise Problem(
            f"{where}: no such repository, or a private one; check the name, or set HF_TOKEN if it is yours"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise Problem(f"{where}: no such branch, tag or commit; check what follows @") from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        remedy = {401: "check HF_TOKEN", 403: "check HF_TOKEN", 404: "check the name"}.get(status, "try again later")
        raise Problem(f"{where}: {host()} answers with status {status}; {remedy}") from error
    except Exception as error:
        raise _problem(reference, where, error) from error


def _problem(reference: Reference, where: str, error: Exception) -> Problem:
    """Returns the sentence for an error of the network or of the disk."""
    full = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    if isinstance(error, OSError) and error.errno in full:
        return Problem(no_space(FILE_SYSTEM[error.errno].split(";")[0]))
    if isinstance(error, OSError) and error.errno in FILE_SYSTEM and error.filename:
        return Problem(f"{error.filename}: {FILE_SYSTEM[error.errno]}")
    if "Consistency check failed" in str(error):
        return Problem(f"{where}: the download has another size than the hub states; run the command again")
    if isinstance(error, (ValueError, KeyError, TypeError)):
        return Problem(f"{where}: {host()} does not answer as a model hub; check HF_ENDPOINT")
    # huggingface_hub resumes after its other errors.
    kind = ResetError if type(error).__name__ == "ReadError" else NoNetworkError
    return kind(
        f"{where}: {host()} cannot be reached, or the connection breaks off; run the command again, or on a machine "
        f"with a network `hf download {reference.repository} --revision {reference.revision} --local-dir DIR` and "
        "give DIR as the checkpoint"
    )


def no_space(reason: str) -> str:
    return (
        f"{constants.HF_HUB_CACHE}: no space for the download ({reason}); free some space, or set HF_HOME to a folder "
        "on another disk"
    )


def host() -> str:
    """Returns the name of the hub, without the user and password that an address may contain."""
    return urlsplit(constants.ENDPOINT).hostname or "the hub"


def in_words(size: int) -> str:
    if size < 1e6:
        return f"{size} bytes"
    return f"{size / 1e6:.1f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"

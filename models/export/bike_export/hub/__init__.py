"""Loads a checkpoint from a model hub: `hf:OWNER/NAME[@REVISION]`, by huggingface_hub, in its own cache.

Only configuration, safetensors and the model card are downloaded, never a file that can contain code. The revision is
resolved to a commit first, and every file is checked against the size and hash that the hub lists for this commit. The
configuration comes first, so that a model that is not supported is refused before its weights are downloaded.

huggingface_hub resumes a download whose connection breaks off, and keeps complete files in its cache. It reads
HF_ENDPOINT, HF_HOME, HF_TOKEN, HF_HUB_OFFLINE and the proxy variables.
"""

import os

# Plain HTTP, whose size and progress can be checked as it arrives. huggingface_hub reads these when it is imported.
os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

from .load import load_from_hub
from .reference import PREFIX

__all__ = ["PREFIX", "load_from_hub"]

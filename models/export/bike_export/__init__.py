"""bike_export makes bundles (docs/bundle.md): folders that bike-edge reads without Python."""

import os

# numpy's products are small here: two threads took seven times as long as one. torch has threads of its own.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

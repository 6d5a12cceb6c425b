"""Makes bundles (docs/bundle.md): folders that bike-edge loads without Python."""

import os

# numpy's products are small here, and two threads took seven times as long as one. torch has its own threads.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

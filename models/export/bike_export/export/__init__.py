"""Makes bundles from checkpoints, and from existing bundles with new labels."""

"""bike_export makes bundles (docs/bundle.md): folders that bike-edge reads without Python."""

"""The rules: one file a layer, pure functions from observations to findings."""

"""The live steps of the ladder, one file a layer."""

"""Capture files: reading, prefiltering, reassembly; nothing here judges."""

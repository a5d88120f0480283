"""Renderers: they lay out what the report says, and compute nothing."""

"""The report: what a diagnosis says, as data. All renderers read it; none computes anything."""

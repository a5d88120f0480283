"""Where on the way packets die: asked beside a run that meets silence, on sockets of its own."""

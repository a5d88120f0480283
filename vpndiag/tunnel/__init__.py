"""The client: protocol engines stacked over ordinary UDP sockets."""

"""From decoded protocol messages to observations, one file a protocol.

Live runs and captures both go through here: that is what makes the same packet the same
observation. An observer keeps just enough state to name a message (main mode message 3, quick mode
message 2) and to tell a repeat from a new message.
"""

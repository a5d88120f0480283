"""Sans-IO protocol engines: bytes <-> messages, and state machines.

Nothing below this package opens a socket, reads a clock, a file or the environment, or prints.
Time is an argument (``now``, seconds as a float) and randomness is injected.
"""

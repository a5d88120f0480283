"""L2TPv2: messages, AVPs, and control connections as LAC or LNS (RFC 2661).

Whoever reads messages only (``message``, ``avps``) does not load the engines.
"""

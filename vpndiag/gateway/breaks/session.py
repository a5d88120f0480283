"""Breaks of a session that was up: its end, and the renewal of its keys."""

from __future__ import annotations

from vpndiag.gateway.breaks.register import Register

BREAKS = Register()
_add = BREAKS.add

_add("session.hung-up", "the link is ended as soon as data flows", leave="lcp")
_add("session.hung-up:cdn", "the call is closed as soon as data flows", leave="cdn")
_add("session.hung-up:stopccn", "the tunnel is closed as soon as data flows", leave="stopccn")
_add("session.hung-up:delete", "the SAs are deleted as soon as data flows", leave="delete")
_add("path.dpd-timeout", "the gateway falls silent as soon as data flows", leave="silence")
_add("session.hung-up:later", "the link is ended after 6 seconds, \"Idle timeout\"", soak=12.0,
     leave="lcp", leave_after=6.0)  # fmt: skip
_add("session.hung-up:stopccn-later", "StopCCN comes after 6 seconds", soak=12.0, leave="stopccn",
     leave_after=6.0)  # fmt: skip
_add("session.hung-up:delete-later", "the SAs are deleted after 6 seconds", soak=12.0,
     leave="delete", leave_after=6.0)  # fmt: skip
_add("path.dpd-timeout:later", "everything on UDP 4500 is dropped after 6 seconds", soak=12.0,
     leave="silence", leave_after=6.0)  # fmt: skip
_add("ike.rekey-refused", "a new main mode is refused while a session is up", soak=12.0,
     renewal="ike-refused")  # fmt: skip
_add("ike.rekey-stall", "a new main mode is not answered while a session is up", soak=12.0,
     renewal="ike-ignored")  # fmt: skip
_add("ipsec.rekey-refused", "a further quick mode is refused", soak=12.0, renewal="ipsec-refused")
_add("ipsec.rekey-stall", "a further quick mode is not answered, and the first SA ends", soak=12.0,
     renewal="ipsec-ignored")  # fmt: skip
_add("ipsec.rekey-stall:slow", "ESP is lost for 4 seconds when the keys are renewed", soak=15.0,
     outcome="healthy", renewal_delay=4.0)  # fmt: skip

"""Breaks of the way to the gateway and of its proposal: ``path`` and ``ike``."""

from __future__ import annotations

from vpndiag.gateway.breaks.register import Register
from vpndiag.gateway.config import PORTS
from vpndiag.protocols.ike.config import Refusal
from vpndiag.protocols.ike.constants import NotifyType
from vpndiag.protocols.ike.transforms import parse_ike

BREAKS = Register()
_add = BREAKS.add

_add("path.silent", "UDP 500 and 4500 are dropped", silent_ports=frozenset(PORTS))
_add("path.500-silent", "UDP 500 is dropped", silent_ports=frozenset({500}))
_add(
    "path.4500-silent",
    "UDP 4500 is dropped, and the client only looks from outside",
    client={"psk": None, "credentials": None, "user": None, "password": None},
    silent_ports=frozenset({4500}),
)
_add("path.float-blocked", "UDP 4500 is dropped", silent_ports=frozenset({4500}))
_add("path.port-unreachable", "no service listens", closed_ports=frozenset(PORTS))
_add(
    "path.l2tp-in-clear",
    "L2TP is answered outside IPsec as well",
    outcome="healthy",
    config={"plain_l2tp": True},
)
_add("path.answer-from-elsewhere", "answers come from another port", elsewhere=True)
_add("path.lossy", "a quarter of all datagrams is lost", outcome="healthy", loss=0.25)

_FOREIGN = (parse_ike("des-md5-modp768"),)
_OWN = (parse_ike("aes192-md5-modp1536"),)

_add(
    "ike.no-proposal-chosen",
    "only a proposal that nobody offers is accepted",
    config={"ike_transforms": _FOREIGN},
)
_add(
    "ike.no-proposal-chosen:custom",
    "the client's own proposal is refused, the usual ones are not",
    client={"ike_transforms": _OWN, "custom_ike": True},
)
_add(
    "ike.proposal-ignored",
    "the client's own proposal is not answered, the usual ones are",
    config={"refusal": Refusal.SILENT},
    client={"ike_transforms": _OWN, "custom_ike": True},
)
_add("ike.ikev2-only", "main mode is ignored, IKEv2 answered", main_mode="ikev2-only")
_add(
    "ike.ikev2-only:notify",
    "main mode is refused with INVALID-MAJOR-VERSION",
    main_mode="ikev2-notify",
)
_add("ike.aggressive-only", "only aggressive mode is answered", main_mode="aggressive-only")
_add(
    "ike.natt-vid-required",
    "only a client that announces NAT traversal is answered",
    config={"require_natt_vid": True},
    client={"vendor_ids": ()},
)
_add(
    "ike.refused",
    "message 1 is answered with SITUATION-NOT-SUPPORTED",
    main_mode="notify",
    notify=NotifyType.SITUATION_NOT_SUPPORTED,
)
_add("ike.stalled", "message 3 is never answered", drop=frozenset({"MM3"}))
_add("ike.malformed", "answers are not valid IKE", main_mode="malformed")
_add("ike.malformed:no-choice", "message 2 chooses nothing", main_mode="no-choice")
_add(
    "ike.weak-algorithm",
    "3DES, SHA-1 and a 1024-bit group are all there is",
    outcome="healthy",
    config={"ike_transforms": (parse_ike("3des-sha1-modp1024"),)},
)

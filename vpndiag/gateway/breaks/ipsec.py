"""Breaks of quick mode and of the data in ESP: ``ipsec`` and ``esp``."""

from __future__ import annotations

from vpndiag.gateway.breaks.register import Register
from vpndiag.protocols.ike.config import PfsPolicy
from vpndiag.protocols.ike.constants import NotifyType
from vpndiag.protocols.ike.transforms import parse_esp

BREAKS = Register()
_add = BREAKS.add

_add(
    "ipsec.no-proposal-chosen",
    "only an ESP proposal that nobody offers is accepted",
    config={"esp_transforms": (parse_esp("des-md5"),)},
)
_add("ipsec.identity-refused", "the addresses of quick mode are not accepted",
     config={"selectors_ok": False})  # fmt: skip
_add("ipsec.pfs-wanted", "quick mode needs PFS", config={"pfs": PfsPolicy.REQUIRE})
_add(
    "ipsec.pfs-wanted:without",
    "quick mode with PFS is refused",
    config={"pfs": PfsPolicy.REFUSE},
    client={"pfs_group": 14},
)
_add("ipsec.unanswered", "quick mode is not answered", drop=frozenset({"QM1"}))
_add(
    "ipsec.refused",
    "quick mode is refused with ADDRESS-NOTIFICATION",
    config={"refuse_quick_mode": NotifyType.ADDRESS_NOTIFICATION},
)
_add(
    "ipsec.client-stops",
    "quick mode is answered with an ESP proposal that was not offered",
    config={"choose_esp": parse_esp("des-md5")},
)
_add("ipsec.hung-up", "quick mode is answered with a Delete of the IKE SA", hang_up="phase-1")
_add(
    "ipsec.weak-algorithm",
    "3DES with HMAC-MD5 is all there is",
    outcome="healthy",
    config={"esp_transforms": (parse_esp("3des-md5"),)},
)

_SHA2 = {"esp_transforms": (parse_esp("aes128-sha256"),)}
_add("esp.no-return", "everything on UDP 4500 is dropped after quick mode",
     deaf_after="quick-mode")  # fmt: skip
_add("esp.sha2-truncation", "HMAC-SHA2-256 is cut to 96 bits", config=_SHA2, truncate_sha2=True)
_add("esp.bad-integrity", "the check values of ESP packets are wrong", corrupt_esp=True)
_add("esp.replayed", "every ESP packet is sent three times", outcome="healthy", repeat_esp=3)
_add("esp.out-of-order", "each second ESP packet overtakes another", outcome="healthy",
     swap_esp=True)  # fmt: skip
_add(
    "esp.forced-encapsulation",
    "nothing is broken: a client without privileges claims a NAT",
    outcome="healthy",
)

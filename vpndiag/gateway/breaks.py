"""``--break CODE``: how a gateway provokes each finding.

A break changes the gateway's configuration, and sometimes needs a client that is set up in a
certain way (another secret, a certificate, a proposal of its own): then it changes that as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from vpndiag.gateway import certificates
from vpndiag.gateway.config import PORTS, Faults, GatewayConfig
from vpndiag.protocols.ike.config import PfsPolicy, Refusal, WrongPsk
from vpndiag.protocols.ike.constants import AuthMethod as IkeAuth
from vpndiag.protocols.ike.constants import NotifyType
from vpndiag.protocols.ike.retransmit import Schedule
from vpndiag.protocols.ike.transforms import parse_esp, parse_ike
from vpndiag.protocols.l2tp.config import Ignore, Refuse
from vpndiag.protocols.ppp import auth_server
from vpndiag.protocols.ppp.auth import AuthMethod
from vpndiag.protocols.ppp.config import AddressRefusal, FallSilent, HangUp, NoAddress, Point
from vpndiag.tunnel.options import TunnelOptions

Change = Callable[[GatewayConfig, TunnelOptions, float], tuple[GatewayConfig, TunnelOptions]]


class CannotProvoke(ValueError):
    """No gateway can bring this finding about; the text says why, in one line."""


@dataclass(frozen=True, slots=True)
class Break:
    """``name`` is the code, with a colon and the variant where the fault shows in several ways.
    ``outcome``: what the verdict is meant to be."""

    name: str
    what: str
    change: Change
    outcome: Literal["failed", "healthy"] = "failed"
    soak: float = 0.0
    """Seconds that the client must stay connected for it to show."""

    @property
    def code(self) -> str:
        """The finding that it provokes."""
        return self.name.partition(":")[0]

    def apply(
        self, config: GatewayConfig, options: TunnelOptions, now: float
    ) -> tuple[GatewayConfig, TunnelOptions]:
        """Gateway and client set up for this break. ``now``: POSIX seconds, for certificates."""
        return self.change(config, options, now)


BREAKS: dict[str, Break] = {}
"""By name, in the order of the ladder."""


def _add(
    name: str,
    what: str,
    *,
    outcome: Literal["failed", "healthy"] = "failed",
    soak: float = 0.0,
    config: dict[str, Any] | None = None,
    client: dict[str, Any] | None = None,
    **faults: Any,
) -> None:
    def change(
        gateway: GatewayConfig, options: TunnelOptions, now: float
    ) -> tuple[GatewayConfig, TunnelOptions]:
        gateway = replace(gateway, **(config or {}))
        gateway = replace(gateway, faults=replace(gateway.faults, **faults))
        return gateway, replace(options, **(client or {}))

    BREAKS[name] = Break(name, what, change, outcome, soak)


# --- path ---------------------------------------------------------------------------------------

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

# --- ike ----------------------------------------------------------------------------------------

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
_add(
    "ike.weak-algorithm",
    "3DES, SHA-1 and a 1024-bit group are all there is",
    outcome="healthy",
    config={"ike_transforms": (parse_ike("3des-sha1-modp1024"),)},
)

# --- auth ---------------------------------------------------------------------------------------

_OTHER_KEY = {"psk": b"another key"}
_add(
    "auth.psk-mismatch",
    "another pre-shared key; message 5 is answered with a notification that cannot be read",
    config={**_OTHER_KEY, "wrong_psk": WrongPsk.ENCRYPTED_NOTIFY},
)
_add(
    "auth.psk-mismatch:silent",
    "another pre-shared key; message 4 is repeated",
    config={**_OTHER_KEY, "wrong_psk": WrongPsk.SILENT_RETRANSMIT_MM4},
)
_add(
    "auth.psk-mismatch:clear",
    "another pre-shared key; message 5 is answered with PAYLOAD-MALFORMED in clear",
    config={**_OTHER_KEY, "wrong_psk": WrongPsk.CLEAR_NOTIFY},
)
_add(
    "auth.psk-mismatch:mute",
    "another pre-shared key; message 5 is not answered at all",
    config={
        **_OTHER_KEY,
        "wrong_psk": WrongPsk.SILENT_RETRANSMIT_MM4,
        "schedule": Schedule(30.0, 1.0, 30.0, 1),
    },
)
_add(
    "auth.psk-mismatch:notified",
    "message 5 is answered with a protected INVALID-HASH-INFORMATION",
    after_mm5=NotifyType.INVALID_HASH_INFORMATION,
)
_add(
    "auth.identity-refused",
    "the key is right, the client's identity is not welcome",
    after_mm5=NotifyType.INVALID_ID_INFORMATION,
)
_add(
    "auth.refused",
    "message 5 is answered with ADDRESS-NOTIFICATION",
    after_mm5=NotifyType.ADDRESS_NOTIFICATION,
)
_add("auth.hung-up", "message 5 is answered with a Delete", after_mm5="delete")
_add("auth.gateway-unproven", "the gateway's HASH_R is wrong", false_proof=True)


def _certificates(
    gateway: GatewayConfig, options: TunnelOptions, now: float, **changes: Any
) -> tuple[GatewayConfig, TunnelOptions]:
    """Both sides with certificates of one authority; ``changes`` spoil the gateway's."""
    ca = certificates.authority("vpndiag demo authority", now)
    issuer = ca
    if changes.pop("untrusted", False):
        issuer = certificates.authority("an authority that nobody trusts", now)
    subject = changes.pop("subject", certificates.GATEWAY_NAME)
    anchors = changes.pop("anchors", (ca.der,))
    transforms = tuple(
        parse_ike(name, auth_method=IkeAuth.RSA_SIG)
        for name in ("aes256-sha256-modp2048", "aes256-sha1-modp2048")
    )
    return (
        replace(
            gateway,
            ike_transforms=transforms,
            credentials=certificates.issue(issuer, subject, now, **changes),
            trust_anchors=anchors,
            verify_time=now,
        ),
        replace(
            options,
            credentials=certificates.issue(ca, "client.vpndiag.example", now),
            trust_anchors=(ca.der,),
            expected_name=certificates.GATEWAY_NAME,
            verify_time=now,
        ),
    )


def _add_certificate(name: str, what: str, change: Change) -> None:
    BREAKS[name] = Break(name, what, change)


def _foreign_client(
    gateway: GatewayConfig, options: TunnelOptions, now: float
) -> tuple[GatewayConfig, TunnelOptions]:
    other = certificates.authority("an authority that nobody trusts", now)
    gateway, options = _certificates(gateway, options, now)
    return gateway, replace(options, credentials=certificates.issue(other, "client", now))


_add_certificate(
    "auth.certificate-wanted",
    "the gateway takes certificates only, and the client has a key",
    lambda g, o, now: (_certificates(g, o, now)[0], o),
)
_add_certificate(
    "auth.psk-wanted",
    "the gateway takes a pre-shared key only, and the client has a certificate",
    lambda g, o, now: (g, _certificates(g, o, now)[1]),
)
_add_certificate(
    "auth.certificate-expired",
    "the gateway's certificate expired a week ago",
    lambda g, o, now: _certificates(g, o, now, end_days=-7),
)
_add_certificate(
    "auth.certificate-not-yet-valid",
    "the gateway's certificate is valid from next week",
    lambda g, o, now: _certificates(g, o, now, start_days=7),
)
_add_certificate(
    "auth.certificate-untrusted",
    "the gateway's certificate is of an unknown authority",
    lambda g, o, now: _certificates(g, o, now, untrusted=True),
)
_add_certificate(
    "auth.certificate-name",
    "the gateway's certificate is for another name",
    lambda g, o, now: _certificates(g, o, now, subject="mail.vpndiag.example"),
)
_add_certificate(
    "auth.certificate-bad-signature",
    "the gateway signs with a key that is not its certificate's",
    lambda g, o, now: _certificates(g, o, now, other_key=True),
)
_add_certificate(
    "auth.certificate-refused",
    "the gateway does not trust the client's certificate",
    _foreign_client,
)

# --- ipsec --------------------------------------------------------------------------------------

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
_add("ipsec.hung-up", "quick mode is answered with a Delete of the IKE SA", hang_up="phase-1")
_add(
    "ipsec.weak-algorithm",
    "3DES with HMAC-MD5 is all there is",
    outcome="healthy",
    config={"esp_transforms": (parse_esp("3des-md5"),)},
)

# --- esp ----------------------------------------------------------------------------------------

_SHA2 = {"esp_transforms": (parse_esp("aes128-sha256"),)}
_add("esp.no-return", "everything on UDP 4500 is dropped after quick mode",
     deaf_after="quick-mode")  # fmt: skip
_add("esp.sha2-truncation", "HMAC-SHA2-256 is cut to 96 bits", config=_SHA2, truncate_sha2=True)
_add("esp.bad-integrity", "the check values of ESP packets are wrong", corrupt_esp=True)
_add("esp.replayed", "every ESP packet is sent three times", outcome="healthy", repeat_esp=3)
_add(
    "esp.forced-encapsulation",
    "nothing is broken: a client without privileges claims a NAT",
    outcome="healthy",
)

# --- l2tp ---------------------------------------------------------------------------------------

_add("l2tp.no-answer", "the L2TP service is silent", tunnel=Ignore())
_add("l2tp.not-authorized", "StopCCN 4", tunnel=Refuse(4, None, b"Not authorized"))
_add("l2tp.refused", "StopCCN 2, error 6", tunnel=Refuse(2, 6, b"Go away"))
_add("l2tp.already-exists", "StopCCN 3", tunnel=Refuse(3))
_add("l2tp.version", "StopCCN 5", tunnel=Refuse(5, 0x0100, b"L2TP version 1.0 only"))
_add("l2tp.shutting-down", "StopCCN 6", tunnel=Refuse(6, None, b"Maintenance"))
_add("l2tp.protocol-error", "StopCCN 7", tunnel=Refuse(7))
_add(
    "l2tp.secret-wanted",
    "the gateway wants a tunnel secret",
    config={"l2tp_secret": b"tunnel secret"},
)
_add(
    "l2tp.secret-mismatch",
    "the two tunnel secrets differ",
    config={"l2tp_secret": b"tunnel secret"},
    client={"l2tp_secret": b"another secret"},
)
_add("l2tp.call-refused", "CDN 3", call=Refuse(3, None, b"Administrative reasons"))
_add("l2tp.no-facilities", "CDN 4", call=Refuse(4, None, b"All lines are busy"))
_add("l2tp.call-unanswered", "the call is not answered", call=Ignore())
_add("l2tp.hung-up", "the call is closed as soon as it is up", hang_up="call")
_add("l2tp.v3-only", "the gateway speaks L2TPv3", l2tp_v3=True)

# --- lcp ----------------------------------------------------------------------------------------

_add("lcp.no-answer", "PPP is silent", conduct={Point.START: FallSilent()})
_add(
    "lcp.no-common-auth",
    "MS-CHAPv2 is demanded, and the client does PAP only",
    config={"ppp_methods": (AuthMethod.MSCHAPV2,)},
    client={"auth_methods": ("pap",)},
)
_add("lcp.refused", "the link is ended during LCP",
     conduct={Point.LCP_REQUEST: HangUp(b"Go away")})  # fmt: skip
_add("lcp.no-convergence", "LCP options are refused for ever", wire="nak-for-ever")
_add("lcp.loopback", "PPP frames come back as they were sent", wire="loopback")
_add("lcp.hung-up", "LCP begins with a Terminate-Request", wire="terminate")

# --- login --------------------------------------------------------------------------------------


def _login(name: str, code: int, text: bytes) -> None:
    answer = auth_server.Refuse(code, False, text)
    _add(name, f"MS-CHAPv2 failure E={code}", login_answer=answer,
         config={"ppp_methods": (AuthMethod.MSCHAPV2,)})  # fmt: skip


_add("login.wrong-password", "another password; E=691",
     other_passwords=True, config={"ppp_methods": (AuthMethod.MSCHAPV2,)})  # fmt: skip
_add("login.wrong-password:pap", "another password; PAP Authenticate-Nak",
     other_passwords=True, config={"ppp_methods": (AuthMethod.PAP,)})  # fmt: skip
_add("login.wrong-password:chap", "another password; CHAP Failure",
     other_passwords=True, config={"ppp_methods": (AuthMethod.CHAP_MD5,)})  # fmt: skip
_add("login.wrong-password:eap", "another password; EAP-MS-CHAPv2 failure",
     other_passwords=True, config={"ppp_methods": (AuthMethod.EAP,)})  # fmt: skip
_login("login.session-limit", 691, b"You are already logged in - access denied")
_login("login.restricted-hours", 646, b"Not at this hour")
_login("login.account-disabled", 647, b"Account disabled")
_login("login.password-expired", 648, b"Password expired")
_login("login.no-dialin-right", 649, b"No dial-in permission")
_login("login.password-change-failed", 709, b"Password change failed")
_add("login.refused", "the link is ended in answer to the login", hang_up="login")
_add("login.refused:pap", "the link is ended in answer to a PAP login", hang_up="login",
     config={"ppp_methods": (AuthMethod.PAP,)})  # fmt: skip
_add("login.refused:code", "MS-CHAPv2 failure E=999", login_answer=auth_server.Refuse(999),
     config={"ppp_methods": (AuthMethod.MSCHAPV2,)})  # fmt: skip
_add("login.no-answer", "the authentication server is down",
     login_answer=auth_server.StaySilent())  # fmt: skip
_add("login.no-answer:pap", "the authentication server is down; PAP",
     config={"ppp_methods": (AuthMethod.PAP,)}, login_answer=auth_server.StaySilent())  # fmt: skip


def _false_proof(
    gateway: GatewayConfig, options: TunnelOptions, now: float
) -> tuple[GatewayConfig, TunnelOptions]:
    answer = auth_server.CheckPassword(options.password or "", false_proof=True)
    gateway = replace(
        gateway,
        ppp_methods=(AuthMethod.MSCHAPV2,),
        faults=replace(gateway.faults, login_answer=answer),
    )
    return gateway, options


BREAKS["login.server-unproven"] = Break(
    "login.server-unproven", "the server's MS-CHAPv2 proof is wrong", _false_proof
)
_add(
    "login.eap-method",
    "the server does EAP-TLS only",
    config={"ppp_methods": (AuthMethod.EAP,), "eap_methods": (13,)},
)
_add(
    "login.cleartext-password",
    "PAP, without IPsec",
    outcome="healthy",
    config={"plain_l2tp": True, "ppp_methods": (AuthMethod.PAP,)},
    client={"plain_l2tp": True},
)
_add("login.hung-up", "the link is ended before the login",
     conduct={Point.LCP_UP: HangUp(b"Try later", after=4.0)})  # fmt: skip

# --- address ------------------------------------------------------------------------------------

_add("address.mppe-demanded", "MPPE is demanded", config={"require_mppe": True})
_add("address.refused", "the IP-Address option is rejected",
     address_answer=NoAddress(AddressRefusal.REJECT_OPTION))  # fmt: skip
_add("address.refused:protocol", "IPCP is rejected",
     address_answer=NoAddress(AddressRefusal.PROTOCOL_REJECT))  # fmt: skip
_add("address.pool-empty", "no address is left", config={"pool_size": 0})
_add("address.conflict", "the gateway gives its own address away", config={"same_address": True})
_add("address.no-answer", "IPCP is not answered", conduct={Point.IPCP_REQUEST: FallSilent()})
_add("address.no-dns", "no DNS server is given", outcome="healthy", config={"dns": ()})
_add("address.hung-up", "the link is ended during IPCP",
     conduct={Point.IPCP_REQUEST: HangUp(b"Session limit")})  # fmt: skip


# --- the session, once it is up -------------------------------------------------------------------

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

_LOCAL = "it is about this computer or the network on the way, and not the gateway"
_SYSTEM = "it is about this system's own VPN client: vpndiag host looks for it"
_CAPTURE = "a live run of this client cannot meet it: it shows in captures"
_BEYOND = "inside, the embedded gateway breaks only what is listed"
CANNOT: dict[str, str] = {
    "name.": "it is about name resolution, before there is a gateway",
    "path.prohibited": _LOCAL,
    "path.host-unreachable": _LOCAL,
    "path.net-unreachable": _LOCAL,
    "path.no-route": _LOCAL,
    "path.local-blocked": _LOCAL,
    "path.esp-blocked": "it needs plain ESP, and the embedded gateway speaks UDP only",
    "path.fragments-lost": "it needs a path that fragments large packets",
    "path.gateway-behind-nat": "it needs a router in front of the gateway",
    "path.nat-short-lived": "it needs a NAT on the way",
    "path.fragments-dropped": "it needs a path that drops fragments",
    "path.small-mtu": "it needs a path that carries only small packets",
    "ike.held-off": "the embedded gateway does not count half-open IKE SAs",
    "ike.expired-at-once": "this client always offers a lifetime: it shows in captures",
    "auth.unanswered": "a live run asks UDP 4500 afresh, and so tells a wrong key "
    "(auth.psk-mismatch:mute) from a blocked port (path.float-blocked)",
    "auth.aggressive-psk": _CAPTURE,
    "auth.xauth-": "the demo gateway does not speak XAUTH",
    "login.challenge-in-clear": _CAPTURE,
    "login.client-silent": _CAPTURE,
    "login.certificate-refused": _CAPTURE,
    "l2tp.peer-gone": _CAPTURE,
    "lcp.peer-gone": _CAPTURE,
    "path.nat-rebound": _CAPTURE,
    "path.reconnect-loop": _CAPTURE,
    "path.two-clients-one-nat": _CAPTURE,
    "ipsec.selector-mismatch": _CAPTURE,
    "ipsec.tunnel-mode": _CAPTURE,
    "esp.one-way": _CAPTURE,
    "ipsec.client-stops": _CAPTURE,
    "l2tp.client-stops": _CAPTURE,
    "esp.out-of-order": _CAPTURE,
    "path.port-taken": _SYSTEM,
    "ike.no-service": _SYSTEM,
    "ike.ikev1-disabled": _SYSTEM,
    "ipsec.no-service": _SYSTEM,
    "ipsec.prohibited": _SYSTEM,
    "ipsec.kernel-missing": _SYSTEM,
    "ipsec.nat-setting": _SYSTEM,
    "l2tp.no-program": _SYSTEM,
    "l2tp.kernel-missing": _SYSTEM,
    "l2tp.port-taken": _SYSTEM,
    "l2tp.other-type": _SYSTEM,
    "lcp.no-ppp": _SYSTEM,
    "routes.": _BEYOND,
    "mtu.": _BEYOND,
    "dns.": _BEYOND,
    "app.": _BEYOND,
}
"""Codes, or their beginnings, and why no break brings them about."""


def find_break(name: str) -> Break:
    """The break of this name: a finding code, or ``code:variant``.

    :raises CannotProvoke: known, but nothing that a gateway does brings it about.
    :raises KeyError: no such code.
    """
    found = BREAKS.get(name)
    if found is not None:
        return found
    for start, why in CANNOT.items():
        if name.startswith(start):
            raise CannotProvoke(f"{name} cannot be provoked by the demo gateway: {why}")
    raise KeyError(name)


__all__ = ["BREAKS", "CANNOT", "Break", "CannotProvoke", "Faults", "find_break"]

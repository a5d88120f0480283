"""Breaks of PPP: ``lcp``, ``login`` and ``address``."""

from __future__ import annotations

from dataclasses import replace

from vpndiag.gateway.breaks.register import Break, Register
from vpndiag.gateway.config import GatewayConfig
from vpndiag.protocols.ppp import auth_server
from vpndiag.protocols.ppp.auth import AuthMethod
from vpndiag.protocols.ppp.config import AddressRefusal, FallSilent, HangUp, NoAddress, Point
from vpndiag.tunnel.options import TunnelOptions

BREAKS = Register()
_add = BREAKS.add

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

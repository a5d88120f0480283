"""The authentication engine for a method that LCP agreed on."""

from __future__ import annotations

from vpndiag.protocols.errors import LocalProtocolError
from vpndiag.protocols.ppp.auth import AuthEngine, AuthMethod, RandomBytes
from vpndiag.protocols.ppp.auth_peer import ChapPeer, EapPeer, PapPeer
from vpndiag.protocols.ppp.auth_server import ChapAuthenticator, EapAuthenticator, PapAuthenticator
from vpndiag.protocols.ppp.config import ClientConfig, ServerConfig


def make_peer(config: ClientConfig, method: AuthMethod, random_bytes: RandomBytes) -> AuthEngine:
    """The engine that logs in.

    :raises LocalProtocolError: there are no credentials (then no method is ever agreed to).
    """
    credentials, timers = config.credentials, config.timers.auth
    if credentials is None:
        raise LocalProtocolError("a login was agreed to without credentials")
    if method is AuthMethod.PAP:
        return PapPeer(credentials, timers)
    if method is AuthMethod.EAP:
        return EapPeer(credentials, timers, random_bytes)
    return ChapPeer(method, credentials, timers, random_bytes)


def make_authenticator(
    config: ServerConfig, method: AuthMethod, random_bytes: RandomBytes
) -> AuthEngine:
    """The engine that demands a login."""
    policy, timers = config.policy, config.timers.auth
    if method is AuthMethod.PAP:
        return PapAuthenticator(policy, timers)
    if method is AuthMethod.EAP:
        return EapAuthenticator(policy, timers, random_bytes, config.name, config.eap_methods)
    return ChapAuthenticator(method, policy, timers, random_bytes, config.name)

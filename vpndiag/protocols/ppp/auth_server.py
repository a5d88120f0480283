"""The side that demands a login: PAP, CHAP-MD5, MS-CHAPv2 and EAP as the authenticator.

What a login is worth is decided outside, by a :class:`LoginPolicy`; the engines check proofs and
answer repeated packets with the answer given first (RFC 1994 section 4.2).
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import field, replace
from typing import Protocol

from vpndiag.protocols.ppp import chap, eap, mschapv2, pap, protocols
from vpndiag.protocols.ppp.auth import (
    AuthEngine,
    AuthMethod,
    AuthOutcome,
    AuthTimers,
    RandomBytes,
)
from vpndiag.records import record


@record(frozen=True, slots=True)
class Refuse:
    """Say no: ``code`` and ``retry`` are E= and R= of MS-CHAPv2, ``message`` is the text that any
    method carries."""

    code: int = 691
    retry: bool = False
    message: bytes = b""


@record(frozen=True, slots=True)
class CheckPassword:
    """Yes, if the proof fits ``password``. ``otherwise`` is the answer if it does not;
    ``false_proof`` makes the server's own MS-CHAPv2 proof wrong, as from a server that does not
    know the password."""

    password: str = field(repr=False)
    otherwise: Refuse = field(default_factory=Refuse)
    false_proof: bool = False


@record(frozen=True, slots=True)
class StaySilent:
    """Do not answer the login at all, as with a RADIUS server that is down."""


LoginAnswer = Refuse | CheckPassword | StaySilent


class LoginPolicy(Protocol):
    """Where accounts come from."""

    def login(self, name: bytes, method: AuthMethod) -> LoginAnswer:
        """What to do with a login of ``name`` (raw, as the peer sent it)."""
        ...


class Authenticator(AuthEngine):
    """Base of the authenticators."""

    def __init__(self, method: AuthMethod, policy: LoginPolicy, timers: AuthTimers) -> None:
        super().__init__(timers)
        self._method = method
        self._policy = policy

    def _judge(self, name: bytes, fits: Callable[[str], bool]) -> CheckPassword | Refuse | None:
        """The account when the login is good, the refusal when not, None to stay silent."""
        answer = self._policy.login(name, self._method)
        if isinstance(answer, StaySilent):
            return None
        if isinstance(answer, CheckPassword) and not fits(answer.password):
            return answer.otherwise
        return answer


def _same(password: str, sent: bytes) -> bool:
    return hmac.compare_digest(password.encode("utf-8", "surrogateescape"), sent)


def _refused(answer: Refuse, user: bytes, message: bytes, inner: int | None = None) -> AuthOutcome:
    return AuthOutcome(False, message, answer.code, answer.retry, None, user, inner)


class PapAuthenticator(Authenticator):
    """Waits for a request and answers it."""

    protocol = protocols.PAP

    def __init__(self, policy: LoginPolicy, timers: AuthTimers) -> None:
        super().__init__(AuthMethod.PAP, policy, timers)
        self._reply: tuple[int, bytes] | None = None

    def start(self, now: float) -> None:
        self._arm(now + self.timers.request * self.timers.tries)

    def receive(self, payload: bytes, now: float) -> None:
        packet = pap.decode_pap(payload)
        if not isinstance(packet, pap.PapRequest):
            self._drop("PAP reply to the authenticator")
            return
        if self._reply is None:
            sent = packet.password
            answer = self._judge(packet.peer_id, lambda password: _same(password, sent))
            if answer is None:
                self._drop("login left unanswered")
                return
            ok = isinstance(answer, CheckPassword)
            message = answer.message if isinstance(answer, Refuse) else b""
            self._reply = (pap.ACK if ok else pap.NAK, message[:255])
            if isinstance(answer, Refuse):
                self._finish(_refused(answer, packet.peer_id, message))
            else:
                self._finish(AuthOutcome(True, user=packet.peer_id))
        code, message = self._reply
        self._outbox.append(pap.encode_pap(pap.PapReply(code, packet.identifier, message)))

    def handle_timer(self, now: float) -> None:
        self._tries = self.timers.tries
        self._out_of_tries("PAP Authenticate-Request")


class ChapAuthenticator(Authenticator):
    """Sends a Challenge until it is answered; ``method`` is CHAP_MD5 or MSCHAPV2."""

    def __init__(
        self,
        method: AuthMethod,
        policy: LoginPolicy,
        timers: AuthTimers,
        random_bytes: RandomBytes,
        name: bytes,
    ) -> None:
        super().__init__(method, policy, timers)
        self._name = name
        self._random = random_bytes
        self._challenge = b""
        self._identifier = 0
        self._reply: bytes | None = None

    def start(self, now: float) -> None:
        self._challenge = self._random(16)
        self._identifier = self._random(1)[0]
        self._send(now)

    def _send(self, now: float) -> None:
        self._tries += 1
        packet = chap.ChapValue(chap.CHALLENGE, self._identifier, self._challenge, self._name)
        self._outbox.append(chap.encode_chap(packet))
        self._arm(now + self.timers.request)

    def receive(self, payload: bytes, now: float) -> None:
        packet = chap.decode_chap(payload)
        if not isinstance(packet, chap.ChapValue) or packet.code != chap.RESPONSE:
            self._drop("CHAP packet of the authenticator's side")
        elif packet.identifier != self._identifier:
            self._drop(f"CHAP Response to id {packet.identifier}")
        else:
            if self._reply is None:
                self._reply = self._check(packet)
            if self._reply is not None:
                self._outbox.append(self._reply)

    def _check(self, packet: chap.ChapValue) -> bytes | None:
        fits: Callable[[str], bool]
        response: mschapv2.Response | None = None
        if self._method is AuthMethod.MSCHAPV2:
            response = mschapv2.decode_response(packet.value)
            fits = Mschapv2Check(self._challenge, response, packet.name).fits
        else:
            fits = self._md5_check(packet.value)
        answer = self._judge(packet.name, fits)
        if answer is None:
            self._drop("login left unanswered")
            self._arm(None)  # there is a Response: asking for another makes no sense
            return None
        if isinstance(answer, Refuse):
            message = answer.message
            if response is not None:
                message = refusal_message(answer, self._random(16))
            self._finish(_refused(answer, packet.name, message))
            return chap.encode_chap(chap.ChapResult(chap.FAILURE, self._identifier, message))
        message = b""
        if response is not None:
            check = Mschapv2Check(self._challenge, response, packet.name)
            message = check.success_message(answer)
        self._finish(AuthOutcome(True, message, user=packet.name))
        return chap.encode_chap(chap.ChapResult(chap.SUCCESS, self._identifier, message))

    def _md5_check(self, value: bytes) -> Callable[[str], bool]:
        def fits(password: str) -> bool:
            secret = password.encode("utf-8", "surrogateescape")
            expected = chap.md5_response(self._identifier, secret, self._challenge)
            return hmac.compare_digest(expected, value)

        return fits

    def handle_timer(self, now: float) -> None:
        if not self._out_of_tries("CHAP Response"):
            self._send(now)


class Mschapv2Check:
    """The authenticator's half of MS-CHAPv2 in CHAP and in EAP."""

    def __init__(self, challenge: bytes, response: mschapv2.Response, name: bytes) -> None:
        self._challenge = challenge
        self._response = response
        self._name = name

    def fits(self, password: str) -> bool:
        response = self._response
        expected = mschapv2.generate_nt_response(
            self._challenge, response.peer_challenge, self._name, password
        )
        return hmac.compare_digest(expected, response.nt_response)

    def success_message(self, account: CheckPassword) -> bytes:
        password = account.password + "\0" if account.false_proof else account.password
        proof = mschapv2.authenticator_response(
            password,
            self._response.nt_response,
            self._response.peer_challenge,
            self._challenge,
            self._name,
        )
        return proof + b" M=Access granted"


def refusal_message(answer: Refuse, challenge: bytes) -> bytes:
    """The text of an MS-CHAPv2 Failure."""
    return mschapv2.Failure(answer.code, answer.retry, challenge, 3, answer.message).encode()


class EapAuthenticator(Authenticator):
    """Identity, then the first of ``methods`` that the peer does not Nak."""

    protocol = protocols.EAP

    def __init__(
        self,
        policy: LoginPolicy,
        timers: AuthTimers,
        random_bytes: RandomBytes,
        name: bytes,
        methods: tuple[int, ...] = (eap.MSCHAPV2, eap.MD5_CHALLENGE),
    ) -> None:
        super().__init__(AuthMethod.EAP, policy, timers)
        self._random = random_bytes
        self._name = name
        self._methods = list(methods)
        self._identifier = 0
        self._request: eap.EapPacket | None = None
        self._user = b""
        self._challenge = b""
        self._outcome: AuthOutcome | None = None
        self._final = b""
        self._last_response = b""

    def start(self, now: float) -> None:
        self._identifier = self._random(1)[0]
        self._send(eap.IDENTITY, b"", now)

    def _send(self, kind: int, data: bytes, now: float) -> None:
        self._identifier = (self._identifier + 1) & 0xFF
        self._request = eap.EapPacket(eap.REQUEST, self._identifier, kind, data)
        self._tries = 0
        self._repeat(now)

    def _repeat(self, now: float) -> None:
        if self._request is not None:
            self._tries += 1
            self._outbox.append(eap.encode_eap(self._request))
            self._arm(now + self.timers.request)

    def receive(self, payload: bytes, now: float) -> None:
        packet = eap.decode_eap(payload)
        if packet.code != eap.RESPONSE:
            self._drop("EAP packet of the authenticator's side")
        elif self._final:
            if payload == self._last_response:
                self._outbox.append(self._final)
        elif self._request is None or packet.identifier != self._request.identifier:
            self._drop(f"EAP Response to id {packet.identifier}")
        else:
            self._last_response = payload
            self._take(packet, self._request, now)

    def _take(self, packet: eap.EapPacket, request: eap.EapPacket, now: float) -> None:
        if packet.type == eap.NAK and request.type in self._methods:
            self._methods = [m for m in self._methods if m != request.type and m in packet.data]
            self._begin(now)
        elif packet.type != request.type:
            self._drop(f"EAP Response of type {packet.type} to type {request.type}")
        elif packet.type == eap.IDENTITY:
            self._user = packet.data
            self._begin(now)
        elif packet.type == eap.MD5_CHALLENGE:
            self._md5(packet)
        elif packet.type == eap.MSCHAPV2:
            self._mschapv2(packet, now)

    def _begin(self, now: float) -> None:
        if not self._methods:
            self._conclude(AuthOutcome(False, b"no EAP method in common", user=self._user))
            return
        self._challenge = self._random(16)
        kind = self._methods[0]
        if kind == eap.MSCHAPV2:
            identifier = (self._identifier + 1) & 0xFF
            message = eap.Mschapv2Message(eap.OP_CHALLENGE, identifier, self._challenge, self._name)
            self._send(kind, eap.encode_mschapv2(message), now)
        else:
            self._send(kind, b"\x10" + self._challenge + self._name, now)

    def _md5(self, packet: eap.EapPacket) -> None:
        def fits(password: str) -> bool:
            secret = password.encode("utf-8", "surrogateescape")
            expected = chap.md5_response(packet.identifier, secret, self._challenge)
            return hmac.compare_digest(b"\x10" + expected, packet.data[:17])

        answer = self._judge(self._user, fits)
        if answer is None:
            self._drop("login left unanswered")
        elif isinstance(answer, Refuse):
            self._conclude(_refused(answer, self._user, answer.message, eap.MD5_CHALLENGE))
        else:
            self._conclude(AuthOutcome(True, user=self._user, inner=eap.MD5_CHALLENGE))

    def _mschapv2(self, packet: eap.EapPacket, now: float) -> None:
        message = eap.decode_mschapv2(packet.data)
        if self._outcome is not None:
            if message.op in (eap.OP_SUCCESS, eap.OP_FAILURE):
                # A peer that does not believe our proof answers a success with a failure.
                agreed = self._outcome.ok and message.op == eap.OP_SUCCESS
                self._conclude(replace(self._outcome, ok=agreed))
            return
        if message.op != eap.OP_RESPONSE:
            self._drop(f"EAP MS-CHAPv2 op {message.op} out of place")
            return
        response = mschapv2.decode_response(message.value)
        check = Mschapv2Check(self._challenge, response, message.name)
        answer = self._judge(message.name, check.fits)
        if answer is None:
            self._drop("login left unanswered")
            return
        if isinstance(answer, Refuse):
            text, op = refusal_message(answer, self._random(16)), eap.OP_FAILURE
            self._outcome = _refused(answer, self._user, text, eap.MSCHAPV2)
        else:
            text, op = check.success_message(answer), eap.OP_SUCCESS
            self._outcome = AuthOutcome(True, text, user=self._user, inner=eap.MSCHAPV2)
        reply = eap.Mschapv2Message(op, message.identifier, message=text)
        self._send(eap.MSCHAPV2, eap.encode_mschapv2(reply), now)

    def _conclude(self, outcome: AuthOutcome) -> None:
        code = eap.SUCCESS if outcome.ok else eap.FAILURE
        self._final = eap.encode_eap(eap.EapPacket(code, self._identifier))
        self._outbox.append(self._final)
        self._finish(outcome)

    def handle_timer(self, now: float) -> None:
        if not self._out_of_tries("EAP Response"):
            self._repeat(now)

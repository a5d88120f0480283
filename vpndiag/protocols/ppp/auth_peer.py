"""The side that logs in: PAP (RFC 1334), CHAP with MD5 or MS-CHAPv2 (RFC 1994, 2759) and EAP
(RFC 3748) as the peer."""

from __future__ import annotations

from dataclasses import replace

from vpndiag.protocols.errors import DecodeError
from vpndiag.protocols.ppp import chap, eap, mschapv2, pap, protocols
from vpndiag.protocols.ppp.auth import (
    AuthEngine,
    AuthMethod,
    AuthOutcome,
    AuthTimers,
    Credentials,
    RandomBytes,
)

_REMEMBERED = 8


class PapPeer(AuthEngine):
    """Sends Authenticate-Request until it is answered."""

    protocol = protocols.PAP

    def __init__(self, credentials: Credentials, timers: AuthTimers) -> None:
        super().__init__(timers)
        self._credentials = credentials
        self._sent: set[int] = set()

    def start(self, now: float) -> None:
        self._send(now)

    def _send(self, now: float) -> None:
        self._tries += 1
        identifier = self._tries & 0xFF
        self._sent.add(identifier)
        name, secret = self._credentials.name[:255], self._credentials.secret[:255]
        self._outbox.append(pap.encode_pap(pap.PapRequest(identifier, name, secret)))
        self._arm(now + self.timers.request)

    def receive(self, payload: bytes, now: float) -> None:
        packet = pap.decode_pap(payload)
        if isinstance(packet, pap.PapRequest):
            self._drop("PAP request from the authenticator")
        elif self.finished:
            return
        elif packet.identifier not in self._sent:
            self._drop(f"PAP reply to id {packet.identifier}, which was not sent")
        else:
            self._finish(
                AuthOutcome(packet.code == pap.ACK, packet.message, user=self._credentials.name)
            )

    def handle_timer(self, now: float) -> None:
        if not self._out_of_tries("PAP Authenticate-Ack"):
            self._send(now)


class Mschapv2Proof:
    """The peer's half of MS-CHAPv2 in CHAP and in EAP: one response, and what must come back."""

    def __init__(self, credentials: Credentials, challenge: bytes, peer_challenge: bytes) -> None:
        name = credentials.name
        self.nt_response = mschapv2.generate_nt_response(
            challenge, peer_challenge, name, credentials.password
        )
        self.value = mschapv2.Response(peer_challenge, self.nt_response).encode()
        self._expected = mschapv2.authenticator_response(
            credentials.password, self.nt_response, peer_challenge, challenge, name
        )

    def judge(self, message: bytes) -> str:
        """``"verified"``, ``"wrong"`` or ``"absent"`` for a Success message."""
        return mschapv2.proof_matches(message, self._expected)


def failure_outcome(message: bytes, user: bytes, inner: int | None = None) -> AuthOutcome:
    """The outcome that an MS-CHAPv2 Failure message tells of."""
    parsed = mschapv2.parse_failure(message)
    return AuthOutcome(False, message, parsed.code, parsed.retry, None, user, inner)


_OVERDUE = 5
"""Responses without an answer after which a CHAP Success may be lost for good."""


class ChapPeer(AuthEngine):
    """Answers every Challenge, during authentication and later."""

    protocol = protocols.CHAP

    def __init__(
        self,
        method: AuthMethod,
        credentials: Credentials,
        timers: AuthTimers,
        random_bytes: RandomBytes,
    ) -> None:
        super().__init__(timers)
        self._method = method
        self._credentials = credentials
        self._random = random_bytes
        self._challenge: chap.ChapValue | None = None
        self._response = b""
        self._proof: Mschapv2Proof | None = None
        self._pending = False

    def start(self, now: float) -> None:
        if self._challenge is None:
            self._arm(now + self.timers.request * self.timers.tries)

    def receive(self, payload: bytes, now: float) -> None:
        packet = chap.decode_chap(payload)
        if isinstance(packet, chap.ChapResult):
            self._result(packet)
        elif packet.code == chap.CHALLENGE:
            self._answer(packet, now)
        else:
            self._drop("CHAP Response from the authenticator")

    def _answer(self, challenge: chap.ChapValue, now: float) -> None:
        known = self._challenge
        if known is None or (known.identifier, known.value) != (
            challenge.identifier,
            challenge.value,
        ):
            value = self._compute(challenge)
            if value is None:
                self._drop(f"MS-CHAPv2 challenge of {len(challenge.value)} bytes instead of 16")
                return
            self._challenge = challenge
            self._pending = True
            self._tries = 0
            self._response = chap.encode_chap(
                chap.ChapValue(
                    chap.RESPONSE, challenge.identifier, value, self._credentials.name[:1024]
                )
            )
        self._tries += 1
        self._outbox.append(self._response)
        self._arm(now + self.timers.response if self._pending else None)

    def _compute(self, challenge: chap.ChapValue) -> bytes | None:
        if self._method is AuthMethod.MSCHAPV2:
            if len(challenge.value) != mschapv2.CHALLENGE_SIZE:
                return None
            self._proof = Mschapv2Proof(self._credentials, challenge.value, self._random(16))
            return self._proof.value
        return chap.md5_response(challenge.identifier, self._credentials.secret, challenge.value)

    def _result(self, packet: chap.ChapResult) -> None:
        if self._challenge is None or packet.identifier != self._challenge.identifier:
            self._drop(f"CHAP result for id {packet.identifier}, which was not answered")
            return
        if not self._pending:
            return
        self._pending = False
        name = self._credentials.name
        if packet.code == chap.FAILURE:
            if self._method is AuthMethod.MSCHAPV2:
                self._finish(failure_outcome(packet.message, name))
            else:
                self._finish(AuthOutcome(False, packet.message, user=name))
        elif self._proof is not None:
            proof = self._proof.judge(packet.message)
            self._finish(
                AuthOutcome(proof == "verified", packet.message, server_proof=proof, user=name)
            )
        else:
            self._finish(AuthOutcome(True, packet.message, user=name))

    @property
    def overdue(self) -> bool:
        return self._pending and self._tries >= _OVERDUE

    def network_phase_seen(self, now: float) -> None:
        """The Success was lost: the Response brings it again (RFC 1994 section 4.2), if need be
        once in each ``timers.request``. SoftEther and l2tpns do not say it again; then their
        network packets stand for it (RFC 1661 section 3.5: none before the login is over), and a
        server that had to prove itself has not."""
        if self.overdue:
            self._pending = False
            self._finish(AuthOutcome(True, user=self._credentials.name))
            return
        sent = (self._deadline or now) - self.timers.response
        if self._pending and now >= sent + self.timers.request:
            self.handle_timer(now)

    def handle_timer(self, now: float) -> None:
        if not self._pending:
            self._tries = self.timers.tries
            self._out_of_tries("CHAP Challenge")
        elif not self._out_of_tries("CHAP Success"):
            self._tries += 1
            self._outbox.append(self._response)
            self._arm(now + self.timers.response)


class EapPeer(AuthEngine):
    """Identity, Notification, MD5-Challenge and MS-CHAPv2; anything else gets a Nak that names
    ``methods`` in order."""

    protocol = protocols.EAP

    def __init__(
        self,
        credentials: Credentials,
        timers: AuthTimers,
        random_bytes: RandomBytes,
        methods: tuple[int, ...] = (eap.MSCHAPV2, eap.MD5_CHALLENGE),
    ) -> None:
        super().__init__(timers)
        self._credentials = credentials
        self._random = random_bytes
        self._methods = methods
        self._answered: dict[eap.EapPacket, bytes] = {}
        self._proof: Mschapv2Proof | None = None
        self._outcome = AuthOutcome(False, user=credentials.name)
        self._proven = False

    def start(self, now: float) -> None:
        self._wait(now)

    def _wait(self, now: float) -> None:
        self._arm(None if self.finished else now + self.timers.request * self.timers.tries)

    def receive(self, payload: bytes, now: float) -> None:
        packet = eap.decode_eap(payload)
        if packet.code == eap.RESPONSE:
            self._drop("EAP Response from the authenticator")
        elif packet.code == eap.REQUEST:
            if packet not in self._answered:
                answer = self._respond(packet)
                if answer is None:
                    return
                reply = eap.EapPacket(eap.RESPONSE, packet.identifier, *answer)
                # More than the last one: a late copy of an earlier request must not start over.
                self._answered[packet] = eap.encode_eap(reply)
                if len(self._answered) > _REMEMBERED:
                    del self._answered[next(iter(self._answered))]
                self._tries = 0
            self._tries += 1
            self._outbox.append(self._answered[packet])
            self._wait(now)
        elif not self.finished:
            self._end(packet)

    def _end(self, packet: eap.EapPacket) -> None:
        if packet.code == eap.SUCCESS and not self._proven:
            self._drop("EAP Success before the method ended")
        elif packet.code == eap.SUCCESS:
            self._finish(replace(self._outcome, ok=self._outcome.server_proof != "wrong"))
        else:
            self._finish(replace(self._outcome, ok=False))

    def network_phase_seen(self, now: float) -> None:
        """A lost Success is not repeated; network packets stand for it (RFC 3748 section 4.2)."""
        if self._proven and not self.finished:
            self._finish(replace(self._outcome, ok=True))

    def _respond(self, packet: eap.EapPacket) -> tuple[int, bytes] | None:
        """Type and data of the answer; None when there is none to give."""
        kind = packet.type or 0
        if kind == eap.IDENTITY:
            return kind, self._credentials.name[:1024]
        if kind == eap.NOTIFICATION:
            return kind, b""
        if kind in self._methods and kind == eap.MD5_CHALLENGE:
            return self._md5(packet)
        if kind in self._methods and kind == eap.MSCHAPV2:
            return self._mschapv2(packet)
        return eap.NAK, bytes(self._methods or (0,))

    def _md5(self, packet: eap.EapPacket) -> tuple[int, bytes]:
        size = packet.data[0] if packet.data else 0
        challenge = packet.data[1 : 1 + size]
        if not size or len(challenge) != size:
            raise DecodeError("EAP MD5-Challenge value", 5)
        value = chap.md5_response(packet.identifier, self._credentials.secret, challenge)
        self._proven = True
        self._outcome = replace(self._outcome, inner=eap.MD5_CHALLENGE)
        # RFC 3748 section 5.4: as in CHAP, with the name; pppd looks the secret up by this one.
        return eap.MD5_CHALLENGE, bytes((len(value),)) + value + self._credentials.name[:1024]

    def _mschapv2(self, packet: eap.EapPacket) -> tuple[int, bytes] | None:
        message = eap.decode_mschapv2(packet.data)
        name = self._credentials.name[:1024]
        if message.op == eap.OP_CHALLENGE:
            if len(message.value) != mschapv2.CHALLENGE_SIZE:
                raise DecodeError("EAP MS-CHAPv2 challenge is not 16 bytes", 9)
            self._proof = Mschapv2Proof(self._credentials, message.value, self._random(16))
            self._proven = False
            answer = eap.Mschapv2Message(
                eap.OP_RESPONSE, message.identifier, self._proof.value, name
            )
            return eap.MSCHAPV2, eap.encode_mschapv2(answer)
        if message.op == eap.OP_SUCCESS and self._proof is not None:
            proof = self._proof.judge(message.message)
            self._outcome = AuthOutcome(
                False, message.message, server_proof=proof, user=name, inner=eap.MSCHAPV2
            )
            if proof != "verified":
                self._finish(self._outcome)
                return None
            self._proven = True
            return eap.MSCHAPV2, bytes((eap.OP_SUCCESS,))
        if message.op == eap.OP_FAILURE:
            self._outcome = failure_outcome(message.message, name, eap.MSCHAPV2)
            return eap.MSCHAPV2, bytes((eap.OP_FAILURE,))
        self._drop(f"EAP MS-CHAPv2 op {message.op} out of place")
        return None

    def handle_timer(self, now: float) -> None:
        waiting = "EAP Success" if self._answered else "EAP Request"
        self._tries = max(self._tries, self.timers.tries)
        self._out_of_tries(waiting)

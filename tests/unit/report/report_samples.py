"""Made-up reports that the tests of documents and renderers share."""

from __future__ import annotations

from vpndiag.catalogue import complete
from vpndiag.observations import (
    CertificateSeen,
    Ended,
    IkeMessage,
    IkeNotify,
    L2tpMessage,
    LocalEnd,
    NameAnswer,
    PppMessage,
    Scope,
)
from vpndiag.report.document import Report, Session, Shown, Tool, Vantage, options
from vpndiag.report.model import (
    LADDER,
    Confidence,
    Evidence,
    Finding,
    Layer,
    Outcome,
    Verdict,
)

GATEWAY = "8.8.4.4"
USER = "alice"

_SUMMARIES = {
    "name": f"{GATEWAY} (A); no AAAA",
    "path": "500 and 4500 answer IKE",
    "ike": "AES-256 SHA1 MODP-2048; strongSwan",
    "auth": "pre-shared key proven by both sides",
    "ipsec": "AES-128 SHA1 in UDP, transport mode",
    "esp": "12 packets out, 11 in, all verify",
    "l2tp": "xelerance.com, tunnel 7, call 9",
    "lcp": "MRU 1400, MS-CHAPv2",
    "login": "accepted, and the server proved itself",
    "address": "192.168.42.10, DNS 192.168.42.1",
}


def layers(failed: str | None, summary: str = "", later: str = "") -> tuple[Layer, ...]:
    """The ladder up to ``failed`` (None: all that is built so far passed)."""
    found: list[Layer] = []
    now, reason = 0.0, ""
    for number, name in enumerate(LADDER):
        if name == failed:
            found.append(Layer(name, "failed", summary, started=now, ended=now + 2.104))
            reason = later or f"the layer {name} failed"
        elif reason:
            found.append(Layer(name, "not_reached", reason=reason))
        elif name in _SUMMARIES:
            took = 0.012 * (number + 1)
            found.append(Layer(name, "passed", _SUMMARIES[name], started=now, ended=now + took))
            now += took
        else:
            found.append(Layer(name, "not_reached", reason="not asked for"))
    return tuple(found)


def report(
    code: str | None,
    *,
    outcome: Outcome = "failed",
    summary: str = "",
    detail: str = "",
    evidence: tuple[Evidence, ...] = (),
    confidence: Confidence = "high",
    more: tuple[Finding, ...] = (),
    interrupted: bool = False,
    headline: str = "The VPN works from name to address",
) -> Report:
    findings: tuple[Finding, ...] = more
    layer = None
    if code is not None:
        layer = code.split(".")[0]
        main = Finding(code, layer, "error", confidence, detail=detail, evidence=evidence)
        findings = (complete(main), *more)
        headline = findings[0].title
    return Report(
        tool=Tool("vpndiag", "0.1.0"),
        run_id="00000000-0000-4000-8000-000000000001",
        command="run",
        started_at="2026-01-02T03:04:05Z",
        ended_at="2026-01-02T03:04:09Z",
        verdict=Verdict(outcome, headline, layer, code, confidence),
        layers=layers(layer, summary),
        findings=findings,
        vantage=Vantage("Linux", "3.11", "IPv4", behind_nat=True, privileged=False),
        target="vpn.example.com",
        options=options({"user": Shown(USER), "timeout": 5, "psk": "hunter2"}),
        observations=OBSERVATIONS,
        interrupted=interrupted,
    )


OBSERVATIONS = (
    Scope(t=0.0, credentials=True, user=True),
    NameAnswer(
        t=0.01,
        name="vpn.example.com",
        rrtype="A",
        resolver="system",
        outcome="answered",
        addresses=(GATEWAY,),
    ),
    LocalEnd(
        t=0.02,
        local_address="192.168.1.5",
        gateway_address=GATEWAY,
        gateway_name="vpn.example.com",
        source_port=50000,
        source_port_natt=50001,
    ),
    IkeMessage(
        t=0.1,
        frames=(1,),
        direction="in",
        port=500,
        version=1,
        exchange=2,
        step="MM2",
        message_id=0,
        initiator_cookie="0011223344556677",
        responder_cookie="8899aabbccddeeff",
        size=136,
        protection="clear",
        payloads=("SA", "VID"),
        notifies=(IkeNotify(type=14, name="NO-PROPOSAL-CHOSEN"),),
        identity=f"ID_IPV4_ADDR {GATEWAY}",
    ),
    CertificateSeen(
        t=0.2,
        direction="in",
        subject="CN=vpn.example.com",
        issuer="CN=Example CA",
        not_before="2025-01-01T00:00:00Z",
        not_after="2027-01-01T00:00:00Z",
        names=("vpn.example.com",),
    ),
    L2tpMessage(
        t=0.5,
        direction="in",
        inside="esp",
        message="SCCRP",
        tunnel_id=7,
        session_id=0,
        ns=0,
        nr=1,
        host_name="gw-internal",
    ),
    PppMessage(
        t=0.9,
        frames=(30, 31),
        direction="out",
        protocol="PAP",
        code="Authenticate-Request",
        identifier=1,
        name=USER,
    ),
    PppMessage(
        t=1.0,
        frames=(32,),
        direction="in",
        protocol="PAP",
        code="Authenticate-Nak",
        identifier=1,
        message=f"no such user: {USER}",
    ),
    Ended(t=2.0, why="stopped"),
)

HEALTHY = report(None, outcome="healthy")
WRONG_PASSWORD = report(
    "login.wrong-password",
    summary="user name or password refused",
    detail="The server answered MS-CHAPv2 with failure 691.",
    evidence=(
        Evidence("MS-CHAPv2 Response sent for user alice", 1.204, (41,)),
        Evidence("MS-CHAPv2 Failure: E=691 R=0", 1.301, (42,)),
    ),
    confidence="certain",
)
SILENT = report(
    "path.silent",
    summary="neither UDP 500 nor 4500 answers",
    evidence=(Evidence("4 IKE messages to UDP 500 and 4 to UDP 4500, no answer", 5.5),),
)
PSK_MISMATCH = report(
    "auth.psk-mismatch",
    summary="the pre-shared key is wrong",
    detail="After message 5 the gateway sent a notice that our key does not open.",
    evidence=(
        Evidence("MM5 sent, encrypted with the key at hand", 0.31, (9,)),
        Evidence("encrypted Informational that our key does not open", 0.35, (10,)),
        Evidence("the gateway repeats MM4", 2.35, (11, 12, 15, 19)),
    ),
    more=(
        complete(Finding("ike.weak-algorithm", "ike", "warning", "certain", detail="MODP-1024")),
    ),
)
INTERRUPTED = report(
    None,
    outcome="inconclusive",
    interrupted=True,
    headline="Stopped before anything could be said",
)
CAPTURE = Report(
    tool=Tool("vpndiag", "0.1.0"),
    run_id="00000000-0000-4000-8000-000000000002",
    command="analyze",
    started_at="2026-01-02T03:04:05Z",
    ended_at="2026-01-02T03:04:06Z",
    verdict=PSK_MISMATCH.verdict,
    layers=PSK_MISMATCH.layers,
    findings=PSK_MISMATCH.findings,
    target="ticket.pcapng",
    session=2,
    sessions=(
        Session(
            verdict=HEALTHY.verdict,
            layers=HEALTHY.layers,
            findings=(),
            number=1,
            client="192.168.1.5",
            gateway=GATEWAY,
            first=0.0,
            last=61.5,
        ),
        Session(
            verdict=PSK_MISMATCH.verdict,
            layers=PSK_MISMATCH.layers,
            findings=PSK_MISMATCH.findings,
            number=2,
            client="192.168.1.6",
            gateway=GATEWAY,
            first=70.25,
            last=75.0,
            frames=(101, 102),
            observations=OBSERVATIONS,
        ),
    ),
)
ALL = {
    "healthy": HEALTHY,
    "wrong-password": WRONG_PASSWORD,
    "silent": SILENT,
    "psk-mismatch": PSK_MISMATCH,
    "interrupted": INTERRUPTED,
    "capture": CAPTURE,
}

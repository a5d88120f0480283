"""Making a row's fault around one gateway, and running clients against it."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.faults.live import ROOT, UNPRIVILEGED, Result, vpndiag
from tests.faults.results import Capture, Real, Record
from tests.faults.rows import Row, judge
from tests.faults.settings import certificate_options, client_config, gateway_config
from tests.lab.config import LAB_PASSWORD, LAB_PSK, LAB_USER
from tests.lab.gateways import PLAIN_GATEWAYS, Gateway, for_gateway, start
from tests.lab.impair import Impaired, Impairment
from tests.lab.linuxclient import LinuxClient
from tests.lab.linuxgw import LinuxGateway
from tests.lab.namespace import Namespace
from tests.lab.netns import Network
from tests.lab.process import LabError, Owned, StateDir

if TYPE_CHECKING:
    from vpndiag.capture.asked import Asked

NAME = "vpn.lab.test"
PLACES = ("client", "gateway", "middle")
REFERENCE_LIMIT = 200.0
"""Seconds that the real client is given; strongSwan gives up by itself after 165."""


@dataclass(slots=True)
class Outcome:
    """A row on a gateway: what was found, and how that compares with what is expected."""

    row: Row
    gateway: str
    score: str = "no result"
    notes: list[str] = field(default_factory=list)
    live: Result | None = None
    captures: list[Capture] = field(default_factory=list)

    def record(self) -> Record:
        """What is kept of it."""
        row, live = self.row, self.live
        return Record(
            row=row.id,
            gateway=self.gateway,
            what=row.what,
            layer=row.layer,
            expected=list(row.finding),
            score=self.score,
            notes=self.notes,
            outcome=live.outcome if live else "",
            finding=live.finding if live else None,
            found=live.codes if live else [],
            seconds=round(live.seconds, 1) if live else None,
            captures=self.captures,
            differs=row.differs,
        )


class Neighbour(Owned):
    """Another client, stopped while it is connected (frozen, so that it never hangs up)."""

    def __init__(
        self,
        namespace: Namespace,
        address: str,
        options: Sequence[str] = (),
        until: str = "IPCP Configure-Ack",
    ) -> None:
        super().__init__()
        self._process = subprocess.Popen(
            [*namespace.prefix, *UNPRIVILEGED, sys.executable, "-u", "-m", "vpndiag", "run",
             address, *options, "--user", LAB_USER, "--verbose"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", cwd=ROOT,
            env={**os.environ, "VPNDIAG_PSK": LAB_PSK, "VPNDIAG_PASSWORD": LAB_PASSWORD},
        )  # fmt: skip
        text = ""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            text += line
            if until in line:
                self._process.send_signal(signal.SIGSTOP)
                return
        self.close()
        raise LabError(f"the neighbour did not connect\n{text}")

    def _close(self) -> None:
        self._process.kill()
        self._process.wait()


class Bench(Owned):
    """One gateway machine and, when asked for, the real client beside it."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self._plain = ("--plain-l2tp",) if name in PLAIN_GATEWAYS else ()
        self._client: LinuxClient | None = None
        self._to_mend: Callable[[], object] | None = None
        self.gateway: Gateway = start(name)

    def _close(self) -> None:
        if self._client is not None:
            self._client.close()
        if hasattr(self, "gateway"):
            self.gateway.close()

    # one row

    def run(self, row: Row, *, captures: bool = True, keep: Path | None = None) -> Outcome:
        """Make the fault, run vpndiag against it, and judge what it and ``analyze`` say."""
        done = Outcome(row, self.name)
        try:
            with StateDir("row") as state, self.made(row) as (network, address):
                folder = state.path
                # A recorder of both sides of a long way is no recorder that anybody has.
                places = [p for p in PLACES if captures and not (row.impair and p == "middle")]
                with contextlib.ExitStack() as recording:
                    for place in places:
                        namespace, device = _where(network, place)
                        recording.enter_context(namespace.capture(folder / f"{place}.pcap", device))
                    done.live = self._live(row, network, address, folder)
                self._score(done)
                for place, keys in itertools.product(places, (True, False)):
                    done.captures.append(self._analyzed(row, folder, place, keys))
                if keep is not None:
                    shutil.copytree(folder, keep, dirs_exist_ok=True)
        except LabError as error:
            done.score = "no result"
            done.notes.append(f"the lab failed: {error}")
        return done

    @contextlib.contextmanager
    def made(self, row: Row, *, with_rules: bool = True) -> Iterator[tuple[Network, str]]:
        """The fault of ``row``: a network before the gateway, and what to connect to."""
        self._mend()
        self.gateway.reconfigure(for_gateway(self.name, gateway_config(row, self.name)))
        with contextlib.ExitStack() as stack:
            network = stack.enter_context(self.gateway.network(**row.network))
            address = network.address
            if row.resolver is not None:
                network.resolver(row.resolver.get("records"), row.resolver.get("mode", "answer"))
                address = NAME
            try:
                if row.impair and with_rules:
                    stack.enter_context(Impaired(network, Impairment(**row.impair)))
                for action in row.before:
                    made = self.act(action, network)
                    if isinstance(made, Owned):
                        stack.enter_context(made)
                for rule in row.rules if with_rules else ():
                    apply_rule(network, rule)
                yield network, address
            finally:
                self._mend()

    def _mend(self) -> None:
        mend, self._to_mend = self._to_mend, None
        if mend is not None:
            mend()

    def _after_freezing(self) -> None:
        """A kernel that stood still for seconds has a long way to catch up: it is booted again."""
        gateway: Any = self.gateway
        if not isinstance(gateway, LinuxGateway):
            gateway.thaw()
            return
        gateway.power_off()
        gateway.power_on()

    def act(self, action: str, network: Network) -> object:
        """An action of a row's ``before`` or ``moments``."""
        gateway: Any = self.gateway
        client = network.client
        match action:
            case "freeze":
                self._to_mend = self._after_freezing
                return gateway.freeze()
            case "power_off":
                self._to_mend = gateway.power_on
                return gateway.power_off()
            case "reboot":
                gateway.power_off()
                return gateway.power_on()
            case "kill_ike" | "stop_l2tp" | "kill_pppd" | "stop_radius":
                return getattr(gateway, action)()
            case "neighbour":
                return Neighbour(network.add_client(), network.address, self._plain)
            case "home_like_pool":
                return _home_network(client, "10.92.0.200/24")
            case "home_like_inside":
                return _home_network(client, "10.20.0.200/24")
            case "no_route":
                return client.ip("route del default")
            case "local_firewall":
                return client.run(
                    ["nft", "-f", "-"],
                    stdin="""table ip own {
                        chain out {
                            type filter hook output priority 0
                            udp dport { 500, 1701, 4500 } drop
                        }
                    }
""",
                )
        raise LabError(f"no such action: {action}")

    def _live(self, row: Row, network: Network, address: str, folder: Path) -> Result:
        given = row.client
        user = given.get("user", LAB_USER)
        env = {}
        if user:
            env["VPNDIAG_PSK"] = given.get("psk", LAB_PSK)
            env["VPNDIAG_PASSWORD"] = given.get("password", LAB_PASSWORD)
        if "l2tp_secret" in given:
            env["VPNDIAG_L2TP_SECRET"] = given["l2tp_secret"]
        words: list[str | Path] = ["run", address, *self._plain, *row.options]
        words += ["--keys-out", folder / "keys"]
        if user:
            words += ["--user", user]
        if "certificate" in given:
            words += certificate_options(folder, given["certificate"])
        moments = [
            (moment["at"], lambda action=moment["do"]: self.act(action, network))
            for moment in row.moments
        ]
        return vpndiag(
            network.client, words, env=env, privileged=row.privileged, moments=moments,
            timeout=row.limit,
        )  # fmt: skip

    def _score(self, done: Outcome) -> None:
        row, live = done.row, done.live
        assert live is not None
        if not live.report:
            done.score = "wrong"
            done.notes.append(f"no report: exit {live.code}: {live.text.strip()[-200:]}")
            return
        done.score = judge(row.finding, live.outcome, live.layer, live.finding)
        expected = {"healthy": 0, "failed": 1}.get(live.outcome, 3)
        if live.code != expected:
            done.notes.append(f"exit {live.code} with a verdict of {live.outcome}")
        headline = str(live.report["verdict"]["headline"])
        if not headline.startswith(row.says):
            done.notes.append(f"it says: {headline}")
            done.score = "wrong" if done.score == "right" else done.score
        if missing := set(row.warns) - set(live.codes):
            done.notes.append(f"missing: {', '.join(sorted(missing))}")
        if row.cause and done.score == "right" and live.outcome == "failed":
            main = live.report["findings"][0]
            texts = [main["title"], *(cause["text"] for cause in main["causes"])]
            if not any(re.search(row.cause, text) for text in texts):
                done.notes.append(f"no cause tells of {row.cause!r}: {texts}")
        if done.notes and done.score == "right":
            done.score = "wrong"
        if "never printed" in live.text:
            done.notes.append(live.text.strip().splitlines()[-1])

    def _analyzed(self, row: Row, folder: Path, place: str, keys: bool) -> Capture:
        from vpndiag.capture.errors import CaptureError
        from vpndiag.capture.keys import KeyFileError, read_keys
        from vpndiag.cli.analysis import analyze

        file = folder / f"{place}.pcap"
        given = None
        with contextlib.suppress(KeyFileError):  # a run that ended before there were any
            given = read_keys(folder / "keys") if keys else None
        try:
            verdict = analyze([file], given, asked=_asked(row)).verdict
        except CaptureError as error:
            return Capture(place, keys, "wrong", f"error: {error}", None, None)
        score = judge(row.expected(place, keys), verdict.outcome, verdict.layer, verdict.finding)
        return Capture(place, keys, score, verdict.outcome, verdict.layer, verdict.finding)

    # the real client

    def refer(self, row: Row) -> Real | None:
        """What strongSwan, xl2tpd and pppd make of the same fault; None where it cannot be made."""
        config = client_config(row)
        if config is None:
            return None
        if self._client is None:
            self._client = LinuxClient()
        with self.made(row) as (network, _address):
            done = self._client.connect(network, config, limit=REFERENCE_LIMIT)
        return Real(done.stage, round(done.seconds, 1), done.gave_up, done.said)


def _asked(row: Row) -> Asked | None:
    """What the run of ``row`` was asked to test inside."""
    from vpndiag.cli.analyze import asked_of_options

    given = [(o, v) for o, v in itertools.pairwise(row.options) if o.startswith("--")]
    values = {
        option: [v for o, v in given if o == option]
        for option in ("--app", "--internal-name", "--internal-host")
    }
    return asked_of_options(*values.values())


def _home_network(client: Namespace, address: str) -> None:
    """One more network of the client's own."""
    client.ip(
        "link add home type veth peer name home0",
        f"addr add {address} dev home",
        "link set home up",
        "link set home0 up",
    )


def _where(network: Network, place: str) -> tuple[Namespace, str]:
    """Where a capture is made: in the middle both sides of the network are recorded at once."""
    return {
        "client": (network.client, "eth0"),
        "gateway": (network.router, "gw"),
        "middle": (network.router, "any"),
    }[place]


def apply_rule(network: Network, rule: Mapping[str, Any]) -> None:
    settings = dict(rule)
    code = settings.pop("do", "drop")
    network.drop(**settings, reject=None if code == "drop" else code)

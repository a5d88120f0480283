"""``vpndiag run``: from the options to a plan, and from the report to files and exit code."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from vpndiag import profile as profiles
from vpndiag.cli.exits import UsageError, code_of
from vpndiag.secrets import Secret, SecretError, from_file, obtain

if TYPE_CHECKING:
    from rich.console import Console

    from vpndiag.cli.interrupts import Interrupts
    from vpndiag.cli.live import Plan
    from vpndiag.probes.inside.plan import InsidePlan
    from vpndiag.protocols.ike.config import RsaCredentials
    from vpndiag.render.ladder import LiveLadder
    from vpndiag.report.document import Report
    from vpndiag.tunnel.options import Flow

AUTH_NAMES = {
    "mschapv2": "mschapv2",
    "ms-chapv2": "mschapv2",
    "eap": "eap",
    "chap": "chap-md5",
    "chap-md5": "chap-md5",
    "pap": "pap",
}


@dataclass(slots=True, kw_only=True)
class Output:
    """Where the report goes and how much a person sees."""

    json: str | None = None
    quiet: bool = False
    verbose: bool = False

    @property
    def json_on_stdout(self) -> bool:
        return self.json == "-"


@dataclass(slots=True, kw_only=True)
class RunOptions:
    """The options of ``vpndiag run`` as typed."""

    host: str
    user: str | None = None
    psk: str | None = None
    psk_file: Path | None = None
    psk_hex: bool = False
    password: str | None = None
    password_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    ca: Path | None = None
    expected_name: str | None = None
    auth: str | None = None
    ike: str | None = None
    esp: str | None = None
    pfs: str | None = None
    no_vendor_ids: bool = False
    plain_l2tp: bool = False
    l2tp_secret_file: Path | None = None
    mru: int | None = None
    resolver: tuple[str, ...] = ()
    apps: tuple[str, ...] = ()
    internal_names: tuple[str, ...] = ()
    internal_hosts: tuple[str, ...] = ()
    internal_domain: str | None = None
    internal_networks: tuple[str, ...] = ()
    expected_addresses: tuple[str, ...] = ()
    expected_dns: tuple[str, ...] = ()
    ipv6: bool = False
    ports: tuple[str, ...] = ()
    capture: Path | None = None
    keys_out: Path | None = None


def run(given: RunOptions, output: Output) -> int:
    """Carry out the command; the exit code.

    :raises UsageError: before anything is sent, unless a file cannot be written in the end.
    """
    return show(plan_of(given), output)


def plan_of(given: RunOptions) -> Plan:
    """:raises UsageError: options, a profile or secrets that cannot be used."""
    from vpndiag.cli.live import Plan, Shown
    from vpndiag.protocols.errors import LocalProtocolError
    from vpndiag.tunnel.options import TunnelOptions

    given = _with_profile(given)
    inside = _inside(given)
    host = given.host.strip()
    if not host:
        raise UsageError("HOST is empty: give a name, an address or a profile")
    if given.keys_out is not None and given.keys_out.is_file():
        raise UsageError(f"--keys-out {given.keys_out}: a file stands there; name a directory")
    notes: list[str] = []
    try:
        credentials, anchors = _certificate(given)
        psk, password = _secrets(given, credentials is not None, notes)
        ike_list, esp_list = _proposals(given, credentials is not None)
        tunnel = TunnelOptions(
            gateway="",
            local="",
            psk=psk,
            credentials=credentials,
            trust_anchors=anchors,
            expected_name=given.expected_name or (None if credentials is None else host),
            verify_time=_now(),
            user=given.user,
            password=password,
            auth_methods=auth_methods(given.auth),
            l2tp_secret=_l2tp_secret(given),
            plain_l2tp=given.plain_l2tp,
            ike_transforms=ike_list,
            esp_transforms=esp_list,
            custom_ike=bool(ike_list),
            custom_esp=bool(esp_list),
            pfs_group=_group(given.pfs),
            gateway_ports=ports_of(given.ports),
            mru=given.mru or 1400,
            **({"vendor_ids": ()} if given.no_vendor_ids else {}),  # type: ignore[arg-type]
        )
    except (LocalProtocolError, SecretError) as error:
        raise UsageError(str(error)) from error
    return Plan(
        target=host,
        tunnel=tunnel,
        resolvers=given.resolver,
        inside=inside,
        prefer="ipv6" if given.ipv6 else "ipv4",
        capture=given.capture,
        keys=given.keys_out,
        notes=notes,
        shown={
            "host": Shown(host),
            "user": Shown(given.user) if given.user is not None else None,
            "auth": Shown(given.auth) if given.auth else None,
            "ike": Shown(given.ike) if given.ike else None,
            "esp": Shown(given.esp) if given.esp else None,
            "plain_l2tp": given.plain_l2tp,
            "psk": psk,
            "password": password,
        },
    )


def _now() -> float:
    import time

    return time.time()


def _with_profile(given: RunOptions) -> RunOptions:
    """``HOST`` may be a profile: what is not on the command line comes from it."""
    path = profiles.find(given.host)
    if path is None:
        return given
    try:
        profile = profiles.load(path)
    except profiles.ProfileError as error:
        raise UsageError(str(error)) from error
    from dataclasses import replace

    def file(name: str | None) -> Path | None:
        # Relative paths in a profile are relative to it.
        return None if name is None else path.parent / Path(name).expanduser()

    return replace(
        given,
        host=profile.gateway,
        user=given.user or profile.user,
        psk=given.psk or (profile.keyring if given.psk_file is None else None),
        psk_file=given.psk_file or (file(profile.psk_file) if given.psk is None else None),
        password_file=given.password_file
        or (file(profile.password_file) if given.password is None else None),
        certificate=given.certificate or file(profile.certificate),
        key=given.key or file(profile.key),
        ca=given.ca or file(profile.ca),
        expected_name=given.expected_name or profile.expected_name,
        auth=given.auth or ",".join(profile.auth) or None,
        ike=given.ike or ",".join(profile.ike) or None,
        esp=given.esp or ",".join(profile.esp) or None,
        pfs=given.pfs or profile.pfs,
        plain_l2tp=given.plain_l2tp or profile.plain_l2tp,
        l2tp_secret_file=given.l2tp_secret_file or file(profile.l2tp_secret_file),
        mru=given.mru or profile.mru,
        resolver=given.resolver or profile.resolvers,
        apps=given.apps or profile.apps,
        internal_names=given.internal_names or profile.internal_names,
        internal_hosts=given.internal_hosts or profile.internal_hosts,
        internal_domain=given.internal_domain or profile.internal_domain,
        internal_networks=profile.internal_networks,
        expected_addresses=profile.expected_addresses,
        expected_dns=profile.expected_dns,
    )


def _inside(given: RunOptions) -> InsidePlan:
    from vpndiag.probes.inside.exchange import parse_app
    from vpndiag.probes.inside.plan import InsidePlan

    try:
        apps = tuple(parse_app(text) for text in given.apps)
    except ValueError as error:
        raise UsageError(f"--app {error}") from error
    named = apps or given.internal_hosts or given.internal_names or given.internal_domain
    if named and given.user is None:
        raise UsageError("--app and --internal-... need the tunnel: give --user as well")
    return InsidePlan(
        internal_networks=given.internal_networks,
        internal_names=given.internal_names,
        internal_hosts=given.internal_hosts,
        internal_domain=given.internal_domain or "",
        apps=apps,
        expected_addresses=given.expected_addresses,
        expected_dns=given.expected_dns,
    )


def _secrets(
    given: RunOptions, certificate: bool, notes: list[str]
) -> tuple[bytes | None, str | None]:
    """Pre-shared key and password, as far as this run needs them."""
    named = given.psk is not None or given.psk_file is not None
    psk: Secret | None = None
    if not given.plain_l2tp and not certificate and (given.user is not None or named):
        psk = obtain("psk", option=given.psk, file=given.psk_file)
        if psk is None or not psk:
            raise UsageError(
                "no pre-shared key: set VPNDIAG_PSK, or give --psk-file, or run on a terminal "
                "to be asked (or --cert and --key, or --plain-l2tp)"
            )
        if given.psk_hex:
            psk = Secret.from_hex(psk)
    password: Secret | None = None
    if given.user is not None:
        password = obtain("password", option=given.password, file=given.password_file)
        if password is None:
            raise UsageError(
                "no password: set VPNDIAG_PASSWORD, or give --password-file, or run on a terminal "
                "to be asked"
            )
    for secret in (psk, password):
        notes += secret.warnings if secret is not None else ()
    return (
        psk.raw() if psk is not None else None,
        password.text() if password is not None else None,
    )


def _l2tp_secret(given: RunOptions) -> bytes | None:
    if given.l2tp_secret_file is not None:
        return from_file(given.l2tp_secret_file).raw()
    value = os.environ.get("VPNDIAG_L2TP_SECRET")
    return value.encode("utf-8", "surrogateescape") if value else None


def _certificate(given: RunOptions) -> tuple[RsaCredentials | None, tuple[bytes, ...]]:
    """Our certificate with its key, and the trusted authorities (DER)."""
    if given.certificate is None and given.key is None:
        if given.ca is not None:
            raise UsageError(
                "--ca is for certificate authentication: give --cert and --key as well"
            )
        return None, ()
    if given.certificate is None or given.key is None:
        raise UsageError("--cert and --key belong together: give both")
    from vpndiag.protocols.errors import ProtocolError
    from vpndiag.protocols.ike.certificates import load_certificates
    from vpndiag.protocols.ike.config import RsaCredentials

    try:
        chain = load_certificates(_read(given.certificate, "--cert"))
        anchors = load_certificates(_read(given.ca, "--ca")) if given.ca else ()
    except ProtocolError as error:
        raise UsageError(f"certificate file: {error}") from error
    if not chain:
        raise UsageError(f"--cert {given.certificate}: no certificate in this file")
    return RsaCredentials(_private_key(given.key), tuple(chain)), tuple(anchors)


def _private_key(path: Path):  # type: ignore[no-untyped-def]
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import (
        load_der_private_key,
        load_pem_private_key,
    )

    data = _read(path, "--key")
    load = load_pem_private_key if b"-----BEGIN" in data else load_der_private_key
    try:
        key = load(data, None)
    except TypeError as error:
        raise UsageError(f"--key {path}: the key is encrypted; decrypt it first") from error
    except ValueError as error:
        raise UsageError(f"--key {path}: not a private key in PEM or DER form") from error
    if not isinstance(key, RSAPrivateKey):
        raise UsageError(f"--key {path}: an RSA key is needed for IKEv1 signatures")
    return key


def _read(path: Path, option: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{option} {path}: {error.strerror or error}") from error


def _proposals(given: RunOptions, certificate: bool):  # type: ignore[no-untyped-def]
    from vpndiag.protocols.ike.constants import AuthMethod
    from vpndiag.protocols.ike.profiles import PROFILES, parse_esp_list, parse_ike_list

    method = AuthMethod.RSA_SIG if certificate else AuthMethod.PSK
    client = PROFILES.get((given.ike or "").strip().lower())
    if client is not None:
        ike = client.ike_transforms(method)
        esp = client.esp_transforms() if not given.esp else parse_esp_list(given.esp)
        return ike, esp
    ike = parse_ike_list(given.ike, auth_method=method) if given.ike else ()
    esp = parse_esp_list(given.esp) if given.esp else ()
    return ike, esp


def _group(name: str | None) -> int | None:
    if not name:
        return None
    from vpndiag.protocols.ike.notation import GROUPS, look_up

    return look_up(GROUPS, name.lower(), "Diffie-Hellman group", name)


def auth_methods(names: str | None) -> tuple[str, ...]:
    """:raises UsageError: a name is not known."""
    if not names:
        return ()
    found = []
    for name in names.split(","):
        method = AUTH_NAMES.get(name.strip().lower())
        if method is None:
            raise UsageError(f"--auth {name}: unknown; use mschapv2, eap, chap, pap")
        found.append(method)
    return tuple(dict.fromkeys(found))


def ports_of(pairs: tuple[str, ...]) -> dict[Flow, int]:
    """``500=10500`` and so on: a gateway on other ports, as in labs and the demo."""
    from vpndiag.tunnel.options import GATEWAY_PORTS

    ports = dict(GATEWAY_PORTS)
    flows = {number: flow for flow, number in GATEWAY_PORTS.items() if number}
    for pair in pairs:
        standard, _, actual = pair.partition("=")
        if not (standard.isdigit() and actual.isdigit()) or int(standard) not in flows:
            raise UsageError(f"--port {pair}: write it as 500=10500 (500, 4500 or 1701)")
        if not 0 < int(actual) < 65536:
            raise UsageError(f"--port {pair}: {actual} is no port number")
        ports[flows[int(standard)]] = int(actual)
    in_use = [number for number in ports.values() if number]
    if len(set(in_use)) < len(in_use):
        raise UsageError(f"--port {' '.join(pairs)}: each service needs a port of its own")
    return ports


def consoles(output: Output) -> Console:
    """The console for people: stdout, or stderr where stdout is taken by JSON."""
    from rich.console import Console

    class PipeConsole(Console):
        def on_broken_pipe(self) -> None:
            """Rich exits with code 1 here, in the middle of a run."""
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    return PipeConsole(stderr=output.json_on_stdout, highlight=False)


def show(plan: Plan, output: Output) -> int:
    """Carry out ``plan``, show it, write what is to be written; the exit code.

    :raises UsageError: a local problem. Whatever kept us from writing or showing, the gateway has
        been left politely and the report has been written, elsewhere if need be.
    """
    from vpndiag.cli.interrupts import Interrupts

    check_writable(output.json, plan.keys)
    with Interrupts() as interrupts:
        report, error = _run_and_write(plan, output, interrupts)
    console = consoles(output)
    problems = plan.problems
    if error is None:
        try:
            _print_report(report, console, output, written=not problems)
            console.file.flush()
        except (OSError, ValueError) as problem:
            error = problem
    if error is not None:
        drop(console.file)
        if not is_closed_pipe(error):  # a reader that went away, like head, is no problem
            said = getattr(error, "strerror", None) or error
            problems.append(f"the report cannot be shown: {said}")
    if problems:
        raise UsageError("; ".join(problems))
    return code_of(report.verdict, interrupted=report.interrupted)


def _run_and_write(
    plan: Plan, output: Output, interrupts: Interrupts
) -> tuple[Report, Exception | None]:
    """The report, and what kept us from showing the run. Files that could not be written are in
    ``plan.problems``."""
    from functools import cache

    from vpndiag.cli.deferred import DeferredLadder
    from vpndiag.cli.live import carry_out

    @cache
    def console() -> Console:
        return consoles(output)

    def live() -> LiveLadder:
        from vpndiag.render.ladder import LiveLadder

        return LiveLadder(console(), quiet=output.quiet)

    on_message = None
    if output.verbose:
        from vpndiag.render.messages import print_message

        def on_message(observation):  # type: ignore[no-untyped-def]
            print_message(observation, console())

    ladder = DeferredLadder(live)
    error: Exception | None = None
    try:
        report = carry_out(plan, ladder, on_message, interrupts)
    finally:
        try:
            ladder.close()
        except (OSError, ValueError) as problem:
            error = problem
    failed = write_json(report, output.json)
    if failed is not None:
        plan.problems.append(failed)
    return report, plan.output_error or error


def _print_report(report: Report, console: Console, output: Output, *, written: bool) -> None:
    if output.quiet:
        console.print(report.verdict.headline, soft_wrap=True, markup=False)
        return
    from vpndiag.render.terminal import print_report

    print_report(report, console, ladder=False)
    if output.json and not output.json_on_stdout and written:
        console.print(f"Report written to {output.json}", soft_wrap=True, markup=False)


def is_closed_pipe(error: Exception) -> bool:
    """The reader of our output went away; Windows tells it as EINVAL."""
    if isinstance(error, BrokenPipeError):
        return True
    return sys.platform == "win32" and isinstance(error, OSError) and error.errno == errno.EINVAL


def drop(stream: IO[str]) -> None:
    """Nothing more can be written here: keep Python from trying at exit."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def check_writable(json: str | None, keys: Path | None) -> None:
    """:raises UsageError: a file that was asked for could not be written in the end."""
    if json is not None and json != "-":
        path = Path(json)
        try:
            there = path.exists()
            with path.open("ab"):
                pass
            if not there:
                path.unlink()
        except OSError as error:
            raise UsageError(f"--json {json}: {error.strerror or error}") from error
    if keys is not None:
        try:
            keys.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--keys-out {keys}: {error.strerror or error}") from error
        if not os.access(keys, os.W_OK):
            raise UsageError(f"--keys-out {keys}: not writable")


def write_json(report: Report, where: str | None) -> str | None:
    """Write the report; an error line when it could not be written there. It is then kept in a
    temporary file: a run cannot be had again."""
    if where is None:
        return None
    from vpndiag.report.document import to_json

    data = to_json(report).encode("utf-8", "backslashreplace")
    try:
        if where == "-":
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        else:
            Path(where).write_bytes(data)
    except (OSError, ValueError) as error:
        if where == "-":
            drop(sys.stdout)
            if is_closed_pipe(error):
                return None
        said = getattr(error, "strerror", None) or error
        return f"--json {where}: {said}{_kept_elsewhere(data)}"
    return None


def _kept_elsewhere(data: bytes) -> str:
    import tempfile

    try:
        with tempfile.NamedTemporaryFile(prefix="vpndiag-", suffix=".json", delete=False) as spare:
            spare.write(data)
    except OSError:
        return ""
    return f"; the report is in {spare.name}"

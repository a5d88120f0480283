"""``vpndiag run``: from the options and a profile to a plan."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vpndiag import profile as profiles
from vpndiag.cli.credentials import certificate_of, l2tp_secret_of, secrets_of
from vpndiag.cli.exits import UsageError
from vpndiag.cli.output import Output, check_writable, show
from vpndiag.cli.proposals import auth_methods, group_of, ports_of, proposals_of
from vpndiag.records import record
from vpndiag.secrets import SecretError

if TYPE_CHECKING:
    from vpndiag.cli.live import Plan
    from vpndiag.probes.aside import Aside
    from vpndiag.probes.inside.plan import InsidePlan
    from vpndiag.probes.soak import SoakPlan


MIN_MRU, MAX_MRU = 128, 16384


@record(slots=True, kw_only=True)
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
    reference: str | None = None
    outer_mtu: bool = False
    nat_lifetime: bool = False
    outside_names: bool = True
    soak: str | None = None
    capture: Path | None = None
    keys_out: Path | None = None


def run(given: RunOptions, output: Output) -> int:
    """Carry out the command; the exit code.

    :raises UsageError: before anything is sent, unless a file cannot be written in the end.
    """
    check_writable(output.json, given.keys_out, given.capture)  # before secrets are asked for
    return show(plan_of(given), output)


def plan_of(given: RunOptions) -> Plan:
    """:raises UsageError: options, a profile or secrets that cannot be used."""
    from vpndiag.cli.live import Plan, Shown
    from vpndiag.probes.names_beside import CompareNames
    from vpndiag.probes.way.explore import Explore
    from vpndiag.probes.way.other_addresses import ask_other_addresses
    from vpndiag.probes.way.sizing import MeasureSizes
    from vpndiag.protocols.errors import LocalProtocolError
    from vpndiag.tunnel.options import TunnelOptions

    notes = _no_profile(given.host)
    typed, given = given, _with_profile(given)
    _check_together(typed, given)
    inside, soak = _inside(given), _soak(given)
    host = given.host.strip()
    if not host:
        raise UsageError("HOST is empty: give a name, an address or a profile")
    _check_address(host)
    if given.user is not None and not given.user.strip():
        raise UsageError("--user is empty: give the name to log in with, or leave --user out")
    try:
        credentials, anchors = certificate_of(given)
        ike_list, esp_list = proposals_of(given.ike, given.esp, credentials is not None)
        methods, group, ports = auth_methods(given.auth), group_of(given.pfs), ports_of(given.ports)
        # Last: nobody shall type secrets for a run that there will not be, or that is not meant.
        if notes and given.user is not None and sys.stdin is not None and sys.stdin.isatty():
            print(f"vpndiag: {notes[0]}", file=sys.stderr)
        psk, password = secrets_of(given, credentials is not None, notes)
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
            auth_methods=methods,
            l2tp_secret=l2tp_secret_of(given),
            plain_l2tp=given.plain_l2tp,
            ike_transforms=ike_list,
            esp_transforms=esp_list,
            custom_ike=bool(ike_list),
            custom_esp=bool(esp_list),
            pfs_group=group,
            gateway_ports=ports,
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
        soak=soak,
        asides=(
            Explore(
                reference=given.reference,
                resolvers=given.resolver,
                prefer="ipv6" if given.ipv6 else "ipv4",
            ),
            ask_other_addresses,
            MeasureSizes(requested=given.outer_mtu),
            CompareNames(resolvers=given.resolver),
            *_outside_names(given, inside),
            *_lifetime(given),
        ),
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
            "soak": Shown(given.soak) if given.soak else None,
            "psk": psk,
            "password": password,
        },
    )


def _no_profile(host: str) -> list[str]:
    """A note where a profile may have been meant, and there is none."""
    name = host.strip()
    if not name.replace("-", "").replace("_", "").isalnum() or name.lower() == "localhost":
        return []
    if name.isdecimal() or profiles.find(host) is not None:
        return []
    places = ", ".join(str(place) for place in profiles.directories())
    return [f"There is no profile {name}.toml here or in {places}: {name} was taken for a server "
            "name."]  # fmt: skip


def _check_address(host: str) -> None:
    """An address has to be one of a single host. A link-local one means nothing without the
    interface (RFC 4007 section 11), and any other has none.

    :raises UsageError: it is not so, or there is no such interface.
    """
    import ipaddress

    from vpndiag.probes.host_name import literal
    from vpndiag.tunnel.flow import CannotOpen, gateway_sockaddr

    text = literal(host)
    address = ipaddress.ip_address(text) if text is not None else None
    if address is not None and (
        address.is_multicast or address.is_unspecified or str(address) == "255.255.255.255"
    ):
        raise UsageError(f"{host}: this is no address of a gateway; give the one it has")
    if not isinstance(address, ipaddress.IPv6Address):
        return
    zone = address.scope_id
    if not zone and address.is_link_local:
        raise UsageError(f"{host}: name the interface of a link-local address: {address}%eth0")
    if zone and not address.is_link_local:
        bare = str(address).partition("%")[0]
        raise UsageError(f"{host}: only link-local addresses have a zone; give {bare}")
    try:
        gateway_sockaddr(str(address), 500)
    except CannotOpen as error:
        raise UsageError(f"{host}: this computer has no interface {zone}") from error


_IPSEC_ONLY = {
    "ike": "--ike", "esp": "--esp", "pfs": "--pfs", "no_vendor_ids": "--no-vendor-ids",
    "psk": "--psk", "psk_file": "--psk-file", "psk_hex": "--psk-hex",
    "certificate": "--cert", "key": "--key", "ca": "--ca", "expected_name": "--cert-name",
}  # fmt: skip
_LOGIN_ONLY = {
    "password": "--password", "password_file": "--password-file", "auth": "--auth",
}  # fmt: skip


def _check_together(typed: RunOptions, given: RunOptions) -> None:
    """Who types an option expects that it counts. ``given``: with what the profile says; that may
    hold more than this run needs.

    :raises UsageError: it would not, beside the others or without another.
    """

    def first(options: dict[str, str]) -> str | None:
        return next((option for name, option in options.items() if getattr(typed, name)), None)

    if given.plain_l2tp and (option := first(_IPSEC_ONLY)):
        raise UsageError(f"{option} is about IPsec, which --plain-l2tp does without: leave one out")
    if given.user is None and (option := first(_LOGIN_ONLY)):
        raise UsageError(f"{option} is about the login: give --user as well")
    if given.certificate is not None and (typed.psk or typed.psk_file or typed.psk_hex):
        raise UsageError("a pre-shared key or --cert: give one of them")
    if given.certificate is None and typed.expected_name:
        raise UsageError(
            "--cert-name is for certificate authentication: give --cert and --key as well"
        )
    if given.mru is not None and not MIN_MRU <= given.mru <= MAX_MRU:
        raise UsageError(f"--mru {given.mru}: {MIN_MRU} to {MAX_MRU} bytes are possible")
    if typed.reference is not None and not typed.reference.strip():
        raise UsageError("--reference is empty: give a name or an address")
    if given.resolver:
        from vpndiag.probes.resolvers import configuration

        try:
            configuration(list(given.resolver))
        except ValueError as error:
            raise UsageError(f"--resolver: {error}") from error


def whole_number(option: str, text: str | None) -> int | None:
    """:raises UsageError: the text of this option is none."""
    if text is None:
        return None
    if not text.isdecimal() or len(text) > 9:
        raise UsageError(f"{option} {text}: a whole number is wanted")
    return int(text)


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
        reference=given.reference or profile.reference_gateway,
        outside_names=given.outside_names and profile.outside_names,
        apps=given.apps or profile.apps,
        internal_names=given.internal_names or profile.internal_names,
        internal_hosts=given.internal_hosts or profile.internal_hosts,
        internal_domain=given.internal_domain or profile.internal_domain,
        internal_networks=profile.internal_networks,
        expected_addresses=profile.expected_addresses,
        expected_dns=profile.expected_dns,
    )


def _lifetime(given: RunOptions) -> tuple[Aside, ...]:
    if not given.nat_lifetime:
        return ()
    if given.plain_l2tp:
        raise UsageError("--nat-lifetime is about UDP 4500, which --plain-l2tp does not use")
    from vpndiag.probes.way.keeping import MeasureLifetime

    return (MeasureLifetime(),)


def _outside_names(given: RunOptions, inside: InsidePlan) -> tuple[Aside, ...]:
    """Names of inside that are asked outside as well."""
    from vpndiag.probes.names_beside import OutsideNames

    names = (*inside.internal_names, *inside.internal_hosts, *(a.host for a in inside.apps))
    if not names or not given.outside_names:
        return ()
    return (OutsideNames(names=names, resolvers=given.resolver),)


def _soak(given: RunOptions) -> SoakPlan | None:
    from vpndiag.probes.soak import SoakPlan, parse_duration

    if given.soak is None:
        return None
    if given.user is None:
        raise UsageError("--soak needs the tunnel: give --user as well")
    try:
        return SoakPlan(parse_duration(given.soak))
    except ValueError as error:
        raise UsageError(f"--soak {error}") from error


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

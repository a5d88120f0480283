"""The ``vpndiag`` command. Imports of substance are inside the commands: ``--help`` is quick."""

from __future__ import annotations

import io
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from vpndiag import __version__
from vpndiag.cli.analyze import analyze
from vpndiag.cli.exits import INTERRUPTED, USAGE, UsageError
from vpndiag.cli.options import (
    InternalHosts,
    InternalNames,
    Json,
    MaybePath,
    MaybeText,
    MaybeTexts,
    Quiet,
    Redact,
    Verbose,
)


class _Group(TyperGroup):
    """Typer itself would end without a word when a command is interrupted."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Abort from None


app = typer.Typer(
    name="vpndiag",
    cls=_Group,
    help="Which layer of an L2TP/IPsec connection fails, why, and who has to do what.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,  # plain help: importing Rich takes longer than all the rest
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vpndiag {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command(short_help="Connect, layer by layer, and say which layer fails and why.")
def run(
    host: Annotated[
        str, typer.Argument(metavar="HOST", help="Gateway: name, address, or a profile.")
    ],
    user: Annotated[
        MaybeText,
        typer.Option(
            "--user",
            "-u",
            metavar="NAME",
            help="Go all the way, as this user. Asks for the secrets.",
        ),
    ] = None,
    json: Json = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    redact: Redact = False,
    psk_file: Annotated[
        MaybePath,
        typer.Option(metavar="FILE", help="File with the pre-shared key (or VPNDIAG_PSK)."),
    ] = None,
    password_file: Annotated[
        MaybePath,
        typer.Option(metavar="FILE", help="File with the password (or VPNDIAG_PASSWORD)."),
    ] = None,
    psk: Annotated[
        MaybeText,
        typer.Option(
            metavar="KEY", help="Pre-shared key (others can see it), or keyring:SERVICE/USER."
        ),
    ] = None,
    password: Annotated[
        MaybeText,
        typer.Option(
            metavar="PASSWORD", help="Password (others can see it), or keyring:SERVICE/USER."
        ),
    ] = None,
    psk_hex: Annotated[
        bool, typer.Option("--psk-hex", help="The pre-shared key is given in hex.")
    ] = False,
    cert: Annotated[
        MaybePath,
        typer.Option(
            metavar="FILE", help="Our certificate (PEM or DER), instead of a pre-shared key."
        ),
    ] = None,
    key: Annotated[MaybePath, typer.Option(metavar="FILE", help="Private key of --cert.")] = None,
    ca: Annotated[
        MaybePath,
        typer.Option(
            metavar="FILE",
            help="With --cert: the authorities that the gateway's certificate may be of.",
        ),
    ] = None,
    cert_name: Annotated[
        MaybeText,
        typer.Option(
            metavar="NAME",
            help="With --cert: the name that the gateway's certificate must carry (HOST).",
        ),
    ] = None,
    auth: Annotated[
        MaybeText,
        typer.Option(metavar="LIST", help="Login methods allowed, of mschapv2,eap,chap,pap (all)."),
    ] = None,
    ike: Annotated[
        MaybeText,
        typer.Option(
            metavar="LIST",
            help="IKE proposals (aes256-sha1-modp2048,...), or the client whose offer to make: "
            "windows, macos, android, nm-l2tp.",
        ),
    ] = None,
    esp: Annotated[
        MaybeText, typer.Option(metavar="LIST", help="ESP proposals (aes128-sha1,...).")
    ] = None,
    pfs: Annotated[
        MaybeText, typer.Option(metavar="GROUP", help="Ask for PFS, with this group (modp2048).")
    ] = None,
    no_vendor_ids: Annotated[
        bool, typer.Option("--no-vendor-ids", help="Send no vendor IDs, so no NAT traversal.")
    ] = False,
    plain_l2tp: Annotated[bool, typer.Option("--plain-l2tp", help="L2TP without IPsec.")] = False,
    l2tp_secret_file: Annotated[
        MaybePath,
        typer.Option(
            metavar="FILE", help="File with the L2TP tunnel secret (or VPNDIAG_L2TP_SECRET)."
        ),
    ] = None,
    mru: Annotated[
        MaybeText, typer.Option(metavar="BYTES", help="MRU to ask for, 128 to 16384 (1400).")
    ] = None,
    resolver: Annotated[
        MaybeTexts,
        typer.Option(
            metavar="ADDRESS",
            help="DNS server to ask for HOST, in place of the system's (repeatable).",
        ),
    ] = None,
    app_: Annotated[
        MaybeTexts,
        typer.Option(
            "--app",
            metavar="APP",
            help="Test inside: HOST:PORT, HOST:smb, https://HOST (repeatable).",
        ),
    ] = None,
    internal_name: InternalNames = None,
    internal_host: InternalHosts = None,
    internal_domain: Annotated[
        MaybeText,
        typer.Option(metavar="DOMAIN", help="Domain inside, asked for its domain controllers."),
    ] = None,
    ipv6: Annotated[bool, typer.Option("-6", "--ipv6", help="Prefer IPv6.")] = False,
    port: Annotated[
        MaybeTexts,
        typer.Option(
            metavar="PORT=PORT",
            help="Gateway on other ports: 500=10500; also 4500, 1701 (repeatable).",
        ),
    ] = None,
    reference: Annotated[
        MaybeText,
        typer.Option(
            metavar="HOST", help="Another gateway, known to work: asked when HOST is silent."
        ),
    ] = None,
    outer_mtu: Annotated[
        bool,
        typer.Option(
            "--outer-mtu", help="Measure which sizes get to the gateway, and whether fragments do."
        ),
    ] = False,
    nat_lifetime: Annotated[
        bool,
        typer.Option(
            "--nat-lifetime",
            help="Measure afterwards how long a silent NAT mapping survives (minutes).",
        ),
    ] = False,
    no_outside_names: Annotated[
        bool,
        typer.Option(
            "--no-outside-names", help="Do not ask the resolvers outside for names of inside."
        ),
    ] = False,
    soak: Annotated[
        MaybeText,
        typer.Option(
            metavar="TIME",
            help="Then stay connected for 90s, 10m or 1h: quality inside, keys renewed once each.",
        ),
    ] = None,
    capture: Annotated[
        MaybePath,
        typer.Option(
            metavar="FILE",
            help="Leave a capture (pcapng) of all packets. With --plain-l2tp nothing in it is "
            "encrypted: after a PAP login it holds the password.",
        ),
    ] = None,
    keys_out: Annotated[
        MaybePath,
        typer.Option(metavar="DIR", help="Leave the session keys here, for Wireshark and analyze."),
    ] = None,
) -> None:
    """Connect to a gateway, layer by layer, and say which layer fails and why."""
    from vpndiag.cli.output import Output
    from vpndiag.cli.run import RunOptions, whole_number
    from vpndiag.cli.run import run as carry_out

    given = RunOptions(
        host=host,
        user=user,
        psk=psk,
        psk_file=psk_file,
        psk_hex=psk_hex,
        password=password,
        password_file=password_file,
        certificate=cert,
        key=key,
        ca=ca,
        expected_name=cert_name,
        auth=auth,
        ike=ike,
        esp=esp,
        pfs=pfs,
        no_vendor_ids=no_vendor_ids,
        plain_l2tp=plain_l2tp,
        l2tp_secret_file=l2tp_secret_file,
        mru=whole_number("--mru", mru),
        resolver=tuple(resolver or ()),
        apps=tuple(app_ or ()),
        internal_names=tuple(internal_name or ()),
        internal_hosts=tuple(internal_host or ()),
        internal_domain=internal_domain,
        ipv6=ipv6,
        ports=tuple(port or ()),
        reference=reference,
        outer_mtu=outer_mtu,
        nat_lifetime=nat_lifetime,
        outside_names=not no_outside_names,
        soak=soak,
        capture=capture,
        keys_out=keys_out,
    )
    raise typer.Exit(
        carry_out(given, Output(json=json, quiet=quiet, verbose=verbose, redact=redact))
    )


@app.command(short_help="The same against a gateway that it brings along, whole or broken.")
def demo(
    break_: Annotated[
        MaybeText, typer.Option("--break", metavar="FINDING", help="Break what this finding names.")
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List what can be broken.")] = False,
    serve: Annotated[
        bool, typer.Option("--serve", help="Only run the gateway, for other clients, until Ctrl-C.")
    ] = False,
    host: Annotated[
        MaybeText, typer.Option(metavar="ADDRESS", help="Address for --serve (127.0.0.1).")
    ] = None,
    port: Annotated[
        MaybeTexts,
        typer.Option(metavar="PORT=PORT", help="Ports for --serve: 500=10500 (repeatable)."),
    ] = None,
    json: Json = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    redact: Redact = False,
    capture: Annotated[
        MaybeText, typer.Option(metavar="FILE", help="Leave a capture (pcapng).")
    ] = None,
    keys_out: Annotated[
        MaybeText, typer.Option(metavar="DIR", help="Leave the session keys here.")
    ] = None,
) -> None:
    """The same against the embedded gateway, whole or broken on purpose."""
    from vpndiag.cli import demo as demonstration
    from vpndiag.cli.output import Output
    from vpndiag.cli.proposals import ports_of

    if list_:
        typer.echo(demonstration.list_breaks())
        return
    demonstration.check_together(
        serve,
        {"--host": host is not None, "--port": bool(port)},
        {
            "--json": json is not None,
            "--quiet": quiet,
            "--verbose": verbose,
            "--redact": redact,
            "--capture": capture is not None,
            "--keys-out": keys_out is not None,
        },
    )
    if serve:
        host = demonstration.HOST if host is None else host
        raise typer.Exit(demonstration.serve(break_, host, ports_of(tuple(port or ()))))
    output = Output(json=json, quiet=quiet, verbose=verbose, redact=redact)
    raise typer.Exit(demonstration.demo(break_, output, capture, keys_out))


app.command(short_help="What went wrong in captures of others; frames prove it.")(analyze)


@app.command(short_help="This computer's own VPN, and settings that break it.")
def host(
    profile: Annotated[
        MaybeText, typer.Argument(help="Profile: what should be there (gateway, networks, DNS).")
    ] = None,
    json: Json = None,
    quiet: Quiet = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show everything that the system said.")
    ] = False,
    redact: Redact = False,
) -> None:
    """Look at this computer's own L2TP/IPsec VPN and at settings that break it. Sends nothing."""
    from vpndiag.cli.host import host as carry_out
    from vpndiag.cli.output import Output

    raise typer.Exit(
        carry_out(profile, Output(json=json, quiet=quiet, verbose=verbose, redact=redact))
    )


@app.command()
def explain(
    topic: Annotated[
        MaybeText,
        typer.Argument(
            help="Finding code, layer, error number of Windows, or words that a client shows."
        ),
    ] = None,
) -> None:
    """What a finding means, its causes, what to do and who has to."""
    from rich.console import Console

    from vpndiag.render.explain import explain as show

    errors = Console(highlight=False, stderr=True)
    if not show(topic, Console(highlight=False), errors):
        raise typer.Exit(USAGE)


profile_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(profile_app, name="profile", help="Profiles: what an administrator hands out.")


@profile_app.command("check")
def profile_check(
    profile: Annotated[str, typer.Argument(help="The profile: a file, or its name.")],
) -> None:
    """Say whether a profile can be used, and what it stands for. Nothing is sent."""
    from vpndiag.cli.profiles import check

    raise typer.Exit(check(profile))


@app.command()
def schema() -> None:
    """The JSON schema of the report."""
    from vpndiag.report.schema import shipped_schema

    typer.echo(shipped_schema(), nl=False)


def _fail(text: str) -> int:
    """One line: names of files and what was typed may hold anything."""
    from vpndiag.report.text import visible

    print(f"vpndiag: {visible(text, 4000)}", file=sys.stderr)
    return USAGE


def _command() -> str:
    """The command that was typed, for errors that do not say whose they are."""
    names = [c.name or getattr(c.callback, "__name__", "") for c in app.registered_commands]
    return " ".join(["vpndiag", *(word for word in sys.argv[1:2] if word in names)])


def main() -> None:
    """Entry point: our own errors become one line and exit code 2, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        # What the terminal's character set lacks is shown escaped.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        sys.exit(app(standalone_mode=False))
    except UsageError as error:
        sys.exit(_fail(str(error)))
    except (KeyboardInterrupt, typer.Abort):
        print("vpndiag: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output is gone (head, less); keep Python from complaining about it.
        sys.stderr.close()
        sys.exit(INTERRUPTED)
    except Exception as error:
        # Click's errors, which Typer brings along under a name of its own in some versions.
        said = getattr(error, "format_message", None)
        if said is None:
            raise
        if type(error).__name__ == "NoArgsIsHelpError":
            print(said(), file=sys.stderr)
            sys.exit(USAGE)
        where = getattr(getattr(error, "ctx", None), "command_path", None) or _command()
        sys.exit(_fail(f"{' '.join(str(said()).split())} (see {where} --help)"))

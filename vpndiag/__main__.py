"""The command, and ``python -m vpndiag``: it may be interrupted while it is still loading."""

import sys


def start() -> None:
    """Load and run it."""
    try:
        from vpndiag.cli.main import main
    except KeyboardInterrupt:
        print("vpndiag: interrupted", file=sys.stderr)
        sys.exit(130)
    main()


if __name__ == "__main__":
    start()

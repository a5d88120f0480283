"""The command, and ``python -m vpndiag``: it may be interrupted while it is still loading."""

import sys


def _load_and_run() -> None:
    try:
        from vpndiag.cli.main import main
    except KeyboardInterrupt:
        print("vpndiag: interrupted", file=sys.stderr)
        sys.exit(130)
    main()


def start() -> None:
    """Load and run it. Exit code 130 it is, for whom it was interrupted."""
    try:
        _load_and_run()
    except SystemExit as end:
        if end.code == 130:
            # Where the interrupt came while text was executed (dataclasses do that), Python holds
            # that nobody has caught it, until the next such text, and would end by SIGINT.
            exec("")
        raise


if __name__ == "__main__":
    start()

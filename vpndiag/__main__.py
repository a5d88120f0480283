"""``python -m vpndiag``."""

from vpndiag.cli.main import main

if __name__ == "__main__":
    main()

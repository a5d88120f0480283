"""``vpndiag demo --serve`` on the standard ports of a namespace."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

from tests.faults.live import ROOT
from tests.lab.netns import Site
from tests.lab.process import Daemon


class Embedded:
    """The embedded gateway at ``address`` of a site; ``psk`` is what it wants."""

    def __init__(self, site: Site, address: str, log: Path) -> None:
        self.site = site
        self.daemon: Daemon = site.daemon(
            ["env", f"PYTHONPATH={ROOT}", sys.executable, "-u", "-m", "vpndiag", "demo", "--serve",
             "--host", address], log,
        )  # fmt: skip
        end = time.monotonic() + 20
        while "Ctrl-C" not in self.daemon.log():
            assert self.daemon.running and time.monotonic() < end, self.daemon.log()
            time.sleep(0.05)
        found = re.search(r"VPNDIAG_PSK=(\S+)", self.daemon.log())
        assert found is not None, self.daemon.log()
        self.psk = found[1]

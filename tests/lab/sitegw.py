"""What gateways have in common that run as processes in the site's own namespace."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable

from tests.lab.netns import GATEWAY_ADDRESS, Network, Site
from tests.lab.process import Daemon, Owned, StateDir


class SiteGateway(Owned):
    """A subclass says in ``_start`` how it begins, and in ``_daemons_up`` which of its daemons stop
    when it is frozen."""

    address = GATEWAY_ADDRESS
    state: StateDir
    site: Site

    def _set_up(self, role: str, site: str) -> None:
        """A directory and a site of its own, and start; nothing is left where that fails."""
        try:
            self.state = StateDir(role)
            self.site = Site(site, own_address=True)
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        raise NotImplementedError

    def _daemons_up(self) -> Iterable[Daemon]:
        raise NotImplementedError

    def network(self, **settings: object) -> Network:
        """A network before this gateway; see Network for the settings."""
        return Network(self.site, **settings)  # type: ignore[arg-type]

    def freeze(self) -> None:
        """Stop every process where it stands: the machine hangs, without an ICMP error."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: int) -> None:
        for daemon in self._daemons_up():
            for pid in daemon.members():
                os.kill(pid, number)

    def _close(self) -> None:
        for name in ("site", "state"):
            if hasattr(self, name):
                getattr(self, name).close()

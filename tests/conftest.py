"""For all tests: Hypothesis without time limits, and the same examples each time in CI."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI", "").lower() in ("true", "1") else "here")


@pytest.fixture(autouse=True)
def _no_secrets_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tester's own VPNDIAG_... settings change no result."""
    for name in list(os.environ):
        if name.startswith("VPNDIAG_") and name != "VPNDIAG_LAB_CACHE":
            monkeypatch.delenv(name)

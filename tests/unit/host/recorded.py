"""A computer that only says what was recorded."""

from __future__ import annotations

from collections.abc import Mapping

from vpndiag.host.machine import Machine


class Recorded(Machine):
    """``outputs``: what commands print, by their words; ``files``: texts by path (a directory is
    there when a file in it is); ``sources``: the local address towards a target, ``""``: of all
    others."""

    def __init__(
        self,
        outputs: Mapping[str, str] | None = None,
        files: Mapping[str, str | bytes] | None = None,
        *,
        sources: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        release: str = "6.1.0-18-amd64",
    ) -> None:
        super().__init__(lambda: 0.0)
        self.outputs = dict(outputs or {})
        self.files = dict(files or {})
        self.sources = dict(sources or {})
        self.variables = dict(environment or {})
        self.release = release
        self.asked: list[str] = []

    def program(self, name: str) -> str | None:
        known = any(words.split()[0] == name for words in self.outputs)
        path = f"/usr/sbin/{name}"
        return path if known or path in self.files else None

    def run(self, *command: str, timeout: float = 3.0) -> str | None:
        words = " ".join(command)
        self.asked.append(words)
        return self.outputs.get(words)

    def read_bytes(self, path: str) -> bytes | None:
        found = self.files.get(path)
        return found.encode() if isinstance(found, str) else found

    def names(self, directory: str) -> list[str] | None:
        inside = [p[len(directory) + 1 :] for p in self.files if p.startswith(f"{directory}/")]
        return sorted({name.partition("/")[0] for name in inside}) or None

    def exists(self, path: str) -> bool:
        return path in self.files

    def environment(self, name: str) -> str:
        return self.variables.get(name, "")

    def kernel(self) -> str:
        return self.release

    def source_towards(self, address: str) -> str | None:
        return self.sources.get(address, self.sources.get("", "")) or None

"""
place.py - the working directory of one test run: directories, free ports, processes that can be found again.

Owns: everything below the directory. Never: leaves a process behind that sweep.py would not find by its mark.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable, TypeVar

CHECKOUT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(CHECKOUT / "contrib"))

from lab import procs  # noqa: E402  (needs the path above)
from lab.layout import PORTS_USED, port_is_free, run_as  # noqa: E402

HOST = "127.0.0.1"
PORT_BASE = int(os.environ.get("PGSLUICE_TEST_PORTS", "25200"))
PORTS = 300

T = TypeVar("T")


def wait_until(condition: Callable[[], T], seconds: float = 30.0, what: str = "the condition") -> T:
    """What the condition returned when it became true. A deadline, never a measurement: make it generous."""
    until = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > until:
            raise AssertionError(f"{what} did not come true within {seconds:.0f} s; last seen: {found!r}")
        time.sleep(0.02)


class Place:
    def __init__(self, directory: Path) -> None:
        self.root = directory
        self.user, self.uid, self.gid = run_as()
        self._next_port = PORT_BASE
        self._names: dict[str, int] = {}

    def make_dir(self, name: str) -> Path:
        """A new directory that belongs to the user who runs PostgreSQL and pgsluice. Short: sockets lie in it."""
        number = self._names[name] = self._names.get(name, 0) + 1
        path = self.root / (name if number == 1 else f"{name}{number}")
        path.mkdir()
        os.chown(path, self.uid, self.gid)
        return path

    def write(self, path: Path, content: str, mode: int = 0o600) -> Path:
        path.write_text(content, encoding="utf-8")
        os.chown(path, self.uid, self.gid)
        path.chmod(mode)
        return path

    def port(self) -> int:
        """A port that nobody listens on, outside of those that the kernel hands out to outgoing connections."""
        for _ in range(PORTS):
            port = self._next_port
            self._next_port = PORT_BASE + (port + 1 - PORT_BASE) % PORTS
            if port_is_free("0.0.0.0", port):  # on no address: some tests listen on all
                return port
        raise AssertionError(f"no port is free between {PORT_BASE} and {PORT_BASE + PORTS}")

    def lab_ports(self) -> int:
        """The first of enough free ones in a row for a lab, which has addresses of its own."""
        base = self._next_port
        while not all(port_is_free("0.0.0.0", port) for port in range(base, base + PORTS_USED)):
            base += PORTS_USED
        self._next_port = base + PORTS_USED
        return base

    def spawn(self, argv: list[str], *, cwd: Path, log: Path, env: dict[str, str] | None = None,
              **more: Any) -> subprocess.Popen[bytes]:
        """In the background, with our mark, output appended to log, not as root."""
        environment = {**procs.environment(self.root, cwd), **(env or {})}
        with open(log, "ab") as out:
            return subprocess.Popen(argv, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                    start_new_session=True, **self.identity(), **more)

    def run(self, argv: list[str], *, cwd: Path | None = None, env: dict[str, str] | None = None,
            timeout: float = 60, **more: Any) -> subprocess.CompletedProcess[str]:
        """To its end, not as root; whatever it printed is in the result."""
        home = cwd or self.root
        return subprocess.run(argv, cwd=home, env={**procs.environment(self.root, home), **(env or {})},
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False,
                              **self.identity(), **more)

    def identity(self) -> dict[str, Any]:
        if os.getuid() != 0:
            return {}
        groups = os.getgrouplist(pwd.getpwuid(self.uid).pw_name, self.gid)
        return {"user": self.uid, "group": self.gid, "extra_groups": groups}

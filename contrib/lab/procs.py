"""
procs.py - processes of a lab: started in sessions of their own, found again later, stopped for good.

Owns: pid files, and the answer to "which processes are ours".
Never: touches a process that it did not start, or that was not started by one of those.
Invariant: a process is ours when it carries our mark in its environment, or is a PostgreSQL process that works in a
data directory of the lab (PostgreSQL writes its title over its environment, so that the mark is lost there). A pid file
is believed only together with the start time of the process: pids are reused.
Source: proc(5), Linux 6.1.
"""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Callable

Find = Callable[[], list[int]]

MARK_VARIABLE = "LAB_OF_PGSLUICE"  # not PGSLUICE_...: those are settings


def environment(directory: Path, home: Path) -> dict[str, str]:
    """A clean one: PGHOST, PATRONI_NAME, ETCD_NAME and PGSLUICE_LISTEN_PORT of the caller would change what runs."""
    return {MARK_VARIABLE: str(directory), "HOME": str(home), "LANG": "C.UTF-8",
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


def spawn(argv: list[str], *, lab: Path, cwd: Path, log: Path, pid_file: Path, uid: int, gid: int,
          extra: dict[str, str] | None = None) -> int:
    """Start argv in the background as uid and gid; its output is appended to log. Returns the pid."""
    identity: dict[str, Any] = {}
    if os.getuid() == 0:
        identity = {"user": uid, "group": gid, "extra_groups": os.getgrouplist(pwd.getpwuid(uid).pw_name, gid)}
    with open(log, "ab") as out:
        process = subprocess.Popen(argv, cwd=cwd, env={**environment(lab, cwd), **(extra or {})},
                                   stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
                                   umask=0o077, **identity)
    pid_file.write_text(f"{process.pid} {start_time(process.pid)}\n", encoding="ascii")
    return process.pid


def _stat(pid: int) -> list[str] | None:
    """Fields 3 and following of /proc/PID/stat: state first. The name before them may hold blanks and brackets."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text[text.rindex(")") + 2:].split()


def start_time(pid: int) -> str:
    """Clock ticks since boot, "" when there is no such process."""
    fields = _stat(pid)
    return fields[19] if fields else ""


def is_alive(pid: int) -> bool:
    """A zombie is dead: whoever should reap it may never do so."""
    fields = _stat(pid)
    return fields is not None and fields[0] not in "ZX"


def is_stopped(pid: int) -> bool:
    fields = _stat(pid)
    return fields is not None and fields[0] in "Tt"


def read_pid(pid_file: Path) -> int:
    """The living process of a pid file, or 0."""
    try:
        pid, started = pid_file.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return 0
    return int(pid) if is_alive(int(pid)) and start_time(int(pid)) == started else 0


def _all_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]


def _cwd(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/cwd").removesuffix(" (deleted)")
    except OSError:
        return ""


def postgres_in(data: Path) -> list[int]:
    """All PostgreSQL processes of one data directory: they make it their working directory and never leave it."""
    return [pid for pid in _all_pids() if _cwd(pid) == str(data) and _is_postgres(pid) and is_alive(pid)]


def _is_postgres(pid: int) -> bool:
    try:
        return os.path.basename(os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)")) == "postgres"
    except OSError:
        return False


def marked(lab: Path, below: Path | None = None) -> list[int]:
    """Our processes by the mark in their environment; with `below`, those that work in that directory or below it."""
    wanted = f"{MARK_VARIABLE}={lab}".encode()
    found = []
    for pid in _all_pids():
        try:
            variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            continue
        inside = below is None or _cwd(pid) == str(below) or _cwd(pid).startswith(str(below) + "/")
        if wanted in variables and inside and is_alive(pid):
            found.append(pid)
    return found


def postgres_below(lab: Path) -> list[int]:
    """PostgreSQL processes of every data directory of the lab, also of nodes that lab.json has forgotten."""
    return [pid for pid in _all_pids()
            if _cwd(pid).startswith(str(lab) + "/") and _is_postgres(pid) and is_alive(pid)]


def send(pids: list[int], number: signal.Signals) -> int:
    """How many were still there to receive it."""
    reached = 0
    for pid in pids:
        try:
            os.kill(pid, number)
            reached += 1
        except ProcessLookupError:
            pass
    return reached


def wait_gone(pids: list[int], seconds: float) -> list[int]:
    """Those that are still alive after at most that time."""
    until = time.monotonic() + seconds
    left = pids
    while True:
        _reap(left)
        left = [pid for pid in left if is_alive(pid)]
        if not left or time.monotonic() > until:
            return left
        time.sleep(0.02)


def _reap(pids: list[int]) -> None:
    """Those of them that are children of our own and have ended. Others' exit statuses belong to whoever started them."""
    for pid in pids:
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            pass


def kill_all(find: Find, seconds: float = 5.0) -> int:
    """
    SIGKILL whatever find() returns until it returns nothing: a process may fork between the look and the signal.
    Returns how many were killed.
    """
    until = time.monotonic() + seconds
    killed: set[int] = set()
    while pids := find():
        send(pids, signal.SIGKILL)
        killed.update(pids)
        wait_gone(pids, 1.0)
        if time.monotonic() > until:
            raise TimeoutError(f"processes {pids} do not die")
    return len(killed)


def freeze_all(find: Find, seconds: float = 5.0) -> int:
    """SIGSTOP whatever find() returns until all of it stands still. Returns how many were stopped."""
    until = time.monotonic() + seconds
    stopped: set[int] = set()
    while moving := [pid for pid in find() if not is_stopped(pid)]:
        send(moving, signal.SIGSTOP)
        stopped.update(moving)
        time.sleep(0.005)
        if time.monotonic() > until:
            raise TimeoutError(f"processes {moving} do not stop")
    return len(stopped)

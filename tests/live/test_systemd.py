"""As a service of systemd: sockets that it opened, and what it is told. We play systemd; a socket is all it takes."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import sys
import threading
import urllib.request
from pathlib import Path
from typing import Any, Callable

import psycopg
import pytest
from kit.place import HOST, Place, wait_until
from kit.sluice import Sluice
from kit.wire import Wire

Start = Any

# Descriptors from 3 on, and the process id of who will have them: both known only to the process that becomes pgsluice.
ACTIVATE = """
import fcntl, os, sys
fds, names, argv = sys.argv[1].split(","), sys.argv[2], sys.argv[3:]
high = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 100) for fd in fds]
for at, fd in enumerate(high):
    os.dup2(fd, 3 + at)
    os.close(fd)
os.environ.update(LISTEN_FDS=str(len(fds)), LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES=names)
os.execv(argv[0], argv)
"""


def tcp(place: Place) -> socket.socket:
    return socket.create_server((HOST, place.port()))


def unix(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(path))
    path.chmod(0o777)
    made.listen()
    return made


def activated(front: Sluice, *sockets: socket.socket, names: str = "") -> Sluice:
    front.wrapper = [sys.executable, "-c", ACTIVATE, ",".join(str(each.fileno()) for each in sockets), names]
    front.pass_fds = tuple(each.fileno() for each in sockets)
    return front


def port_of(listening: socket.socket) -> int:
    return int(listening.getsockname()[1])


def lane_of(front: Sluice, **where: Any) -> str:
    """The one that the log names for this login."""
    since = len(front.log_text())
    with front.connect(**where) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    return front.wait_log(" login ", since).rsplit("lane=", 1)[1]


def is_open(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), 5).close()
    except OSError:
        return False
    return True


# Sockets.

def test_sockets_by_their_names(sluices: Start, place: Place, backend: str) -> None:
    front = Sluice(place, databases={"*": backend}, read=True, http_port=place.port())
    with tcp(place) as write, tcp(place) as read, tcp(place) as http, unix(front.dir / "door") as local:
        activated(front, http, read, write, local, names="http:read:read-write:read-write")
        front.start()
        assert lane_of(front, port=port_of(write)) == "write"
        assert lane_of(front, port=port_of(read)) == "read"
        with urllib.request.urlopen(f"http://{HOST}:{port_of(http)}/health/liveness") as answer:
            assert answer.status == 200
        with Wire(0, unix=str(front.dir / "door")) as client:
            assert client.login().ask("SELECT 1") == [[b"1"]]
        # They are instead of what the settings name, and nobody we might start would see them.
        for port in (front.port, front.read_port, front.settings["http_port"]):
            assert not is_open(port)
        assert not (front.dir / f".s.PGSQL.{front.port}").exists()
        front.stop()
        assert (front.dir / "door").exists()
        # Clients of the meantime are served by the next one.
        early = [Wire(port_of(write)) for _ in range(3)]
        with Wire(0, unix=str(front.dir / "door")) as client:
            front.start()
            for each in (*early, client):
                assert each.login().ask("SELECT 2") == [[b"2"]]
                each.close()
        front.stop()


def test_sockets_by_their_ports(sluices: Start, place: Place, backend: str) -> None:
    """As Debian's pgbouncer.socket has them: one unit, one name for all. What was not passed is opened as configured."""
    with tcp(place) as write, tcp(place) as read:
        front = Sluice(place, databases={"*": backend}, listen_port=port_of(write), http_port=place.port(),
                       read_port=port_of(read))
        with unix(front.dir / f".s.PGSQL.{port_of(read)}") as local:
            activated(front, local, write, read, names="pgbouncer.socket:pgbouncer.socket:pgbouncer.socket")
            front.start()
            assert lane_of(front) == "write"
            assert lane_of(front, port=port_of(read)) == "read"
            assert lane_of(front, host=str(front.dir), port=port_of(read)) == "read"
            assert is_open(front.settings["http_port"])
            front.stop()


def test_sockets_that_are_of_no_use(place: Place, backend: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams, socket.socket() as silent:
        for useless in (datagrams, silent):
            front = activated(Sluice(place, databases={"*": backend}), useless, names="shop")
            front.start(wait=False)
            assert front.expect_exit(60) == 1
            assert 'descriptor 3 ("shop") is no listening stream socket' in front.log_text()


def test_sockets_for_somebody_else(sluices: Start) -> None:
    front: Sluice = sluices(env={"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "read"})
    assert lane_of(front) == "write"


@pytest.mark.skipif(not shutil.which("systemd-socket-activate"), reason="systemd-socket-activate is not installed")
def test_sockets_of_systemd_itself(place: Place, backend: str) -> None:
    front = Sluice(place, databases={"*": backend})
    front.wrapper = ["systemd-socket-activate", f"--listen={HOST}:{front.port}", "--fdname=read-write"]
    front.start(wait=False)
    wait_until(lambda: "Listening on" in front.log_text(), what="systemd-socket-activate")
    with front.connect() as connection:  # which starts it
        assert connection.execute("SELECT 1").fetchone() == (1,)
    front.stop()


def test_restarts_under_load_refuse_nobody(place: Place, backend: str) -> None:
    """A client that is there when its process ends may be cut off. A new one never finds that nobody listens."""
    with socket.create_server((HOST, place.port()), backlog=500) as door:
        front = activated(Sluice(place, databases={"*": backend}, listen_port=port_of(door)), door)
        front.start()
        surprises: list[str] = []
        served, over = [0], threading.Event()

        def work() -> None:
            while not over.is_set():
                try:
                    with front.connect() as connection:
                        connection.execute("SELECT 1")
                    served[0] += 1
                except psycopg.OperationalError as error:
                    if not re.search("shutting down|closed the connection", str(error)):
                        surprises.append(str(error))

        threads = [threading.Thread(target=work, daemon=True) for _ in range(8)]
        for thread in threads:
            thread.start()
        for _ in range(3):
            before = served[0]
            wait_until(lambda: served[0] > before + 20, what="clients being served")
            front.stop()
            front.start()
        before = served[0]
        wait_until(lambda: served[0] > before + 20, what="clients being served at last")
        over.set()
        for thread in threads:
            thread.join(60)
        front.stop()
        assert surprises == []


# What systemd is told.

Heard = Callable[[str], str]


@pytest.fixture(params=["path", "abstract"])
def heard(request: pytest.FixtureRequest, place: Place) -> Any:
    """(what NOTIFY_SOCKET is, a function that waits for a message with these words in it)"""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        path = place.make_dir("n") / "notify"
        name = str(path) if request.param == "path" else f"@{path}"
        listening.bind(name.replace("@", "\0"))
        if request.param == "path":
            path.chmod(0o777)
        listening.settimeout(30)

        def wait(words: str) -> str:
            while True:
                said = listening.recv(4096).decode()
                if words in said:
                    return said

        yield name, wait


def test_what_systemd_is_told(sluices: Start, heard: tuple[str, Heard]) -> None:
    name, wait = heard
    front: Sluice = sluices(env={"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "200000"}, stats_period=1)
    assert wait("READY=1").splitlines() == ["READY=1", "STATUS=ready"]
    for _ in range(2):
        assert wait("WATCHDOG=1") == "WATCHDOG=1"
    with front.connect() as connection:
        connection.execute("SELECT 1")
        assert re.match(r"STATUS=1 clients, 1 servers: \d+ xacts/s, ", wait("STATUS="))
    for content in (front.ini.read_text(), "[nonsense]\n"):  # it is also over when it failed
        front.place.write(front.ini, content)
        front.send(signal.SIGHUP)
        reloading = wait("RELOADING=1").splitlines()
        assert reloading[0] == "RELOADING=1" and re.fullmatch(r"MONOTONIC_USEC=\d+", reloading[1])
        assert wait("READY=1") == "READY=1"
    busy = Wire(front.port).login()
    busy.ask("BEGIN")
    front.send(signal.SIGTERM)
    wait("STOPPING=1")
    assert front.is_alive
    busy.close()
    assert front.expect_exit() == 0


def test_nobody_listens_to_what_systemd_would_be_told(sluices: Start) -> None:
    for name in ("/nonexistent/notify", "@no-such-socket", "nonsense", "@", "/" + "x" * 200):
        front: Sluice = sluices(env={"NOTIFY_SOCKET": name})
        assert "NOTIFY_SOCKET" in front.log_text()
        front.stop()


def test_the_journal_is_told_how_grave_it_is(place: Place, backend: str) -> None:
    front = Sluice(place, databases={"*": backend}, default_pool_size=1, max_client_conn=100000, nofile=200)
    front.log.touch()
    at = os.stat(front.log)
    front.env["JOURNAL_STREAM"] = f"{at.st_dev}:{at.st_ino}"
    front.start()
    front.wait_log(r"^<4>.* warning main max_client_conn")
    front.wait_log(r"^<6>.* info main pgsluice .* ready")
    front.stop()

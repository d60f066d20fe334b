"""Logins that stop half way: each ends in time and gives back what it had; thousands of them keep nobody out."""

from __future__ import annotations

import contextlib
import resource
import socket
import time
import urllib.request
from typing import Any, Iterator

import pytest
from kit import wire
from kit.company import neighbour
from kit.place import HOST, Place, wait_until
from kit.sluice import Sluice
from kit.wire import Wire

Start = Any

STARTUP = wire.startup(user="app", database="app")
PASSWORD_HALF = b"p\0\0\0\x40SCRAM-SHA-256\0"  # the beginning of a SASLInitialResponse
HALVES = {
    "nothing": b"",
    "a byte": STARTUP[:1],
    "half a startup packet": STARTUP[:len(STARTUP) // 2],
    "half an SSLRequest": b"\0\0\0\x08\x04\xd2",
    "SSLRequest alone": b"\0\0\0\x08\x04\xd2\x16\x2f",
    "no password": STARTUP,
    "half a password": STARTUP + PASSWORD_HALF,
}


# psycopg can't have descriptors above 1023 (select), so what comes after a crowd is a Wire.
def number_in_lists(front: Sluice, name: str) -> int:
    with Wire(front.port) as console:
        rows = console.login(database="pgsluice").ask("SHOW LISTS")
    return next(int(row[1] or 0) for row in rows if row[0] == name.encode())


def can_log_in(front: Sluice) -> bool:
    try:
        with Wire(front.port) as client:
            client.login()
    except (AssertionError, OSError, wire.Closed):
        return False
    return True


def is_settled(front: Sluice) -> bool:
    """Nobody has come for longer than the 2 s for which who has just come keeps his place, and newcomers out."""
    before = front.counter("clients_accepted")
    time.sleep(2.5)
    return front.counter("clients_accepted") == before


@contextlib.contextmanager
def crowd(front: Sluice, count: int) -> Iterator[list[socket.socket]]:
    """So many connections, of all kinds of halves."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count + 500:
        pytest.skip(f"only {hard} file descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 500), hard))
    halves = list(HALVES.values())
    with contextlib.ExitStack() as stack:
        made = []
        for at in range(count):
            one = stack.enter_context(socket.create_connection((HOST, front.port), 30))
            one.settimeout(60)
            with contextlib.suppress(ConnectionError):  # refused already
                one.sendall(halves[at % len(halves)])
            made.append(one)
        try:
            yield made
        finally:
            stack.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def read_to_the_end(one: socket.socket) -> bytes:
    heard = b""
    with contextlib.suppress(ConnectionError):
        while piece := one.recv(4096):
            heard += piece
    return heard


@pytest.mark.parametrize("defer", [0, 1])
def test_half_a_login_ends_in_time(sluices: Start, defer: int) -> None:
    front: Sluice = sluices(client_login_timeout=1, tcp_defer_accept=defer)
    with neighbour(front.connect):
        front.connect().close()
        before = front.descriptors
        with crowd(front, 3 * len(HALVES)) as half:
            for one in half:
                assert b"client_login_timeout" in read_to_the_end(one)
            wait_until(lambda: front.descriptors <= before, what="descriptors given back")


def test_thousands_of_half_logins_keep_nobody_out(sluices: Start, place: Place) -> None:
    front: Sluice = sluices(max_login_clients=300, max_client_conn=3000, admin_users="app", client_login_timeout=600,
                            http_port=place.port())
    before = front.descriptors
    with contextlib.ExitStack() as stack:
        lasting = stack.enter_context(Wire(front.port)).login()
        half = stack.enter_context(crowd(front, 2200))
        assert lasting.ask("SELECT 1") == [[b"1"]]
        wait_until(lambda: is_settled(front), what="the end of the rush")
        wait_until(lambda: can_log_in(front), what="a place for somebody who means it")
        assert number_in_lists(front, "login_clients") in (299, 300)
        for _ in range(50):
            with Wire(front.port) as client:
                assert client.login().ask("SELECT 1") == [[b"1"]]
        assert lasting.ask("SELECT 1") == [[b"1"]]
        told = [line for line in front.log_text().splitlines() if "max_login_clients = 300" in line]
        assert 1 <= len(told) < 100 and "were refused" in told[0]
        # Who was refused was told so; by SQLSTATE, whatever it had sent.
        refused = read_to_the_end(half[1000])
        assert b"C53300\0" in refused and b"max_login_clients" in refused
    wait_until(lambda: number_in_lists(front, "login_clients") == 0, what="nobody logging in")
    wait_until(lambda: front.descriptors <= before + 5, what="descriptors given back")


def test_a_place_in_time_is_kept(sluices: Start) -> None:
    """As many honest logins at once as there are places, and more than is usual: none is refused."""
    front: Sluice = sluices(max_client_conn=1500)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Wire(front.port)) for _ in range(800)]
        for client in clients:
            client.send(STARTUP)
        for client in clients:
            letter, body = client.next()
            assert letter == b"R", wire.fields(body)


def test_silent_visitors_do_not_keep_health_checks_out(sluices: Start, place: Place) -> None:
    port = place.port()
    front: Sluice = sluices(http_port=port)
    with contextlib.ExitStack() as stack:
        for _ in range(300):  # more than are served at once
            stack.enter_context(socket.create_connection((HOST, port), 30))
        with urllib.request.urlopen(f"http://{HOST}:{port}/health/liveness", timeout=60) as answer:
            assert answer.status == 200
    assert front.is_alive

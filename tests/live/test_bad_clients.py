"""Garbage, truncated, oversized, slow and hostile clients: each is refused, and nobody else notices."""

from __future__ import annotations

import os
import random
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Iterator

import pytest
from kit import wire
from kit.company import Neighbour, neighbour
from kit.place import HOST, wait_until
from kit.sluice import Sluice
from kit.wire import Wire

Start = Any
STARTUP = wire.startup(user="app", database="app", application_name="truncated")


def half_close(client: socket.socket) -> None:
    """Say that nothing more will come; the other side may have closed already, which is as good."""
    try:
        client.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@pytest.fixture(scope="module")
def front(module_sluices: Start, tls: Path) -> Sluice:
    return module_sluices(max_client_conn=3000, client_tls_sslmode="prefer", client_tls_key_file=f"{tls}/server.key",
                          client_tls_cert_file=f"{tls}/server.crt", auth_type="trust", tcp_defer_accept=0,
                          log_connections=0, log_disconnections=0, log_pooler_errors=0)


@pytest.fixture(autouse=True)
def company(front: Sluice) -> Iterator[Neighbour]:
    """Works beside every test of this module, and is looked at afterwards."""
    with neighbour(front.connect) as client:
        yield client


def whole_session() -> bytes:
    """What a client sends in a short life, with every kind of message in it."""
    return b"".join([
        STARTUP, wire.query("SELECT 1"), wire.parse("s", "SELECT $1::text", (25,)), wire.describe("S", "s"),
        wire.bind("p", "s", (b"value",)), wire.describe("P", "p"), wire.execute("p"), wire.close("P", "p"),
        wire.close("S", "s"), wire.SYNC, wire.FLUSH, wire.function_call(1317, b"x"), wire.parse("", "SELECT 2"), wire.bind(),
        wire.execute(), wire.SYNC, wire.query("COPY (SELECT 1) TO STDOUT"), wire.query("BEGIN"), wire.query("COMMIT")])


def raw(front: Sluice) -> socket.socket:
    return socket.create_connection((HOST, front.port), wire.TIMEOUT)


END = wire.message(b"C", b"COMMIT\0") + wire.message(b"Z", b"I")


def answer(client: socket.socket) -> bytes:
    """To a whole session."""
    heard = b""
    while not heard.endswith(END):
        more = client.recv(65536)
        assert more, heard
        heard += more
    client.sendall(wire.TERMINATE)
    return heard


def drain(client: socket.socket) -> bytes:
    """What comes until the other side closes."""
    heard = b""
    try:
        while more := client.recv(65536):
            heard += more
    except ConnectionResetError:
        pass
    return heard


def test_garbage_as_first_bytes(front: Sluice) -> None:
    generator = random.Random(1)
    openings = [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"SSH-2.0-OpenSSH_9.0\r\n", b"\0" * 8, b"\xff" * 1000, b"\r\n\r\n\r\n\r\n",
                struct.pack("!ii", 8, 0), struct.pack("!ii", 2**31 - 1, 196608), struct.pack("!ii", -1, 196608),
                struct.pack("!ii", 4, 196608), struct.pack("!ii", 100000, 196608) + b"x" * 100000,
                struct.pack("!ii", 9, 196608) + b"x", struct.pack("!ii", 12, 2 << 16) + b"\0\0\0\0",
                struct.pack("!ii", 12, 4 << 16) + b"\0\0\0\0", struct.pack("!ii", 8, 80877102),
                struct.pack("!iii", 12, 80877102, 1)]
    openings += [generator.randbytes(generator.randrange(1, 3000)) for _ in range(60)]
    for opening in openings:
        with raw(front) as client:
            client.sendall(opening)
            half_close(client)
            heard = drain(client)
            assert heard == b"" or heard[:1] in b"EvNS\x15", (opening[:20], heard[:60])


def test_a_refusal_is_an_error_with_an_sqlstate(front: Sluice) -> None:
    def refusal(opening: bytes) -> dict[str, str]:
        with Wire(front.port) as client:
            return client.send(opening).refused()

    assert refusal(struct.pack("!ii", 8, 2 << 16))["C"] == "0A000"
    assert refusal(struct.pack("!ii", 8, 4 << 16))["C"] == "0A000"
    assert refusal(struct.pack("!ii", 9, 3 << 16) + b"x")["C"] == "08P01"
    assert refusal(wire.startup(database="app"))["C"] == "28000"
    assert refusal(wire.startup(user="x" * 500, database="app"))["C"] == "28000"
    assert refusal(wire.startup(user="app", database="app", **{f"p{i}": "x" for i in range(200)}))["C"] == "54000"
    assert refusal(struct.pack("!ii", 1 << 20, 3 << 16))["C"] == "08P01"


def test_cut_off_at_every_point(front: Sluice) -> None:
    session = whole_session()
    for at in range(1, len(session)):
        with raw(front) as client:
            client.sendall(session[:at])
            if at % 2:
                half_close(client)
    with raw(front) as client:
        client.sendall(session)
        answer(client)


def test_split_at_every_point(front: Sluice) -> None:
    """The same answer, however the bytes come."""
    session = whole_session()
    with raw(front) as client:
        client.sendall(session)
        expected = mask(answer(client))
    for at in range(1, len(session), 3):
        with raw(front) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.sendall(session[:at])
            time.sleep(0.001)
            client.sendall(session[at:])
            assert mask(answer(client)) == expected, at


def mask(heard: bytes) -> bytes:
    """Without the key, which differs from client to client."""
    at = heard.index(b"K\0\0\0\x0c")
    return heard[:at] + heard[at + 13:]


def test_one_byte_at_a_time(front: Sluice) -> None:
    session = whole_session()
    with raw(front) as whole, raw(front) as slow:
        slow.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        whole.sendall(session)
        for at in range(len(session)):
            slow.sendall(session[at:at + 1])
            if at < 60:  # slowly during the login, where a client costs something
                time.sleep(0.05)
        assert mask(answer(slow)) == mask(answer(whole))


@pytest.mark.parametrize("message", [
    b"Q" + struct.pack("!i", 3), b"Q" + struct.pack("!i", 0), b"Q" + struct.pack("!i", -1), b"\0\0\0\0\x04", b"\xff" * 20,
    b"z" + struct.pack("!i", 4), b"p" + struct.pack("!i", 4), wire.message(b"B", b"no end"),
    wire.message(b"P", b"no end"), wire.message(b"D", b"X\0"), wire.message(b"D", b"S"), wire.message(b"C", b"S no end"),
    wire.message(b"E", b""), b"D" + struct.pack("!i", 2**30), wire.message(b"F", b"short"), wire.message(b"B", b"\0"),
    wire.message(b"P", b"name\0SELECT 1\0\x7f\xff"), b"B" + struct.pack("!i", 2**31 - 1) + b"x" * 200000,
], ids=lambda message: repr(bytes(message[:12])))
def test_malformed_messages(front: Sluice, message: bytes) -> None:
    """The client is cut, or hears the server's own error; nobody else is answered by it."""
    with Wire(front.port) as client:
        client.login()
        try:
            client.send(message, wire.SYNC, wire.query("SELECT 1"))
            half_close(client.socket)
        except OSError:
            pass
        heard = client.closed()
        assert [wire.fields(body) for letter, body in heard if letter == b"E"] or not heard


def test_a_megabyte_of_garbage_after_the_login(front: Sluice) -> None:
    generator = random.Random(2)
    for _ in range(5):
        with Wire(front.port) as client:
            client.login()
            try:
                client.send(generator.randbytes(1 << 20))
            except OSError:
                pass
            client.closed()


def random_message(generator: random.Random) -> bytes:
    """Right letters mostly, right bodies often."""
    letter = generator.choice([b"P", b"B", b"D", b"E", b"C", b"S", b"H", b"F", b"d", b"c", b"f", b"Q"])
    return generator.choice([
        wire.message(letter, generator.randbytes(generator.randrange(0, 60))),
        wire.message(letter, b"\0" * generator.randrange(0, 20)),
        wire.message(letter, b"x" * generator.choice([9996, 10001, 70000])),
        wire.query("COPY random_copy FROM STDIN"), wire.query("SELECT 1"), wire.query("BEGIN"), wire.query("SELECT nonsense"),
        wire.query("COPY (SELECT 1) TO STDOUT"), wire.query("DISCARD ALL"), wire.query("SET work_mem = '5MB'"),
        wire.parse("", "COPY random_copy FROM STDIN"), wire.parse("", "SELECT 1"), wire.parse("s", "SELECT 2"),
        wire.bind(), wire.bind("", "s"), wire.execute(), wire.describe("S", "s"), wire.close("S", "s"), wire.SYNC, wire.SYNC])


@pytest.mark.parametrize("seed", range(int(os.environ.get("PGSLUICE_SEEDS", "2"))))
@pytest.mark.parametrize("mode, prepared", [("transaction", 200), ("transaction", 0), ("statement", 2), ("session", 200)])
def test_random_messages_harm_nobody_else(sluices: Start, mode: str, prepared: int, seed: int) -> None:
    """One server for all: what a hostile client leaves on it would be the answer to the next one's question."""
    front: Sluice = sluices(auth_type="trust", default_pool_size=1, pool_mode=mode, max_prepared_statements=prepared,
                            log_connections=0, log_disconnections=0, log_pooler_errors=0)
    generator = random.Random(seed)
    victim: Wire | None = None
    for number in range(100):
        sent = [random_message(generator) for _ in range(generator.randrange(1, 12))]
        with Wire(front.port) as client:
            client.login()
            try:
                for each in sent:
                    client.send(each)
                half_close(client.socket)
            except OSError:
                pass
            if victim is None:
                if mode == "session":
                    client.close()  # else it keeps the only server
                victim = Wire(front.port).login()
            first, last = ("SELECT 1", "TDCZ") if mode == "statement" else ("BEGIN", "CZ")
            victim.send(wire.query(first), wire.parse("", "SELECT $1"), wire.bind(values=(b"mine",)), wire.describe("P"),
                        wire.execute(), wire.SYNC, wire.query(first.replace("BEGIN", "COMMIT")))
            expected = last + "12TDCZ" + last
            try:
                heard = wire.letters(victim.ready() + victim.ready() + victim.ready())
            except (TimeoutError, wire.Closed) as problem:
                heard = repr(problem)
            assert heard == expected, (number, heard, victim.heard[-12:], sent)
            if mode == "session":
                victim.close()
                victim = None
            elif number % 3 == 0:
                client.abort()
            else:
                client.closed()
    if victim:
        victim.close()


def test_plain_bytes_behind_an_sslrequest(front: Sluice) -> None:
    """CVE-2021-23214: nothing of it may be taken for the client's."""
    with Wire(front.port) as client:
        client.send(wire.SSL_REQUEST + STARTUP)
        error = client.refused()
        assert error["C"] == "08P01" and "unencrypted" in error["M"]
    with Wire(front.port) as client:
        client.send(wire.GSSENC_REQUEST + STARTUP)
        assert client.refused()["C"] == "08P01"


def test_garbage_instead_of_a_tls_handshake(front: Sluice) -> None:
    generator = random.Random(4)
    for garbage in (b"\0", b"\x16\x03\x01\xff\xff" + b"x" * 70000, generator.randbytes(5000), STARTUP, b"\x16\x03\x01\0\0"):
        with raw(front) as client:
            client.sendall(wire.SSL_REQUEST)
            assert client.recv(1) == b"S"
            client.sendall(garbage)
            half_close(client)
            drain(client)
        with raw(front) as client:  # the same without asking first
            client.sendall(b"\x16\x03" + garbage)
            half_close(client)
            drain(client)


def test_sslrequest_again_and_again(front: Sluice) -> None:
    with Wire(front.port) as client:
        client.send(wire.GSSENC_REQUEST)
        assert client.exactly(1) == b"N"
        client.send(wire.GSSENC_REQUEST)
        assert client.refused()["C"] == "08P01"
    with Wire(front.port) as client:
        client.tls()
        client.send(wire.SSL_REQUEST)
        assert client.refused()["C"] == "08P01"


HALF_LOGINS = """
import resource, socket, sys
port, startup, ssl_request = int(sys.argv[1]), bytes.fromhex(sys.argv[2]), bytes.fromhex(sys.argv[3])
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
halves = []
for number in range(2500):
    half = socket.create_connection(("127.0.0.1", port), 30)
    half.sendall((startup[:number % len(startup)], ssl_request, startup)[number % 3])
    halves.append(half)
print("ready", flush=True)
sys.stdin.read()
"""


def test_thousands_of_half_logins(front: Sluice, company: Neighbour) -> None:
    before = front.descriptors
    # In a process of its own: psycopg waits by select(), which ends at descriptor 1023.
    with subprocess.Popen([sys.executable, "-c", HALF_LOGINS, str(front.port), STARTUP.hex(), wire.SSL_REQUEST.hex()],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as crowd:
        assert crowd.stdin and crowd.stdout
        assert crowd.stdout.readline() == b"ready\n"
        company.works_on()
        crowd.stdin.close()
        crowd.wait(60)
    wait_until(lambda: front.descriptors <= before + 25, what="descriptors given back")


def test_who_never_reads(front: Sluice, company: Neighbour) -> None:
    """Asks for much and takes nothing: the process does not collect it."""
    memory = resident(front)
    clients = []
    for _ in range(8):
        client = Wire(front.port).login()
        client.send(wire.query("SELECT repeat('x', 1000000) FROM generate_series(1, 100)"))
        clients.append(client)
    for _ in range(5):
        company.works_on()
    assert resident(front) - memory < 64 << 20
    for client in clients:
        client.abort()


def resident(front: Sluice) -> int:
    """Bytes."""
    for line in Path(f"/proc/{front.pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


def test_who_floods_with_syncs(front: Sluice, company: Neighbour) -> None:
    """Nothing is ever read of the answers: at some point nothing more is taken either."""
    with Wire(front.port) as client:
        client.login()
        client.socket.settimeout(1)
        with pytest.raises(TimeoutError):
            while True:
                client.send(wire.SYNC * 100000)
        company.works_on()
    with Wire(front.port) as client:
        client.login()
        client.ask("BEGIN")
        client.socket.settimeout(1)
        with pytest.raises(TimeoutError):
            while True:
                client.send((wire.parse("", "SELECT 1") + wire.bind() + wire.execute() + wire.SYNC) * 5000)
        company.works_on()


def test_reserved_statement_names(front: Sluice) -> None:
    with Wire(front.port) as client:
        client.login()
        client.send(wire.parse("mine", "SELECT 'secret'"), wire.SYNC).ready()
        for number in range(30):
            with Wire(front.port) as other:
                other.login()
                other.send(wire.bind("", f"pgsluice_{number}"), wire.execute(), wire.SYNC)
                heard = other.until(b"E")
                assert not [body for letter, body in heard if letter == b"D"]

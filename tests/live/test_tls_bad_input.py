"""TLS that is broken, cut off, begun and not ended, or of another kind, on both hops; nobody else notices."""

from __future__ import annotations

import contextlib
import random
import socket
import ssl
import struct
import threading
from pathlib import Path
from typing import Any, Callable, Iterator

import psycopg
import pytest
from kit import wire
from kit.company import Neighbour, neighbour
from kit.fake import FakePostgres, Session, one_row
from kit.place import HOST, wait_until
from kit.sluice import Sluice
from kit.wire import Closed, Wire

Start = Any


@pytest.fixture(scope="module")
def front(module_sluices: Start, tls: Path) -> Sluice:
    return module_sluices(max_client_conn=3000, client_tls_sslmode="allow", auth_type="trust", client_login_timeout="3s",
                          client_tls_key_file=f"{tls}/server.key", client_tls_cert_file=f"{tls}/server.crt")


@pytest.fixture(scope="module")
def company(front: Sluice) -> Iterator[Neighbour]:
    """Works over TLS beside every test of this module."""
    with neighbour(lambda: front.connect(sslmode="require")) as client:
        yield client


@pytest.fixture(autouse=True)
def nobody_was_hurt(company: Neighbour) -> Iterator[None]:
    yield
    assert company.problem is None


class Raw:
    """TLS whose records can be held, cut and forged. What is received is fed to OpenSSL by read()."""

    def __init__(self, port: int, direct: bool = False, alpn: list[str] | None = None, **versions: Any) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if alpn:
            context.set_alpn_protocols(alpn)
        for name, value in versions.items():
            if name == "ciphers":
                context.set_ciphers(value)
            else:
                setattr(context, name, value)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        self.socket = socket.create_connection((HOST, port), wire.TIMEOUT)
        if not direct:
            self.socket.sendall(wire.SSL_REQUEST)
            assert self.socket.recv(1) == b"S"

    def __enter__(self) -> "Raw":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def hello(self) -> bytes:
        """The first record, not sent yet."""
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self.outgoing.read()

    def _step(self, action: Callable[[], Any]) -> Any:
        while True:
            try:
                done = action()
            except ssl.SSLWantReadError:
                done = None
            if said := self.outgoing.read():
                self.socket.sendall(said)
            if done is not None:
                return done
            more = self.socket.recv(65536)
            if not more:
                raise Closed("in the middle of TLS")
            self.incoming.write(more)

    def shake_hands(self) -> "Raw":
        self._step(lambda: self.tls.do_handshake() or True)
        return self

    def records(self, data: bytes) -> bytes:
        """As one or more records, not sent."""
        self.tls.write(data)
        return self.outgoing.read()

    def login(self) -> "Raw":
        self.shake_hands()
        self.socket.sendall(self.records(wire.startup(user="app", database="app")))
        heard = b""
        while not heard.endswith(wire.message(b"Z", b"I")):
            heard += self._step(lambda: self.tls.read(65536))
        return self

    def last(self, data: bytes) -> None:
        """Nothing follows; the other side may have closed already, which is as good."""
        try:
            self.socket.sendall(data)
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def ends(self) -> bytes:
        """What comes until the other side closes, which it must."""
        heard = b""
        try:
            while more := self.socket.recv(65536):
                heard += more
        except ConnectionResetError:
            pass
        return heard


ALERT, HANDSHAKE, DATA = 21, 22, 23


def record(kind: int, body: bytes, version: int = 0x0303, length: int | None = None) -> bytes:
    return struct.pack("!BHH", kind, version, len(body) if length is None else length) + body


GARBAGE = {
    "nothing encrypted": record(DATA, b"hello, here I am in clear text"),
    "noise": random.Random(7).randbytes(3000),
    "a record that is too long": record(DATA, b"x" * 20000, length=20000),
    "the longest record": record(DATA, b"x" * 16640),
    "an empty record": record(DATA, b""),
    "an unknown kind": record(99, b"x" * 40),
    "an unknown version": record(DATA, b"x" * 40, version=0x0909),
    "SSL 2": b"\x80\x2e\x01\x00\x02" + b"x" * 44,
    "plain PostgreSQL": wire.startup(user="app", database="app"),
    "an alert in clear": record(ALERT, b"\x02\x28"),
    "a handshake in clear": record(HANDSHAKE, b"\x14\x00\x00\x0c" + b"x" * 12),
    "a change of ciphers": record(20, b"\x01") * 50,
    "HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


@pytest.mark.parametrize("case", GARBAGE)
def test_garbage_after_a_valid_hello(front: Sluice, case: str) -> None:
    with Raw(front.port) as client:
        client.last(client.hello() + GARBAGE[case])
        client.ends()


@pytest.mark.parametrize("case", [case for case in GARBAGE if case != "a change of ciphers"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda version: version.name)
def test_garbage_between_good_records(front: Sluice, version: ssl.TLSVersion, case: str) -> None:
    """What stood before it may have been done; what stands behind it must not be."""
    with Raw(front.port, maximum_version=version) as client:
        client.login()
        before, behind = client.records(wire.query("SELECT 1")), client.records(wire.query("CREATE TABLE garbage_was_done ()"))
        client.last(before + GARBAGE[case] + behind)
        client.ends()
    with front.connect() as connection:
        assert connection.execute("SELECT to_regclass('garbage_was_done')").fetchone() == (None,)


def test_flipped_bits(front: Sluice) -> None:
    generator = random.Random(11)
    for _ in range(30):
        with Raw(front.port) as client:
            hello = bytearray(client.hello())
            for _ in range(generator.randrange(1, 4)):
                hello[generator.randrange(len(hello))] ^= 1 << generator.randrange(8)
            client.last(hello)
            client.ends()
    for _ in range(10):
        with Raw(front.port) as client:
            client.login()
            data = bytearray(client.records(wire.query("CREATE TABLE garbage_was_done ()")))
            data[generator.randrange(5, len(data))] ^= 1 << generator.randrange(8)
            client.last(data)
            client.ends()
    with front.connect() as connection:
        assert connection.execute("SELECT to_regclass('garbage_was_done')").fetchone() == (None,)


def test_truncated_records(front: Sluice) -> None:
    """At every few bytes: the connection ends in the middle of the hello, or of a query."""
    with Raw(front.port) as client:
        hello = client.hello()
    for cut in range(0, len(hello), 40):
        with Raw(front.port) as client:
            client.last(client.hello()[:cut])
            client.ends()
    for cut in (1, 4, 5, 6, 20, -17, -1):
        with Raw(front.port) as client:
            client.login()
            client.last(client.records(wire.query("CREATE TABLE garbage_was_done ()"))[:cut])
            client.ends()
    with front.connect() as connection:
        assert connection.execute("SELECT to_regclass('garbage_was_done')").fetchone() == (None,)


def test_records_that_come_byte_by_byte(front: Sluice) -> None:
    with Raw(front.port) as client:
        client.login()
        for byte in client.records(wire.query("SELECT 'slow'")):
            client.socket.sendall(bytes([byte]))
        heard = b""
        while not heard.endswith(wire.message(b"Z", b"I")):
            heard += client._step(lambda: client.tls.read(65536))
        assert b"slow" in heard


def test_the_end_in_the_middle(front: Sluice) -> None:
    """close_notify within a message, within a transaction, and while an answer is on its way."""
    for opening in (wire.query("SELECT 1")[:7], wire.query("BEGIN; SELECT 1"), wire.query("SELECT pg_sleep(0.05)"), b""):
        with Raw(front.port) as client:
            client.login()
            client.socket.sendall(client.records(opening) if opening else b"")
            with pytest.raises((ssl.SSLWantReadError, ssl.SSLSyscallError)):
                client.tls.unwrap()
            client.socket.sendall(client.outgoing.read())
            client.ends()


@pytest.mark.filterwarnings("ignore:.*TLSv1")
def test_old_protocols_are_refused(front: Sluice) -> None:
    old: dict[str, Any] = {"minimum_version": ssl.TLSVersion.TLSv1, "maximum_version": ssl.TLSVersion.TLSv1_1,
                           "ciphers": "ALL:@SECLEVEL=0"}
    with Raw(front.port, **old) as client:
        with pytest.raises(ssl.SSLError, match="(?i)protocol.version"):
            client.shake_hands()
    assert front.wait_log("TLS handshake with 127.0.0.1 failed: .*unsupported protocol")


def test_direct_tls(front: Sluice) -> None:
    with Raw(front.port, direct=True, alpn=["postgresql"]) as client:
        client.login()
    with Raw(front.port, direct=True, alpn=["h2", "postgresql"]) as client:
        client.login()
    for protocols in (["http/1.1"], ["postgresql2"], ["h2", "http/1.1"]):
        for direct in (True, False):
            with Raw(front.port, direct=direct, alpn=protocols) as client:
                with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
                    client.shake_hands()
    with Raw(front.port, direct=True) as client:
        client.shake_hands()
        said = client._step(lambda: client.tls.read(65536))
        assert said[:1] == b"E" and wire.fields(said[5:])["C"] == "08P01"
        client.ends()


def test_requests_for_encryption_that_do_not_fit(front: Sluice) -> None:
    """Plain bytes behind them may have come from somebody in the middle."""
    startup = wire.startup(user="app", database="app")
    for opening in (wire.SSL_REQUEST + startup, wire.SSL_REQUEST + b"\x16", wire.SSL_REQUEST + wire.SSL_REQUEST,
                    wire.GSSENC_REQUEST + startup, wire.GSSENC_REQUEST + wire.SSL_REQUEST,
                    wire.GSSENC_REQUEST + wire.GSSENC_REQUEST):
        with Wire(front.port) as client:
            assert client.send(opening).refused()["C"] == "08P01"
    with Wire(front.port) as client:  # a second time, inside
        client.tls().send(wire.SSL_REQUEST)
        assert client.refused()["C"] == "08P01"
    with Wire(front.port) as client:
        client.send(wire.GSSENC_REQUEST)
        assert client.exactly(1) == b"N"
        assert client.send(wire.GSSENC_REQUEST).refused()["C"] == "08P01"
    with Wire(front.port) as client:
        client.send(wire.GSSENC_REQUEST)
        assert client.exactly(1) == b"N"
        assert client.tls().login().ask("SELECT 1") == [[b"1"]]


def test_handshakes_that_stop_half_way_by_the_thousand(sluices: Start, tls: Path) -> None:
    """They end at client_login_timeout, and everything that they held is given back."""
    front = sluices(max_client_conn=3000, client_tls_sslmode="allow", auth_type="trust", client_login_timeout="12s",
                    client_tls_key_file=f"{tls}/server.key", client_tls_cert_file=f"{tls}/server.crt")
    before = front.descriptors
    with Raw(front.port) as client:
        hello = client.hello()
    stopped: list[socket.socket] = []
    try:
        with neighbour(lambda: front.connect(sslmode="require")) as company:
            for number in range(1000):
                each = socket.create_connection((HOST, front.port), wire.TIMEOUT)
                stopped.append(each)
                each.sendall(wire.SSL_REQUEST)
                if number % 4:
                    assert each.recv(1) == b"S"
                    each.sendall(hello[:len(hello) * (number % 4) // 3])
                if number % 100 == 0:
                    company.works_on()
        assert front.descriptors >= 1000
        for each in stopped:
            with contextlib.suppress(ConnectionResetError):  # it left bytes of ours unread
                while each.recv(65536):
                    pass
    finally:
        for each in stopped:
            each.close()
    wait_until(lambda: front.descriptors <= before + 5, what="the descriptors to be given back")


# Servers.


@pytest.fixture(scope="module")
def server_tls(tls: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{tls}/server.crt", f"{tls}/server.key")
    return context


def over_tls(session: Session, context: ssl.SSLContext) -> ssl.SSLSocket:
    session.exactly(8)
    session.send(b"S")
    session.socket = context.wrap_socket(session.socket, server_side=True)
    return session.socket


LETTERS = {
    "more behind S": (b"S" + wire.message(b"R", b"\0\0\0\0"), "answered an SSLRequest with something else"),
    "a hello behind S": (b"S\x16\x03\x03", "answered an SSLRequest with something else"),
    "more behind N": (b"N" + wire.message(b"R", b"\0\0\0\0"), "answered an SSLRequest with something else"),
    "another letter": (b"G", "answered an SSLRequest with something else"),
    "NUL": (b"\0", "answered an SSLRequest with something else"),
    "an error": (wire.message(b"E", b"SFATAL\0Mthese are not to be believed\0\0"), "answered an SSLRequest with an error"),
    "N where it is required": (b"N", "server does not offer TLS"),
    "S and noise": (b"S", "TLS"),
}


def test_tls_is_switched_off_before_the_answer(sluices: Start, place: Any) -> None:
    """Who waits for that server waits for the next one, and hears nothing of it."""
    asked, reloaded = threading.Event(), threading.Event()

    def script(session: Session) -> None:
        if session.number == 0:
            session.exactly(8)
            asked.set()
            reloaded.wait(60)
            session.send(b"S")
            session.wait_closed()
        else:
            session.login()
            session.serve()

    with FakePostgres(place.port(), script) as fake:
        front: Sluice = sluices(databases={"*": f"host={HOST} port={fake.port}"}, server_tls_sslmode="prefer",
                                auth_type="trust", query_wait_timeout="20s")
        with Wire(front.port) as client:
            client.send(wire.startup(user="app", database="app"))
            assert asked.wait(30)
            front.write_ini(server_tls_sslmode="disable")
            assert "reloaded" in front.reload()
            reloaded.set()
            assert wire.letters(client.ready())[-1] == "Z"


@pytest.mark.parametrize("case", LETTERS)
def test_answers_to_an_sslrequest(sluices: Start, place: Any, case: str) -> None:
    answer, said = LETTERS[case]

    def script(session: Session) -> None:
        session.exactly(8)
        session.send(answer)
        if answer == b"S":
            session.exactly(5)
            session.send(random.Random(5).randbytes(2000))
        session.wait_closed()

    with FakePostgres(place.port(), script) as fake:
        behind: Sluice = sluices(databases={"*": f"host={HOST} port={fake.port}"}, server_tls_sslmode="require",
                                 auth_type="trust", query_wait_timeout="20s")
        with pytest.raises(psycopg.OperationalError, match=said) as refused:
            behind.connect()
        assert "believed" not in str(refused.value)


def test_a_server_whose_tls_breaks(sluices: Start, place: Any, server_tls: ssl.SSLContext) -> None:
    """In the handshake, in the login, and while a client waits for its answer: never are bytes taken for an answer."""
    breaks: dict[str, Callable[[Session], None]] = {}

    def breaking(function: Callable[[Session], None]) -> None:
        breaks[function.__name__] = function

    def forge(secure: ssl.SSLSocket, data: bytes) -> None:
        """In clear, behind what was encrypted."""
        with socket.socket(fileno=secure.detach()) as plain:
            plain.sendall(data)
            plain.shutdown(socket.SHUT_WR)
            plain.settimeout(30)
            try:
                while plain.recv(65536):
                    pass
            except OSError:
                pass

    @breaking
    def garbage_in_the_login(session: Session) -> None:
        secure = over_tls(session, server_tls)
        session.read_startup()
        forge(secure, record(DATA, wire.message(b"R", b"\0\0\0\0")))

    @breaking
    def garbage_as_an_answer(session: Session) -> None:
        secure = over_tls(session, server_tls)
        session.login()
        session.next_query()
        forge(secure, one_row())

    @breaking
    def closed_in_an_answer(session: Session) -> None:
        over_tls(session, server_tls)
        session.login()
        session.next_query()
        session.send(one_row()[:30])
        session.socket.unwrap() if isinstance(session.socket, ssl.SSLSocket) else None

    @breaking
    def cut_in_the_handshake(session: Session) -> None:
        session.exactly(8)
        session.send(b"S")
        session.exactly(5)
        session.send(record(HANDSHAKE, b"\x02\x00\x10\x00" + b"x" * 20))
        session.socket.shutdown(socket.SHUT_WR)

    for name, script in breaks.items():
        with FakePostgres(place.port(), script) as fake:
            behind: Sluice = sluices(databases={"*": f"host={HOST} port={fake.port}"}, server_tls_sslmode="require",
                                     auth_type="trust", query_wait_timeout="20s")
            with pytest.raises(psycopg.OperationalError):
                with behind.connect() as connection:
                    assert connection.execute("SELECT 1").fetchone() is None, name
            behind.stop()


def test_a_server_that_stops_in_the_handshake(sluices: Start, place: Any) -> None:
    def script(session: Session) -> None:
        session.exactly(8)
        session.send(b"S")
        session.wait_closed()

    with FakePostgres(place.port(), script) as fake:
        behind: Sluice = sluices(databases={"*": f"host={HOST} port={fake.port}"}, server_tls_sslmode="require",
                                 auth_type="trust", query_wait_timeout="20s", server_connect_timeout="1s")
        with pytest.raises(psycopg.OperationalError, match="server_connect_timeout"):
            behind.connect()

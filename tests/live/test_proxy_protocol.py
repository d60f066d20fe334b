"""HAProxy in front: who the client is, its health checks, and who may claim to be a balancer."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
from typing import Any, Iterator

import pytest
from kit import wire
from kit.place import HOST, Place, wait_until
from kit.sluice import Sluice
from kit.wire import Wire

Start = Any

CLIENT = "127.0.0.7"  # where clients of HAProxy are
BALANCER = "127.0.0.9"  # where it connects from
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V1 = b"PROXY TCP4 192.0.2.7 10.0.0.5 56324 5432\r\n"


def v2(command: int, family: int, body: bytes) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(body)) + body


V2 = v2(0x21, 0x11, socket.inet_aton("192.0.2.7") + socket.inet_aton("10.0.0.5") + struct.pack("!HH", 56324, 5432))
V2_IPV6 = v2(0x21, 0x21, socket.inet_pton(socket.AF_INET6, "2001:db8::7") * 2 + struct.pack("!HH", 56324, 5432))
LOCAL = v2(0x20, 0, b"")


class Haproxy:
    """One frontend for each name; its way to pgsluice as HAProxy writes it, .port[name] is for clients."""

    def __init__(self, place: Place, **servers: str) -> None:
        self.dir = place.make_dir("h")
        self.port = {name: place.port() for name in servers}
        text = "defaults\n mode tcp\n timeout connect 30s\n timeout client 60s\n timeout server 60s\n timeout check 30s\n"
        for name, server in servers.items():
            text += f"listen {name}\n bind {HOST}:{self.port[name]}\n {server}\n"
        path = place.write(self.dir / "haproxy.cfg", text)
        self.process = place.spawn([shutil.which("haproxy") or "haproxy", "-db", "-f", str(path)], cwd=self.dir,
                                   log=self.dir / "log")
        wait_until(self._listens, what="HAProxy")

    def _listens(self) -> bool:
        assert self.process.poll() is None, (self.dir / "log").read_text()
        try:
            for port in self.port.values():
                socket.create_connection((HOST, port), 5).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        self.process.send_signal(signal.SIGUSR1)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@pytest.fixture(scope="module")
def front(module_sluices: Start, tls: Any) -> Sluice:
    return module_sluices(proxy_protocol_from=f"{BALANCER}, 192.0.2.0/24, unix", listen_addr=f"{HOST},127.0.0.8",
                          http_port=module_sluices.place.port(), admin_users="app", stats_users="app",
                          client_tls_sslmode="allow", client_tls_key_file=tls / "server.key",
                          client_tls_cert_file=tls / "server.crt", application_name_add_host=1)


@pytest.fixture(scope="module")
def haproxy(front: Sluice, place: Place) -> Iterator[Haproxy]:
    if not (shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")):
        pytest.skip("haproxy is not installed")
    to, unix = f"server pg {HOST}:{front.port} source {BALANCER}", f"server pg unix@{front.dir}/.s.PGSQL.{front.port}"
    each = Haproxy(place, v1=f"{to} send-proxy", v2=f"{to} send-proxy-v2", v2_more=f"{to} send-proxy-v2 proxy-v2-options crc32c",
                   by_unix=f"{unix} send-proxy-v2", bare=to)
    yield each
    each.stop()


def addresses(front: Sluice, **given: Any) -> dict[str, tuple[str, int]]:
    """By application_name, as SHOW CLIENTS has them. We ask from an address that is not listed."""
    with Wire(front.port, host="127.0.0.8") as console:
        console.login(database="pgsluice")
        rows = console.ask("SHOW CLIENTS")
        return {row[18].decode(): (row[5].decode(), int(row[6])) for row in rows if row[18]}


@pytest.mark.parametrize("way", ("v1", "v2", "v2_more", "by_unix"))
def test_the_clients_own_address_counts(front: Sluice, haproxy: Haproxy, way: str) -> None:
    since = len(front.log_text())
    with Wire(haproxy.port[way], source=CLIENT) as client:
        where = client.socket.getsockname()
        client.login(application_name=way)
        name = f"{way} - {where[0]}:{where[1]}"
        assert addresses(front)[name] == where
        assert client.ask("SHOW application_name") == [[name.encode()]]
        via = "unix" if way == "by_unix" else BALANCER
        assert f"from={where[0]}:{where[1]} via={via} " in front.wait_log("login pool=app/app .* via=", since)


def test_a_wrong_password_is_the_clients(front: Sluice, haproxy: Haproxy) -> None:
    since = len(front.log_text())
    with Wire(haproxy.port["v2"], source=CLIENT) as client, pytest.raises(AssertionError, match="28P01"):
        client.login(password="wrong")
    assert f'login failed from={CLIENT} reason="wrong password" user="app"' in front.wait_log("failed", since)


@pytest.mark.parametrize("way", ("v1", "v2", "by_unix"))
def test_tls_goes_through_to_pgsluice(front: Sluice, haproxy: Haproxy, way: str) -> None:
    with Wire(haproxy.port[way], source=CLIENT) as client:
        assert client.tls().login(application_name="tls").ask("SELECT 1") == [[b"1"]]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["postgresql"])
    with Wire(haproxy.port[way], source=CLIENT) as client:
        client.socket = context.wrap_socket(client.socket, server_hostname="localhost")
        assert client.login(application_name="direct").ask("SELECT 1") == [[b"1"]]


@pytest.mark.parametrize("minor", (0, 2))
def test_a_cancel_request_goes_through(front: Sluice, haproxy: Haproxy, minor: int) -> None:
    with Wire(haproxy.port["v2"]) as client:
        client.login(minor=minor).send(wire.query("DO $$ BEGIN RAISE NOTICE 'begun'; PERFORM pg_sleep(600); END $$"))
        client.until(b"N")
        with Wire(haproxy.port["v1"]) as asking:
            assert asking.send(wire.cancel(client.pid, client.key)).closed() == []
        assert client.error()["C"] == "57014"


def test_without_its_header_a_balancer_is_refused(front: Sluice, haproxy: Haproxy) -> None:
    since = len(front.log_text())
    for way in (lambda: Wire(haproxy.port["bare"]), lambda: Wire(front.port, source=BALANCER),
                lambda: Wire(0, unix=f"{front.dir}/.s.PGSQL.{front.port}")):
        for first in (wire.startup(user="app", database="app"), wire.SSL_REQUEST, wire.cancel(1, b"abcd"), b"\x16\3\1\0\1\1"):
            with way() as client:
                error = client.send(first).refused()
                assert error["C"] == "08P01" and "without the PROXY header that proxy_protocol_from demands" in error["M"]
    assert f"connection from {BALANCER} without the PROXY header" in front.log_text()[since:]


def test_nobody_else_may_claim_an_address(front: Sluice) -> None:
    for header in (V1, V2, LOCAL):
        with Wire(front.port) as client:
            error = client.send(header + wire.startup(user="app", database="app")).refused()
            assert error["C"] == "08P01" and error["M"] == f"PROXY header from {HOST}, which proxy_protocol_from does not list"
    with Wire(front.port, source=BALANCER) as client:  # a second one behind the first is the client's
        error = client.send(V1 + V1).refused()
        assert error["M"] == "invalid startup packet"


@pytest.mark.parametrize("header, address", (
    (V1, "192.0.2.7"), (V2, "192.0.2.7"), (V2_IPV6, "2001:db8::7"), (LOCAL, BALANCER), (b"PROXY UNKNOWN\r\n", BALANCER),
    (v2(0x21, 0x31, bytes(216)), BALANCER), (v2(0x21, 0x11, V2[16:] + bytes(60000)), "192.0.2.7")))
def test_headers_by_hand_in_pieces(front: Sluice, header: bytes, address: str) -> None:
    with Wire(front.port, source=BALANCER) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pieces = [header[i:i + 1] for i in range(0, 40)] + [header[40:]]
        for piece in pieces:
            client.send(piece)
        client.login(application_name="pieces")
        found = {name: where for name, where in addresses(front).items() if name.startswith("pieces")}
        assert [where[0] for where in found.values()] == [address]


def test_the_balancers_rights_are_not_its_clients(front: Sluice, haproxy: Haproxy) -> None:
    """HAProxy runs as our own user, who needs no password for the console through the Unix socket."""
    for header in (b"", LOCAL, b"PROXY UNKNOWN\r\n", V1):
        port, unix = (haproxy.port["by_unix"], "") if not header else (0, f"{front.dir}/.s.PGSQL.{front.port}")
        with Wire(port, unix=unix) as client:
            client.send(header + wire.startup(user="pgsluice", database="pgsluice"))
            letter, body = client.next()
            assert letter == b"R" and struct.unpack("!i", body[:4])[0] != 0


def test_malformed_headers(front: Sluice) -> None:
    for header in (V1[:-2] + b"\n", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n", b"PROXY UNKNOWN " + b"x" * 200, v2(0x22, 0x11, V2[16:]),
                   v2(0x21, 0x11, V2[16:27]), b"PROXY TCP4 192.0.2.7\0 10.0.0.5 1 2\r\n"):
        with Wire(front.port, source=BALANCER) as client:
            error = client.send(header).refused()
            assert error["C"] == "08P01" and error["M"] == f"malformed PROXY header from {BALANCER}"


def test_a_reload_changes_who_is_a_balancer(sluices: Start) -> None:
    front: Sluice = sluices()
    with Wire(front.port) as before:
        before.login()
        front.write_ini(proxy_protocol_from="127.0.0.0/8")
        assert "proxy_protocol_from" in front.reload()
        with Wire(front.port) as client:
            assert client.send(wire.startup(user="app", database="app")).refused()["C"] == "08P01"
        with Wire(front.port) as client:
            assert client.send(V1).login().ask("SELECT 1") == [[b"1"]]
        assert before.ask("SELECT 1") == [[b"1"]]
        front.write_ini(proxy_protocol_from="127.0.0.1/8")
        assert "has bits set beyond" in front.reload()


def heard_of(front: Sluice, since: int) -> list[str]:
    """Lines about clients that were logged; the reload makes sure that everything before it is in."""
    front.reload()
    return [line for line in front.log_text()[since:].splitlines() if re.search(r" (warning|error|fatal) | C\d+ ", line)]


def test_who_comes_and_goes_without_a_word_is_not_worth_a_line(front: Sluice) -> None:
    since, failed = len(front.log_text()), front.counter("logins_failed")
    for source, begin in ((HOST, b""), (HOST, wire.SSL_REQUEST), (BALANCER, b""), (BALANCER, V1), (BALANCER, V2 + wire.SSL_REQUEST),
                          (BALANCER, V1[:20]), (HOST, wire.startup(user="app")[:9])):
        for leave in (Wire.close, Wire.abort):
            client = Wire(front.port, source=source).send(begin)
            if begin.endswith(wire.SSL_REQUEST):
                assert client.exactly(1) == b"S"
            leave(client)
    assert heard_of(front, since) == []
    assert front.counter("logins_failed") == failed


def test_health_checks_of_haproxy(front: Sluice, haproxy: Haproxy, place: Place) -> None:
    """`check` connects, with send-proxy it says so; pgsql-check sends a startup packet. None of them is an alarm."""
    since, failed, accepted = len(front.log_text()), front.counter("logins_failed"), front.counter("clients_accepted")
    bare = f"server pg 127.0.0.8:{front.port} check inter 50ms"
    proxied = f"server pg {HOST}:{front.port} source {BALANCER} check inter 50ms"
    checking = Haproxy(place, tcp=bare, v1=f"{proxied} send-proxy", v2=f"{proxied} send-proxy-v2",
                       pgsql=f"option pgsql-check user checker\n {bare}",
                       pgsql_v2=f"option pgsql-check user checker\n {proxied} send-proxy-v2")
    try:
        wait_until(lambda: front.counter("clients_accepted") > accepted + 50, what="some checks")
        log = (checking.dir / "log").read_text()
        assert "DOWN" not in log, log
    finally:
        checking.stop()
    lines = heard_of(front, since)
    left = re.compile(r' info C\d+ left during login user="checker" from=127\.0\.0\.\d:\d+ reason=')
    assert lines and all(left.search(line) for line in lines), lines
    assert front.counter("logins_failed") == failed

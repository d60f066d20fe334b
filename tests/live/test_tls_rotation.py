"""Certificates exchanged under load: nobody is dropped, and who comes anew sees the new one."""

from __future__ import annotations

import shutil
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
from kit import wire
from kit.certs import Certs, shown
from kit.place import Place, wait_until
from kit.postgres import Postgres
from kit.sluice import Sluice
from kit.wire import Wire

Start = Any
LASTING, COMING, ROUNDS = 20, 4, 6


class Worker(threading.Thread):
    """Runs queries over TLS: all on one connection, or each on a new one. Keeps the certificates it was shown."""

    def __init__(self, port: int, context: ssl.SSLContext, is_lasting: bool) -> None:
        super().__init__(daemon=True)
        self.port, self.context, self.is_lasting = port, context, is_lasting
        self.seen: list[str] = []
        self.queries = 0
        self.problem: BaseException | None = None
        self.asked_to_stop = threading.Event()

    def _connect(self) -> Wire:
        client = Wire(self.port)
        client.tls(self.context)
        self.seen.append(shown(client.socket))  # type: ignore[arg-type]
        return client.login()

    def run(self) -> None:
        try:
            while not self.asked_to_stop.is_set():
                with self._connect() as client:
                    while True:
                        number = str(self.queries).encode()
                        assert client.ask(f"SELECT {self.queries}, repeat('x', 20000)") == [[number, b"x" * 20000]]
                        self.queries += 1
                        if not self.is_lasting or self.asked_to_stop.wait(0.005):
                            break
                    client.send(wire.TERMINATE)
        except BaseException as problem:  # noqa: BLE001  (asserted on by the test)
            self.problem = problem


@pytest.fixture(scope="module")
def certs(place: Place) -> Certs:
    certs = Certs(place)
    for name in ("one", "two", "three"):
        certs.issue(name)
    return certs


def shows(port: int, context: ssl.SSLContext) -> bool:
    """A certificate that this context takes."""
    with Wire(port) as client:
        try:
            client.tls(context)
        except ssl.SSLError:
            return False
        return True


def put(certs: Certs, name: str) -> None:
    """In place of what is there, as the tools of a DBA do: one file, then the other."""
    for suffix in ("key", "crt"):
        certs.write(f"used.{suffix}", (certs.dir / f"{name}.{suffix}").read_bytes())


def test_certificates_exchanged_under_load(sluices: Start, certs: Certs) -> None:
    put(certs, "one")
    front: Sluice = sluices(client_tls_sslmode="require", log_connections=0, log_disconnections=0, **certs.for_clients("used"))
    workers = [Worker(front.port, certs.client(), number < LASTING) for number in range(LASTING + COMING)]
    for worker in workers:
        worker.start()
    coming = workers[LASTING:]

    def everybody_goes_on() -> None:
        before = [worker.queries for worker in workers]
        wait_until(lambda: any(worker.problem for worker in workers) or
                   all(worker.queries >= was + 2 for worker, was in zip(workers, before)), 60, "progress of all")
        assert [worker.problem for worker in workers if worker.problem] == []

    try:
        everybody_goes_on()
        names = ["two", "three", "one"] * (ROUNDS // 3)
        for name in names:
            put(certs, name)
            assert "reloaded" in front.reload()
            for worker in coming:
                worker.seen.clear()
            everybody_goes_on()
            # The first of them may have been connected already when the list was cleared.
            assert {seen for worker in coming for seen in worker.seen[1:]} == {certs.fingerprint(name)}
            # Half done: the key is new, the certificate is not yet. That is said, and nothing changes.
            certs.write("used.key", (certs.dir / ("two.key" if name != "two" else "one.key")).read_bytes())
            said = front.reload()
            assert "does not fit certificate file" in said and "reloaded" not in said
            everybody_goes_on()
            assert {worker.seen[-1] for worker in coming} == {certs.fingerprint(name)}
    finally:
        for worker in workers:
            worker.asked_to_stop.set()
        for worker in workers:
            worker.join(60)
    assert [worker.problem for worker in workers if worker.problem] == []
    assert [len(worker.seen) for worker in workers[:LASTING]] == [1] * LASTING  # never was one of them dropped
    assert {worker.seen[0] for worker in workers[:LASTING]} == {certs.fingerprint("one")}


def test_a_servers_certificate_and_authority_exchanged(sluices: Start, place: Place, certs: Certs) -> None:
    """Sessions with the server go on; new ones are checked against the new authority."""
    certs.authority("new_ca")
    certs.issue("new", signer="new_ca")
    directory = place.make_dir("pg_rotation_tls")

    def copy(name: str, to: str) -> None:
        shutil.copyfile(certs.dir / name, directory / to)
        shutil.chown(directory / to, place.uid, place.gid)
        (directory / to).chmod(0o600)

    for name, to in (("one.crt", "server.crt"), ("one.key", "server.key"), ("ca.crt", "ca.crt"), ("ca.crt", "ours.crt")):
        copy(name, to)
    server = Postgres(place, "pg_rotation", tls=Path(directory))
    try:
        front: Sluice = sluices(databases={"postgres": f"host={server.host} port={server.port}"}, secrets={"postgres": "sesame"},
                                server_tls_sslmode="verify-full", server_tls_ca_file=directory / "ours.crt",
                                query_wait_timeout="20s", server_login_retry="100ms")
        who = {"user": "postgres", "dbname": "postgres"}
        with front.connect(**who) as connection, front.connect(**who) as another:
            first = connection.execute("SELECT pg_backend_pid()").fetchone()
            for name, to in (("new.crt", "server.crt"), ("new.key", "server.key"), ("new_ca.crt", "ours.crt")):
                copy(name, to)
            server.sql("SELECT pg_reload_conf()")
            wait_until(lambda: shows(server.port, certs.client(authority="new_ca")), what="the server's new certificate")
            assert "reloaded" in front.reload()
            assert connection.execute("SELECT pg_backend_pid()").fetchone() == first
            with connection.transaction():
                assert connection.execute("SELECT 1").fetchone() == (1,)
                assert another.execute("SELECT pg_backend_pid()").fetchone() != first  # a new one, by the new authority
    finally:
        server.stop()

"""Names of hosts: looked up in time, several addresses, name servers that fail; with a name server of our own."""

from __future__ import annotations

import threading
import time
from typing import Any, Iterator

import psycopg
import pytest
from kit.names import NameServer, Relay, deaf
from kit.place import Place, wait_until
from kit.postgres import PASSWORD, Postgres
from kit.sluice import Sluice

Start = Any


@pytest.fixture
def names(place: Place) -> Iterator[NameServer]:
    server = NameServer(place)
    server.start()
    yield server
    server.close()


@pytest.fixture
def relays(place: Place, postgres: Postgres) -> Iterator[Any]:
    """relays(host, port): an address that leads to the PostgreSQL."""
    started: list[Relay] = []

    def relay(host: str, port: int) -> Relay:
        started.append(Relay(host, port, (postgres.host, postgres.port)))
        started[-1].start()
        return started[-1]

    yield relay
    for each in started:
        each.close()


def console(sluice: Sluice, command: str) -> list[tuple[Any, ...]]:
    with sluice.connect(dbname="pgsluice", user="admin", password=PASSWORD) as connection:
        return connection.execute(command).fetchall()


def start(sluices: Start, names: NameServer, host: str, port: int, **settings: Any) -> Sluice:
    return sluices(databases={"app": f"host={host} port={port}"}, resolv_conf=names.conf, admin_users="admin",
                   secrets={"app": PASSWORD, "admin": PASSWORD}, **settings)


class Worker(threading.Thread):
    """Asks without a pause, and keeps what went wrong."""

    def __init__(self, sluice: Sluice) -> None:
        super().__init__(daemon=True)
        self.sluice, self.errors, self.answers, self.stopping = sluice, [], 0, False
        self.start()

    def run(self) -> None:
        try:
            with self.sluice.connect() as connection:
                while not self.stopping:
                    connection.execute("SELECT 1")
                    self.answers += 1
                    time.sleep(0.002)
        except psycopg.Error as error:
            self.errors.append(str(error))


def test_traffic_follows_a_name_without_an_error(sluices: Start, place: Place, names: NameServer, relays: Any) -> None:
    port = place.port()
    old, new = relays("127.0.0.5", port), relays("127.0.0.6", port)
    names.zone["db.example"] = ["127.0.0.5"]
    sluice = start(sluices, names, "db.example", port, default_pool_size=4)
    workers = [Worker(sluice) for _ in range(8)]
    try:
        wait_until(lambda: all(each.answers > 20 for each in workers) and old.open > 0, 60, "work by the old address")
        assert new.count == 0
        names.zone["db.example"] = ["127.0.0.6"]
        wait_until(lambda: old.open == 0 and new.open > 0, 60, "everybody by the new address")
        before = [each.answers for each in workers]
        wait_until(lambda: all(each.answers > was + 20 for each, was in zip(workers, before)), 60, "work goes on")
    finally:
        for each in workers:
            each.stopping = True
        for each in workers:
            each.join(30)
    assert [each.errors for each in workers] == [[]] * len(workers)
    assert "db.example is 127.0.0.6 now, and was 127.0.0.5" in sluice.log_text()


def test_a_first_address_that_is_deaf_costs_a_share_and_is_last_from_then_on(
        sluices: Start, place: Place, names: NameServer, relays: Any) -> None:
    port = place.port()
    names.zone["db.example"] = ["127.0.0.5", "127.0.0.6"]
    good = relays("127.0.0.6", port)
    with deaf("127.0.0.5", port):
        sluice = start(sluices, names, "db.example", port, server_connect_timeout=20, server_lifetime=0, verbose=1)
        with sluice.connect() as connection:
            connection.execute("SELECT 1")
            connection.execute("SELECT 1")  # lifetime 0: another connection
        assert good.count >= 2
        passed_over = sluice.log_text().count("an address of db.example does not answer")
        assert passed_over <= 1, "it was tried first again"
        assert "server_connect_timeout" not in sluice.log_text().replace("share of server_connect_timeout", "")


def test_refused_addresses_are_passed_over_and_all_are_used_in_turn(
        sluices: Start, place: Place, names: NameServer, relays: Any) -> None:
    port = place.port()
    names.zone["db.example"] = ["127.0.0.5", "127.0.0.6", "127.0.0.7"]  # nobody listens on the first
    both = [relays("127.0.0.6", port), relays("127.0.0.7", port)]
    sluice = start(sluices, names, "db.example", port, default_pool_size=6)
    connections = [sluice.connect(autocommit=False) for _ in range(6)]
    for each in connections:
        each.execute("SELECT 1")
    assert [each.open > 0 for each in both] == [True, True]
    for each in connections:
        each.close()


def test_an_address_that_is_dead_is_asked_for_again_at_once(
        sluices: Start, place: Place, names: NameServer, relays: Any) -> None:
    """The records promise an hour, the server moved, and the first client to need a connection finds it."""
    port = place.port()
    old = relays("127.0.0.5", port)
    names.ttl = 3600
    names.zone["db.example"] = ["127.0.0.5"]
    sluice = start(sluices, names, "db.example", port, dns_max_ttl=3600)
    with sluice.connect() as connection:
        connection.execute("SELECT 1")
        assert console(sluice, "SHOW DNS_HOSTS")[0][1] > 3000
        names.zone["db.example"] = ["127.0.0.6"]
        new = relays("127.0.0.6", port)
        time.sleep(1.1)  # an answer is not doubted within its first second
        old.close()
        for _ in range(20):  # and the client that is connected does not even notice
            connection.execute("SELECT 1")
        assert new.open > 0


def test_name_servers_that_fail_change_nothing(sluices: Start, place: Place, names: NameServer, relays: Any) -> None:
    port = place.port()
    relays("127.0.0.5", port)
    names.zone["db.example"] = ["127.0.0.5"]
    sluice = start(sluices, names, "db.example", port, server_lifetime=0, dns_nxdomain_ttl=1)
    with sluice.connect() as connection:
        for trouble in ("SERVFAIL", "silence"):
            names.zone["db.example"] = trouble
            asked = len(names.asked)
            # Lifetime 0: each needs a connection. All are answered, before, while and after it is noticed.
            wait_until(lambda: connection.execute("SELECT 1") and len(names.asked) > asked + 4, 30, "lookups that fail")
        names.zone["db.example"] = ["127.0.0.5"]
        wait_until(lambda: connection.execute("SELECT 1") and "can be looked up again" in sluice.log_text(), 30, "the end")
    assert sluice.log_text().count("its last addresses stay in use") == 1


def test_a_name_that_is_not_there_is_said_so(sluices: Start, names: NameServer, place: Place) -> None:
    sluice = start(sluices, names, "nobody.example", place.port(), server_login_retry=1, dns_nxdomain_ttl=1)
    with pytest.raises(psycopg.OperationalError, match="there is no such name"):
        sluice.connect()
    assert "login to nobody.example" in sluice.log_text()


def test_the_console_shows_names(sluices: Start, place: Place, names: NameServer, relays: Any) -> None:
    port = place.port()
    relays("127.0.0.5", port)
    names.ttl = 60
    names.zone["db.example"] = ["127.0.0.5", "fd00::5"]
    sluice = start(sluices, names, "db.example", port, dns_max_ttl=20)
    with sluice.connect() as connection:
        connection.execute("SELECT 1")
        (host, ttl, addresses), = console(sluice, "SHOW DNS_HOSTS")
        assert host == "db.example" and 10 <= ttl <= 20
        assert sorted(addresses.split(",")) == ["127.0.0.5:0", "[fd00::5]:0"]
        lists = dict(console(sluice, "SHOW LISTS"))
        assert (lists["dns_names"], lists["dns_zones"], lists["dns_queries"], lists["dns_pending"]) == (1, 0, 0, 0)
        assert console(sluice, "SHOW DNS_ZONES") == []


def test_a_changed_resolv_conf_is_noticed(sluices: Start, place: Place, names: NameServer, relays: Any) -> None:
    port = place.port()
    relays("127.0.0.5", port)
    other = NameServer(place)
    other.start()
    other.zone["db.example"] = ["127.0.0.5"]
    sluice = start(sluices, names, "db.example", port, server_login_retry=1, dns_nxdomain_ttl=3600)
    with pytest.raises(psycopg.OperationalError, match="there is no such name"):
        sluice.connect()
    place.write(names.conf, other.conf.read_text())
    sluice.wait_log("has changed: all names are looked up again")
    sluice.reload()  # what was refused is tried again at once
    with sluice.connect() as connection:
        connection.execute("SELECT 1")
    other.close()

"""
A Patroni whose REST API wants TLS, a client certificate and a password; and switchovers that are asked for at pgsluice's
console, under load: nobody sees an error.
"""

from __future__ import annotations

import datetime
import os
import re
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any, Iterator

import psycopg
import pytest
from kit.load import Load
from kit.place import Place, wait_until
from kit.planned import TOKEN, console, is_holding, leader_of, post, switchover, wait_known
from kit.sluice import Sluice
from lab import layout
from lab.cluster import Lab
from lab.layout import Options

Start = Any


@pytest.fixture(scope="module")
def lab(place: Place) -> Iterator[Lab]:
    lab = Lab(place.root / "secure")
    script = (Path(__file__).parents[2] / "contrib" / "patroni" / "before_stop").read_text(encoding="utf-8")
    hook = place.make_dir("hook")
    place.write(hook / "before_stop", script, 0o755)
    place.write(hook / "token", TOKEN)
    place.write(hook / "run", f"#!/bin/bash\n[ -e {hook}/url ] || exit 0\nexec {hook}/before_stop $1 {hook}/token $(<{hook}/url)\n", 0o755)
    lab.up(Options(port_base=place.lab_ports(), fsync=False, rest_tls=True))
    yield lab
    lab.down()


def identity(lab: Lab, **changes: Any) -> dict[str, Any]:
    tls = lab.layout.tls_dir
    return {"patroni_ca_file": lab.layout.ca, "patroni_cert_file": tls / "server.crt", "patroni_key_file": tls / "server.key",
            "patroni_user": layout.REST_USER, "patroni_password": layout.REST_PASSWORD, **changes}


def urls(lab: Lab) -> str:
    return ",".join(lab.layout.rest_url(name) for name in lab.layout.names)


def in_front(sluices: Start, lab: Lab, cluster: str = "", **settings: Any) -> Sluice:
    """Given settings replace those of identity()."""
    front: Sluice = sluices(clusters={"main": f"patroni={urls(lab)} {cluster}"}, databases={"*": "cluster=main"}, read=True,
                            secrets={"app": "app"}, admin_users="app", **{**identity(lab), **settings})
    return front


# Who may ask Patroni.

def test_patroni_is_followed_through_tls_with_a_client_certificate(sluices: Start, lab: Lab) -> None:
    front = in_front(sluices, lab)
    with front.connect(password="app") as connection:
        assert connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
    assert {row["reachable"] for row in console(front, "SHOW MEMBERS")} == {"yes"}
    shown = {row["key"]: row["value"] for row in console(front, "SHOW CONFIG")}
    assert shown["patroni_password"] == "********" and shown["patroni_user"] == layout.REST_USER
    assert layout.REST_PASSWORD not in front.log_text()


@pytest.mark.parametrize("name, wrong, says", [
    # TLS 1.3: it says so after the handshake, and its reset may overtake that.
    ("no certificate of ours", {"patroni_cert_file": "", "patroni_key_file": ""}, "no answer"),
    ("another authority", {"patroni_ca_file": "other_ca.crt"}, "certificate"),
    ("the authorities of the system", {"patroni_ca_file": ""}, "certificate"),
])
def test_who_cannot_be_trusted_does_not_answer(sluices: Start, lab: Lab, tls: Any, name: str, wrong: dict[str, str], says: str) -> None:
    wrong = {key: str(tls / value) if value.endswith(".crt") else value for key, value in wrong.items()}
    front = in_front(sluices, lab, failover_hold_timeout="1s", **wrong)
    line = front.wait_log("Patroni at .*no answer")
    assert re.search(says, line), line
    with pytest.raises(psycopg.OperationalError):
        front.connect(password="app")
    front.write_ini(**identity(lab))
    assert "reloaded" in front.reload()
    front.connect(password="app").close()


def test_an_entry_may_check_less_than_the_settings(sluices: Start, lab: Lab) -> None:
    front = in_front(sluices, lab, cluster="patroni_tls_verify=ca")
    front.connect(password="app").close()
    front = in_front(sluices, lab, cluster="patroni_tls_verify=none", patroni_ca_file="")
    front.connect(password="app").close()


def test_files_that_are_no_good_are_told_of_at_the_start(sluices: Start, lab: Lab, place: Place) -> None:
    junk = place.write(place.make_dir("junk") / "junk.pem", "nothing\n")
    front = in_front(sluices, lab)
    for wrong in ({"patroni_ca_file": junk}, {"patroni_cert_file": junk}, {"patroni_key_file": "/nowhere.key"}):
        front.write_ini(**{**identity(lab), **wrong})
        said = front.reload()
        assert "cluster main" in said and "patroni" in said and "reloaded" not in said, said
    front.connect(password="app").close()


# Switchovers.

def load(lab: Lab, front: Sluice, **given: Any) -> Load:
    return Load(lab, lambda **where: front.connect(password="app", **where), front.read_port, **given)


ORDERS = ("SWITCHOVER TO {other}", "SWITCHOVER", "SWITCHOVER TO {other} DEADLINE 30", "SWITCHOVER DEADLINE 30 CUT")
TIMES = int(os.environ.get("PGSLUICE_SWITCHOVERS", "4"))


def test_switchovers_under_load_cost_nobody_anything(sluices: Start, lab: Lab) -> None:
    front = in_front(sluices, lab)
    leaders = [leader_of(lab)]
    with load(lab, front, writers=32, readers=32, blocks=16) as work:
        work.wait_writes(200)
        for turn in range(TIMES):
            wait_known(front, lab)
            order = ORDERS[turn % len(ORDERS)].format(other=next(name for name in lab.layout.names if name != leaders[-1]))
            said = switchover(front, order)
            leaders.append(leader_of(lab))
            assert leaders[-1] != leaders[-2] and leaders[-1] in said, said
            work.wait_writes(100, leaders[-1])
    work.check_nobody_noticed()
    rows = console(front, "SHOW FAILOVERS")
    assert [(row["kind"], row["from"], row["to"], row["refused"]) for row in reversed(rows)] == \
        [("planned", old, new, 0) for old, new in zip(leaders, leaders[1:])]
    assert all(0 < row["held"] <= 32 and row["released"] >= row["held"] for row in rows), rows


def test_a_long_transaction_delays_it_and_the_deadline_undoes_it(sluices: Start, lab: Lab) -> None:
    front = in_front(sluices, lab)
    wait_known(front, lab)
    leader = leader_of(lab)
    with front.connect(password="app", autocommit=False) as slow, front.connect(password="app") as other:
        slow.execute("SELECT 1")
        rows = console(front, "SWITCHOVER CHECK")
        assert [row["what"] for row in rows if row["effect"] == "delays" and row["who"].startswith("C")] == ["a transaction is open"]
        assert not [row for row in rows if row["effect"] == "blocks"]
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="did not end before the deadline"):
            switchover(front, "SWITCHOVER DEADLINE 1")
        assert other.execute("SELECT 1").fetchone() == (1,)
        slow.commit()
    assert leader_of(lab) == leader
    assert [row["ended"] for row in console(front, "SHOW FAILOVERS")] == ["the leader stayed"]


def test_a_long_transaction_is_cut_at_the_deadline_if_that_is_wanted(sluices: Start, lab: Lab) -> None:
    """Each of them is told what became of it, and keeps its connection; rows that were not committed are gone."""
    front = in_front(sluices, lab)
    wait_known(front, lab)
    old = leader_of(lab)
    with load(lab, front, writers=8, readers=8, blocks=4) as work:
        work.wait_writes(50)
        with front.connect(password="app", autocommit=False) as slow, front.connect(password="app", autocommit=False) as running:
            slow.execute("INSERT INTO written (key, node) VALUES ('cut', 1)")
            ended: list[str] = []

            def run() -> None:
                try:
                    running.execute("SELECT pg_sleep(60)")
                except psycopg.Error as error:
                    ended.append(error.sqlstate or "")

            thread = threading.Thread(target=run, daemon=True)
            thread.start()
            wait_until(lambda: "a statement runs" in {row["what"] for row in console(front, "SWITCHOVER CHECK")} or
                       len([row for row in console(front, "SWITCHOVER CHECK") if row["effect"] == "delays"]) >= 2, 20, "both")
            assert "leads main now" in switchover(front, "SWITCHOVER DEADLINE 1 CUT")
            thread.join(20)
            assert ended == ["40001"], ended
            with pytest.raises(psycopg.errors.SerializationFailure):
                slow.execute("SELECT 1")
            for connection in (slow, running):
                connection.rollback()
                assert connection.execute("SELECT count(*) FROM written WHERE key = 'cut'").fetchone() == (0,)
                connection.commit()
        work.wait_writes(50, leader_of(lab))
    assert leader_of(lab) != old
    work.check_nobody_noticed()


def test_who_cancels_it_undoes_it(sluices: Start, lab: Lab) -> None:
    front = in_front(sluices, lab)
    wait_known(front, lab)
    with front.connect(password="app", autocommit=False) as slow, front.connect(password="app") as other:
        slow.execute("SELECT 1")
        with front.connect(password="app", dbname="pgsluice") as asks:
            ended: list[str] = []

            def ask() -> None:
                try:
                    asks.execute("SWITCHOVER DEADLINE 60")
                except psycopg.Error as error:
                    ended.append(str(error))

            thread = threading.Thread(target=ask, daemon=True)
            thread.start()
            wait_until(lambda: [row["holding"] for row in console(front, "SHOW CLUSTERS")] == ["yes"], 20, "the hold")
            with pytest.raises(psycopg.errors.ProtocolViolation, match="under way already"):
                switchover(front)
            asks.cancel()
            thread.join(20)
            assert "canceled" in ended[0], ended
        assert other.execute("SELECT 1").fetchone() == (1,)
        slow.commit()


@pytest.mark.parametrize("wrong, says", [
    ({"patroni_password": "wrong"}, "does not let us in"),
    ({"patroni_user": "", "patroni_password": ""}, "does not let us in"),
])
def test_a_wrong_password_holds_nobody(sluices: Start, lab: Lab, wrong: dict[str, str], says: str) -> None:
    front = in_front(sluices, lab, **wrong)
    wait_known(front, lab)
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match=says):
        switchover(front)
    assert console(front, "SHOW FAILOVERS") == []
    assert layout.REST_PASSWORD not in front.log_text()


@pytest.mark.parametrize("order, says", [
    ("SWITCHOVER TO nobody", "has no member nobody"),
    ("SWITCHOVER CLUSTER other", "no such cluster with Patroni: other"),
    ("SWITCHOVER DEADLINE soon", "SWITCHOVER \\[CLUSTER"),
    ("SWITCHOVER TO", "SWITCHOVER \\[CLUSTER"),
    ("SWITCHOVER TO n1 TO n2 TO n3 TO n4", "invalid command"),
    ("SWITCHOVER BY n1", "SWITCHOVER \\[CLUSTER"),
])
def test_orders_that_make_no_sense(sluices: Start, lab: Lab, order: str, says: str) -> None:
    front = in_front(sluices, lab)
    wait_known(front, lab)
    with pytest.raises(psycopg.errors.ProtocolViolation, match=says):
        switchover(front, order)


def test_reads_leave_a_replica_that_is_frozen(sluices: Start, lab: Lab) -> None:
    """Its host accepts connections and ends none. What was read there is read elsewhere, while it is still frozen."""
    front = in_front(sluices, lab, server_dead_timeout="1s", patroni_timeout="500ms")
    wait_known(front, lab)
    frozen = lab.pick("replica")
    try:
        work = load(lab, front, writers=1, readers=8)
        for client in work.readers:  # pg_is_in_recovery() is volatile, so that nobody would repeat it
            client.statement = "SELECT inet_server_port(), true WHERE %s <> ''"
        with work:
            work.wait_reads({frozen.name})
            frozen.freeze()
            since = time.monotonic()
            front.wait_log("does not answer, not even a new connection: [0-9]+ of its connections are given up")
            wait_until(lambda: all(any(each.at > since + 1 for each in list(client.answers)) for client in work.readers), 30,
                       "an answer for each reader")
            assert not work.errors(work.readers), work.errors(work.readers)
            assert not [each for each in work.read if each.at > since + 1 and each.node == frozen.name]
            rows = {row["name"]: row["read"] for row in console(front, "SHOW MEMBERS")}
            assert rows[frozen.name] != "yes"
    finally:
        frozen.thaw()
    lab.wait_healthy(90)


def test_two_instances_at_once_and_a_stop_in_the_middle(sluices: Start, lab: Lab) -> None:
    fronts = [in_front(sluices, lab) for _ in range(2)]
    for front in fronts:
        wait_known(front, lab)
    old = leader_of(lab)
    said: list[str] = []
    threads = [threading.Thread(target=lambda front=front: said.append(switchover(front)), daemon=True)
               for front in fronts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    new = leader_of(lab)
    assert new != old and len(said) == 2 and all(new in each for each in said), said
    for front in fronts:
        with front.connect(password="app") as connection:
            assert connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
    front = fronts[0]
    wait_known(front, lab)
    with front.connect(password="app", autocommit=False) as slow, front.connect(password="app", dbname="pgsluice") as asks:
        slow.execute("SELECT 1")
        thread = threading.Thread(target=lambda: pytest.raises(psycopg.Error, asks.execute, "SWITCHOVER DEADLINE 60"),
                                  daemon=True)
        thread.start()
        wait_until(lambda: [row["holding"] for row in console(front, "SHOW CLUSTERS")] == ["yes"], 20, "the hold")
        assert "reloaded" in front.reload()
        assert [row["holding"] for row in console(front, "SHOW CLUSTERS")] == ["yes"]
        slow.commit()
        front.stop()
        thread.join(20)


# By patronictl --scheduled.

def schedule(lab: Lab, seconds: float, **more: str) -> str:
    """Returns the leader."""
    leader = leader_of(lab)
    at = datetime.datetime.now(datetime.timezone(datetime.timedelta(hours=2))) + datetime.timedelta(seconds=seconds)
    status, said = lab.pick(leader).ask("/switchover", "POST", {"leader": leader, "scheduled_at": at.isoformat(), **more}, 10)
    assert status == 202, said
    return leader


def shown(front: Sluice) -> dict[str, Any]:
    return console(front, "SHOW CLUSTERS")[0]


def test_nobody_notices_one_that_patronictl_has_scheduled(sluices: Start, lab: Lab) -> None:
    front = in_front(sluices, lab)
    wait_known(front, lab)
    with load(lab, front, writers=32, readers=32, blocks=16) as work:
        work.wait_writes(200)
        old = schedule(lab, 8)
        wait_until(lambda: shown(front)["scheduled_in"] is not None, 20, "the schedule")
        wait_until(lambda: is_holding(front), 20, "the hold")
        assert leader_of(lab) == old  # before its moment
        new = lab.wait_leader(30, other_than=old).name
        work.wait_writes(200, new)
    work.check_nobody_noticed()
    row = console(front, "SHOW FAILOVERS")[0]
    assert (row["kind"], row["first_sign"], row["from"], row["to"]) == ("planned", "patronictl's schedule", old, new), row
    wait_until(lambda: shown(front)["scheduled_at"] is None, 20, "the end of the schedule")


def test_one_that_is_scheduled_and_taken_back_is_let_go_of(sluices: Start, lab: Lab) -> None:
    front = in_front(sluices, lab, scheduled_switchover_lead="20s")
    wait_known(front, lab)
    leader = schedule(lab, 25, candidate=next(name for name in lab.layout.names if name != leader_of(lab)))
    wait_until(lambda: is_holding(front), 20, "the hold")
    assert lab.pick(leader).ask("/switchover", "DELETE", {}, 10)[0] == 200
    wait_until(lambda: not is_holding(front), 20, "the release")
    with front.connect(password="app") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert leader_of(lab) == leader
    assert [row["ended"] for row in console(front, "SHOW FAILOVERS")] == ["the leader stayed"]
    front.wait_log("taken back, or did not come about")


# Told by Patroni.

def with_http(sluices: Start, lab: Lab, place: Place, **settings: Any) -> Sluice:
    front = in_front(sluices, lab, http_port=place.port(), **{"http_token": TOKEN, **settings})
    wait_known(front, lab)
    return front


def test_hold_and_release(sluices: Start, lab: Lab, place: Place) -> None:
    front = with_http(sluices, lab, place)
    leader = leader_of(lab)
    other = next(name for name in lab.layout.names if name != leader)
    assert post(front, f"/hold?member={other}") == (200, "busy 0: it does not lead\n") and not is_holding(front)
    with front.connect(password="app", autocommit=False) as slow:
        slow.execute("SELECT 1")
        assert post(front, f"/hold?member={leader}&ttl=60") == (200, "busy 1\n") and is_holding(front)
        slow.commit()
    assert post(front, f"/hold?member={leader}&ttl=60") == (200, "busy 0\n")
    with urllib.request.urlopen(f"http://127.0.0.1:{front.settings['http_port']}/health/readiness", timeout=10) as answer:
        assert answer.status == 200
    assert post(front, f"/release?member={leader}") == (200, "released\n") and not is_holding(front)
    assert post(front, f"/hold?member={leader}&ttl=1")[0] == 200
    with front.connect(password="app") as connection:  # nobody releases it
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert TOKEN not in front.log_text()
    for path, token, status in (("/hold?member=x", "", 401), ("/hold?member=x", "wrong", 401), ("/hold", TOKEN, 400),
                                (f"/hold?member={leader}&ttl=x", TOKEN, 400), (f"/hold?member={leader}&ttl=99999", TOKEN, 400),
                                ("/metrics", TOKEN, 405)):
        assert post(front, path, token)[0] == status, path
    assert not is_holding(front)
    front.write_ini(http_token="")
    assert "reloaded" in front.reload()
    assert post(front, f"/hold?member={leader}")[0] == 403


def test_who_is_told_before_patroni_stops_the_leader_notices_nothing(sluices: Start, lab: Lab, place: Place) -> None:
    """What newer Patronis run as postgresql.before_stop (3.0.2 has no such thing) is run here by hand, in the same place of events."""
    front = with_http(sluices, lab, place)
    place.write(place.root / "hook" / "url", f"http://127.0.0.1:{front.settings['http_port']}\n", 0o644)

    def is_about_to_stop(name: str) -> None:
        began = time.monotonic()
        place.run([str(place.root / "hook" / "run"), name])
        assert is_holding(front) and time.monotonic() - began < 10

    with load(lab, front, writers=8, readers=8) as work:
        work.wait_writes(100)
        old = leader_of(lab)
        is_about_to_stop(old)
        assert lab.switchover()[0] == old
        new = leader_of(lab)
        work.wait_writes(100, new)
        wait_known(front, lab)
        is_about_to_stop(new)
        lab.restart(lab.pick("leader"))
        restarted = time.monotonic()
        work.wait_writes(100, since=restarted)
        lab.wait_healthy(90)
        assert not work.errors(work.writers + work.readers), work.errors(work.writers + work.readers)
    work.check_rows()
    rows = console(front, "SHOW FAILOVERS")
    assert [row["from"] for row in reversed(rows)] == [old, new] and {row["first_sign"] for row in rows} == {"POST /hold"}, rows

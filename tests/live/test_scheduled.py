"""
`patronictl switchover --scheduled`: seen in /cluster and prepared for before its moment, so that nobody notices; and let go of when
it is taken back. With the installed Patroni, whatever it is.
"""

from __future__ import annotations

import datetime
from typing import Any, Iterator

import pytest
from kit.load import Load
from kit.place import Place, wait_until
from kit.planned import console, is_holding, leader_of, wait_known
from kit.sluice import Sluice
from lab.cluster import Lab
from lab.layout import Options

Start = Any


@pytest.fixture(scope="module")
def lab(place: Place) -> Iterator[Lab]:
    lab = Lab(place.root / "scheduled")
    lab.up(Options(port_base=place.lab_ports(), fsync=False))
    yield lab
    lab.down()


def in_front(sluices: Start, lab: Lab, **settings: Any) -> Sluice:
    urls = ",".join(lab.layout.rest_url(name) for name in lab.layout.names)
    front: Sluice = sluices(clusters={"main": f"patroni={urls}"}, databases={"*": "cluster=main"}, read=True, secrets={"app": "app"},
                            admin_users="app", **settings)
    wait_known(front, lab)
    return front


def schedule(lab: Lab, seconds: float, **more: str) -> str:
    """Returns the leader."""
    leader = leader_of(lab)
    at = datetime.datetime.now(datetime.timezone(datetime.timedelta(hours=2))) + datetime.timedelta(seconds=seconds)
    status, said = lab.pick(leader).ask("/switchover", "POST", {"leader": leader, "scheduled_at": at.isoformat(), **more}, 10)
    assert status == 202, said
    return leader


def shown(front: Sluice) -> dict[str, Any]:
    return console(front, "SHOW CLUSTERS")[0]


def test_nobody_notices_it(sluices: Start, lab: Lab) -> None:
    front = in_front(sluices, lab)
    with Load(lab, lambda **where: front.connect(password="app", **where), front.read_port, writers=32, readers=32,
              blocks=16) as work:
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


def test_one_that_is_taken_back_is_let_go_of(sluices: Start, lab: Lab) -> None:
    front = in_front(sluices, lab, scheduled_switchover_lead="20s")
    leader = schedule(lab, 25, candidate=next(name for name in lab.layout.names if name != leader_of(lab)))
    wait_until(lambda: is_holding(front), 20, "the hold")
    assert lab.pick(leader).ask("/switchover", "DELETE", {}, 10)[0] == 200
    wait_until(lambda: not is_holding(front), 20, "the release")
    with front.connect(password="app") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert leader_of(lab) == leader
    assert [row["ended"] for row in console(front, "SHOW FAILOVERS")] == ["the leader stayed"]
    front.wait_log("taken back, or did not come about")

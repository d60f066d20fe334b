"""
Whoever stops the leader gracefully costs nobody an error where Patroni runs contrib/patroni/before_stop: patronictl switchover,
a restart, the end of the leader's Patroni. Needs a Patroni that knows postgresql.before_stop; Debian bookworm's does not.
PGSLUICE_SWITCHOVERS=20 asks for as many in a row.
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from kit.load import Load
from kit.place import CHECKOUT, Place, wait_until
from kit.planned import TOKEN, console, is_holding, leader_of, wait_known
from kit.sluice import Sluice
from lab.cluster import Lab
from lab.layout import Options

Start = Any
TIMES = int(os.environ.get("PGSLUICE_SWITCHOVERS", "1"))
PATIENCE = 3  # seconds; the lab's ttl is 5


def patroni() -> str:
    """A directory to take it from, or "" for the installed one."""
    given = os.environ.get("PGSLUICE_PATRONI", "")
    if given:
        return given
    said = subprocess.run(["patroni", "--version"], capture_output=True, text=True, check=False).stdout
    version = tuple(int(part) for part in re.findall(r"\d+", said)[:3])
    if version < (3, 0, 3):
        pytest.skip(f"{said.strip()} knows no before_stop, and PGSLUICE_PATRONI names no newer one")
    return ""


@pytest.fixture(scope="module")
def hook(place: Place) -> Path:
    """Patroni runs it; whom it tells stands in a file, as each test has a pgsluice of its own."""
    directory = place.make_dir("hook")
    place.write(directory / "before_stop", (CHECKOUT / "contrib/patroni/before_stop").read_text(encoding="utf-8"), 0o755)
    place.write(directory / "token", TOKEN)
    place.write(directory / "run", f"#!/bin/bash\n[ -e {directory}/url ] || exit 0\nexport PATIENCE={PATIENCE}\n"
                                   f"exec {directory}/before_stop $1 {directory}/token $(<{directory}/url)\n", 0o755)
    return directory


@pytest.fixture(scope="module")
def lab(place: Place, hook: Path) -> Iterator[Lab]:
    lab = Lab(place.root / "hooked")
    lab.up(Options(port_base=place.lab_ports(), fsync=False, patroni=patroni(), before_stop=f"{hook}/run {{name}}"))
    yield lab
    lab.down()


def states(front: Sluice, name: str) -> list[str]:
    return [row["state"] for row in console(front, "SHOW MEMBERS") if row["name"] == name]


def switch_over(lab: Lab) -> None:
    old, new = lab.switchover()
    assert old != new


def restart(lab: Lab) -> None:
    lab.restart(lab.pick("leader"))


def drain(lab: Lab) -> None:
    """The node goes, and comes back."""
    leader = lab.pick("leader")
    leader.stop()
    lab.wait_leader(60, other_than=leader.name)
    leader.start()


@pytest.mark.parametrize("stop, first_says", [(switch_over, "stopping"), (restart, "starting"), (drain, "")])
def test_nobody_notices_that_the_leader_is_stopped(sluices: Start, lab: Lab, place: Place, hook: Path,
                                                   stop: Callable[[Lab], None], first_says: str) -> None:
    urls = ",".join(lab.layout.rest_url(name) for name in lab.layout.names)
    front: Sluice = sluices(clusters={"main": f"patroni={urls}"}, databases={"*": "cluster=main"}, read=True, secrets={"app": "app"},
                            admin_users="app", http_port=place.port(), http_token=TOKEN)
    place.write(hook / "url", f"http://127.0.0.1:{front.settings['http_port']}\n", 0o644)
    leaders: list[str] = []
    with Load(lab, lambda **where: front.connect(password="app", **where), front.read_port, writers=32, readers=32,
              blocks=16) as work:
        for _ in range(TIMES):
            wait_known(front, lab)
            work.wait_writes(200)
            leaders.append(leader_of(lab))
            stopping = threading.Thread(target=stop, args=(lab,), daemon=True)
            with front.connect(password="app", autocommit=False) as slow:
                slow.execute("CREATE TEMPORARY TABLE mine ON COMMIT DROP AS SELECT 1")
                stopping.start()
                wait_until(lambda: is_holding(front), 30, "the hold")
                # Patroni calls it stopping before it asks us to hold, so it does not lead any more: it is waited for nevertheless.
                wait_until(lambda: first_says in ("", *states(front, leaders[-1])), 30, first_says)
                slow.execute("SELECT * FROM mine")
                slow.commit()
            stopping.join(90)
            work.wait_writes(200, leader_of(lab))
    work.check_nobody_noticed()
    rows = console(front, "SHOW FAILOVERS")
    assert [(row["kind"], row["from"], row["refused"]) for row in reversed(rows)] == [("planned", leader, 0) for leader in leaders], rows

"""whole.py - a lab that tests have broken, made whole again."""

from __future__ import annotations

from lab.cluster import Lab

from .place import wait_until


def wait_whole(lab: Lab) -> None:
    """Healthy, and with a synchronous standby, also in Patroni's own book: a killed leader then loses nothing."""
    lab.wait_healthy(90)

    def has_standby() -> bool:
        leader = lab.wait_leader()
        return ('"sync_standby"' in leader.ask("/cluster")[1] and
                leader.sql("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") != "0")

    try:
        wait_until(has_standby, 15, "a synchronous standby")
    except AssertionError:
        # Patroni 3.0.2, started anew beside a leader that runs, forgets to set what its book says.
        for is_on in (False, True):
            lab.wait_leader().ask("/config", "PATCH", {"synchronous_mode": is_on})
            wait_until(lambda: has_standby() == is_on, 60, f"synchronous_mode {is_on}")


def repair(lab: Lab) -> None:
    for node in lab.nodes:
        node.thaw()
        node.heal_etcd()
        node.start()

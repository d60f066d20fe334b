"""Nobody ever sees what belongs to somebody else's session: bench/leaks, for a while."""

from __future__ import annotations

import subprocess
import sys

from conftest import Start
from kit.place import CHECKOUT, HOST
from kit.postgres import PASSWORD, Postgres

SECONDS = 12
WITHOUT = "set_custom_by_function"  # a setting that only an argument of a function names: now and then it is not noticed


def test_nobody_sees_what_is_another_ones(sluices: Start, postgres: Postgres) -> None:
    postgres.sql("CREATE DATABASE leaks OWNER app")
    front = sluices(default_pool_size=5, server_round_robin=1)
    where = f"host={HOST} dbname=leaks password={PASSWORD}"
    done = subprocess.run([sys.executable, str(CHECKOUT / "bench/leaks"), "--clients", "20", "--seconds", str(SECONDS), "--connect",
                           f"{where} port={front.port} user=app", "--direct", f"{where} port={postgres.port} user=postgres",
                           "--without", WITHOUT], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "seen: nothing" in done.stdout

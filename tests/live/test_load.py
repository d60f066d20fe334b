"""Two hundred clients that would notice every byte that is not meant for them (tests/load/marks.c)."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from kit.company import neighbour
from kit.place import HOST, Place
from kit.postgres import PASSWORD
from kit.sluice import Sluice

Start = Any
MARKS = Path(os.environ.get("PGSLUICE_MARKS", "/nowhere"))
SECONDS = int(os.environ.get("PGSLUICE_MARKS_SECONDS", "20"))


def marks(place: Place, front: Sluice, *more: str, seconds: int = SECONDS) -> str:
    program = place.root / "marks"
    if not program.exists():
        assert MARKS.is_file(), "PGSLUICE_MARKS names no program"
        shutil.copyfile(MARKS, program)
        program.chmod(0o755)
    done: subprocess.CompletedProcess[str] = place.run(
        [str(program), "--host", HOST, "--port", str(front.port), "--user", "app", "--database", "app",
         "--password", PASSWORD, "--clients", "200", "--seconds", str(seconds), *more], timeout=seconds + 120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def settings(**more: Any) -> dict[str, Any]:
    return {"max_client_conn": 2000, "default_pool_size": 20, "log_connections": 0, "log_disconnections": 0,
            "log_pooler_errors": 0, **more}


def test_two_hundred_clients_of_a_pool_of_twenty(sluices: Start, place: Place) -> None:
    front: Sluice = sluices(**settings())
    with neighbour(lambda: front.connect(dbname="postgres")):
        print(marks(place, front))


def test_the_same_with_few_prepared_statements(sluices: Start, place: Place) -> None:
    """Each server holds three, so that they come and go all the time."""
    front: Sluice = sluices(**settings(server_round_robin=1, max_prepared_statements=3))
    print(marks(place, front, seconds=max(5, SECONDS // 3)))


def test_the_same_by_sessions(sluices: Start, place: Place) -> None:
    front: Sluice = sluices(**settings(pool_mode="session", default_pool_size=110))
    print(marks(place, front, "--clients", "100", seconds=max(5, SECONDS // 3)))


def test_the_same_through_tls(sluices: Start, place: Place, tls: Path) -> None:
    front: Sluice = sluices(**settings(client_tls_sslmode="require", client_tls_key_file=f"{tls}/server.key",
                                       client_tls_cert_file=f"{tls}/server.crt", server_tls_sslmode="require"))
    print(marks(place, front, "--tls", seconds=max(5, SECONDS // 3)))

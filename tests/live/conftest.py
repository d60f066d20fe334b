"""
conftest.py - fixtures of the live tests: PostgreSQL and a Patroni lab once per session, pgsluice as often as wanted.

A pgsluice is started with `sluices(databases=..., setting=...)`, or taken as `sluice`: one for the whole module, with the
plain PostgreSQL behind it. Each of them has to end well (kit/sluice.py). A failed test shows the logs of those that ran.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from kit import sluice as kit_sluice  # noqa: E402  (needs the path above)
from kit.place import Place  # noqa: E402
from kit.postgres import ASKS, Postgres  # noqa: E402
from kit.sluice import Sluice  # noqa: E402
from kit.whole import repair, wait_whole  # noqa: E402
from lab.cluster import Lab  # noqa: E402
from lab.layout import Options  # noqa: E402
from sweep import sweep  # noqa: E402

LOG_SHOWN = 6000  # characters


def pytest_configure(config: pytest.Config) -> None:
    # tests/run ends us by SIGTERM; the fixtures are to clean up then as after Ctrl-C.
    signal.signal(signal.SIGTERM, lambda number, frame: signal.raise_signal(signal.SIGINT))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if not kit_sluice.built().is_file():
        raise pytest.UsageError("PGSLUICE_BIN names no program: run tests/run live, or set it to a build of pgsluice")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """One line for tests/run."""
    path = os.environ.get("PGSLUICE_LIVE_COUNTS")
    if path:
        reporter: Any = session.config.pluginmanager.get_plugin("terminalreporter")
        counts = {name: len(reporter.stats.get(name, [])) for name in ("passed", "failed", "error", "skipped")}
        Path(path).write_text(f"{counts['passed']} {counts['failed'] + counts['error']} {counts['skipped']}\n",
                              encoding="ascii")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    outcome: Any = yield
    report = outcome.get_result()
    if report.failed:
        for each in kit_sluice.running:
            report.sections.append((f"log of pgsluice in {each.dir}", each.log_text()[-LOG_SHOWN:]))


@pytest.fixture(scope="session")
def place() -> Iterator[Place]:
    given = os.environ.get("PGSLUICE_LIVE_DIR")
    directory = Path(given or tempfile.mkdtemp(prefix="pgsluice-live.", dir="/tmp"))
    directory.chmod(0o755)
    try:
        yield Place(directory)
    finally:
        sweep(directory)
        if not given:
            shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def tls(place: Place) -> Path:
    """A directory with ca.crt, server.crt and server.key (localhost, 127.0.0.1), other_ca.crt, client.crt and .key."""
    directory = place.make_dir("tls")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)

    new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650")
    for name in ("ca", "other_ca"):
        openssl(*new, "-subj", f"/CN=test {name}", "-keyout", f"{name}.key", "-out", f"{name}.crt",
                "-addext", "basicConstraints=critical,CA:TRUE")
    leaves = {"server": "subjectAltName=DNS:localhost,IP:127.0.0.1", "elsewhere": "subjectAltName=DNS:elsewhere.test",
              "client": "subjectAltName=DNS:client"}
    for name, extension in leaves.items():
        openssl(*new, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.crt", "-CA", "ca.crt",
                "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE", "-addext", extension)
    for path in directory.iterdir():
        os.chown(path, place.uid, place.gid)
        path.chmod(0o600 if path.suffix == ".key" else 0o644)
    return directory


@pytest.fixture(scope="session")
def postgres(place: Place, tls: Path) -> Iterator[Postgres]:
    """With a user per kind of login (kit/postgres.py: ASKS), `app` and its database, and `tls_only`."""
    server = Postgres(place, tls=tls)
    for name, how in {"app": "scram-sha-256", "other": "scram-sha-256", "tls_only": "scram-sha-256", **ASKS}.items():
        server.add_user(name, "md5" if how == "md5" else "scram-sha-256")
    server.sql("CREATE DATABASE app OWNER app")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def backend(postgres: Postgres) -> str:
    """`host=... port=...` of it, for [databases]."""
    return f"host={postgres.host} port={postgres.port}"


@pytest.fixture(scope="session")
def whole_lab(place: Place) -> Iterator[Lab]:
    lab = Lab(place.root / "lab")
    lab.up(Options(port_base=place.lab_ports(), sync=True, fsync=False))
    yield lab
    lab.down()


@pytest.fixture
def lab(whole_lab: Lab) -> Iterator[Lab]:
    """Healthy, with a synchronous standby. Whatever a test breaks is mended for the next one."""
    repair(whole_lab)
    wait_whole(whole_lab)
    yield whole_lab
    repair(whole_lab)


Start = Callable[..., Sluice]


def _starter(place: Place, backend: str | None) -> Iterator[Start]:
    started: list[Sluice] = []

    def start(**given: Any) -> Sluice:
        if backend and not {"databases", "clusters", "text", "arguments"} & set(given):
            given["databases"] = {"*": backend}
        wait = given.pop("wait", True)
        each = Sluice(place, **given)
        started.append(each)
        return each.start(wait)

    start.place = place  # type: ignore[attr-defined]
    yield start
    problems = []
    for each in started:
        try:
            each.stop()
        except AssertionError as problem:
            problems.append(str(problem))
    assert not problems, "\n".join(problems)


@pytest.fixture
def sluices(place: Place, backend: str) -> Iterator[Start]:
    """Starts as many as the test wants; in front of the plain PostgreSQL unless the test says otherwise."""
    yield from _starter(place, backend)


@pytest.fixture(scope="module")
def module_sluices(place: Place, backend: str) -> Iterator[Start]:
    """The same, for a module: for fixtures of its own."""
    yield from _starter(place, backend)


@pytest.fixture(scope="module")
def sluice(module_sluices: Start) -> Sluice:
    """One for the whole module, with PgSluice's defaults, in front of the plain PostgreSQL."""
    return module_sluices()


@pytest.fixture(autouse=True)
def nobody_died() -> Iterator[None]:
    """Whoever crashes makes the test fail during which it happened, not the module's last one."""
    yield
    for each in list(kit_sluice.running):
        if each.process is not None and each.process.poll() not in (None, 0):
            kit_sluice.running.remove(each)
            each.check_log()
            raise AssertionError(f"pgsluice ended with status {each.process.returncode}:\n{each.log_text()[-3000:]}")

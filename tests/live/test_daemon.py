"""In the background, as an init script starts it: pid file, log file, user, and one process in the place of another."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any, Iterator

import pytest
from kit import sluice as kit_sluice
from kit import wire
from kit.place import Place, wait_until
from kit.sluice import SANITIZERS, STOP_TIMEOUT, Sluice
from kit.wire import Wire
from lab import procs

SAID = "sanitizer"  # where a sanitizer speaks: a daemon's stderr is /dev/null
ENVIRONMENT = {**SANITIZERS, "ASAN_OPTIONS": f"{SANITIZERS['ASAN_OPTIONS']}:log_path={SAID}",
               "UBSAN_OPTIONS": f"{SANITIZERS['UBSAN_OPTIONS']}:log_path={SAID}"}

as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")


def configured(place: Place, backend: str, **settings: Any) -> Sluice:
    given = {"databases": {"*": backend}, "pidfile": "pid", "logfile": "log", **settings}
    return Sluice(place, **given)


def run(front: Sluice, *options: str, root: bool = False) -> subprocess.CompletedProcess[str]:
    """To the end of what the shell would see."""
    argv = [str(kit_sluice.installed(front.place)), *options, front.ini.name]
    if not root:
        return front.place.run(argv, cwd=front.dir, env=ENVIRONMENT)
    environment = {**procs.environment(front.place.root, front.dir), **ENVIRONMENT}
    return subprocess.run(argv, cwd=front.dir, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=60, check=False)


def pid_in(path: Path) -> int:
    return int(path.read_text() or "0")


def is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}/exe").exists()


def well(front: Sluice) -> None:
    assert [path.read_text() for path in front.dir.glob(f"{SAID}.*")] == []
    front.check_log()


@contextlib.contextmanager
def daemon(front: Sluice, *options: str, pidfile: Path | None = None, **how: Any) -> Iterator[int]:
    """Its process id. Ends it with SIGTERM, in order."""
    path = pidfile or front.dir / "pid"
    done = run(front, "-d", *options, **how)
    assert done.returncode == 0, done
    try:
        yield pid_in(path)
    finally:
        pid = pid_in(path) if path.exists() else 0
        if pid:
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: not is_running(pid), STOP_TIMEOUT, "the end of the daemon")
        well(front)


def test_into_the_background_and_ready_when_the_prompt_is_back(place: Place, backend: str) -> None:
    front = configured(place, backend)
    with daemon(front) as pid:
        with front.connect() as connection:  # at once
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert os.getsid(pid) == pid
        assert {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)} == {"/dev/null"}
        # All paths in the configuration are relative: a reload finds the same files.
        front.secrets["other"] = front.secrets["app"]
        front.settings["auth_file"] = "users.txt"
        front.write_auth_file()
        front.write_ini()
        os.kill(pid, signal.SIGHUP)
        front.wait_log("reloaded")
        with front.connect(user="other", dbname="postgres") as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    assert not (front.dir / "pid").exists()
    assert " stopped" in front.log_text()


@pytest.mark.parametrize("settings, words", [
    ({"pidfile": None}, "daemon needs pidfile configured"),
    ({"logfile": None}, "daemon needs logfile or syslog configured"),
    ({"logfile": "/nonexistent/log"}, "/nonexistent/log"),
    ({"pidfile": "/nonexistent/pid"}, "/nonexistent/pid"),
    ({"listen_addr": "203.0.113.77"}, "203.0.113.77"),
    ({"auth_file": "missing.txt"}, "missing.txt"),
    ({"pool_mode": "sometimes"}, "pool_mode"),
], ids=str)
def test_a_daemon_that_cannot_start_says_so_in_the_foreground(place: Place, backend: str, settings: dict[str, Any],
                                                              words: str) -> None:
    front = configured(place, backend)
    front.write_ini(**settings)
    for options in (["-d"], ["-q", "-d"]):
        done = run(front, *options)
        assert done.returncode == 1 and words in done.stderr, done


CLOSED = ["sh", "-c", 'exec "$0" "$@" <&- >&- 2>&-']  # as some init scripts and supervisors start their children


def test_a_daemon_whose_standard_descriptors_are_closed(place: Place, backend: str) -> None:
    front = configured(place, backend)
    done = place.run([*CLOSED, str(kit_sluice.installed(place)), "-d", front.ini.name], cwd=front.dir, env=ENVIRONMENT)
    assert done.returncode == 0
    pid = pid_in(front.dir / "pid")
    assert {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)} == {"/dev/null"}
    with front.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not is_running(pid), STOP_TIMEOUT, "the end of the daemon")
    well(front)


def test_closed_standard_descriptors_are_nobody_elses(place: Place, backend: str) -> None:
    """What is logged to stderr must not go to whoever has got its number."""
    front = configured(place, backend, logfile="file", pidfile="")
    front.wrapper = CLOSED
    front.start(wait=False)
    wait_until(lambda: (front.dir / "file").exists() and " ready: " in (front.dir / "file").read_text(), what="readiness")
    assert {os.readlink(f"/proc/{front.pid}/fd/{fd}") for fd in range(3)} == {"/dev/null"}
    with front.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    front.stop()


def test_options_as_pgbouncer_has_them(place: Place, backend: str) -> None:
    front = configured(place, backend)
    with daemon(front, "--quiet", "-vv", "--verbose", f"--user={place.user}"):
        front.connect().close()
        assert " debug " in front.log_text()


# The pid file.

def test_a_pid_file_is_only_as_good_as_its_owner(place: Place, backend: str) -> None:
    """The number of a living process, of none, rubbish: no reason not to start. A second one with a live owner: is one."""
    front = configured(place, backend)
    for left_behind in (f"{os.getpid()}\n", "999999999\n", "rubbish", "", "-1", "9" * 400):
        place.write(front.dir / "pid", left_behind)
        with daemon(front) as pid:
            assert (front.dir / "pid").read_text() == f"{pid}\n"
            done = run(front)
            assert done.returncode == 1 and f"process {pid} is running already" in done.stderr, done
    assert f"left behind by process {os.getpid()}" in front.log_text()


def test_a_pid_file_of_pgbouncer(place: Place, backend: str) -> None:
    front = configured(place, backend)
    pretender = front.dir / "pgbouncer"
    shutil.copyfile("/bin/sleep", pretender)
    pretender.chmod(0o755)
    with place.spawn([str(pretender), "1000"], cwd=front.dir, log=front.dir / "other") as process:
        try:
            wait_until(lambda: Path(f"/proc/{process.pid}/comm").read_text() == "pgbouncer\n", what="its name")
            place.write(front.dir / "pid", f"{process.pid}\n")
            done = run(front, "-d")
            assert done.returncode == 1 and f"process {process.pid}, a PgBouncer, is running already" in done.stderr
            assert pid_in(front.dir / "pid") == process.pid
        finally:
            process.kill()


def test_a_pid_file_that_is_not_ours_any_more_stays(place: Place, backend: str) -> None:
    front = configured(place, backend)
    with daemon(front) as pid:
        (front.dir / "pid").unlink()
        place.write(front.dir / "pid", "1\n")
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not is_running(pid), STOP_TIMEOUT, "its end")
        assert (front.dir / "pid").read_text() == "1\n"
        (front.dir / "pid").unlink()


def test_after_a_crash_it_just_starts(place: Place, backend: str) -> None:
    front = configured(place, backend)
    with daemon(front) as pid:
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not is_running(pid), STOP_TIMEOUT, "its end")
        assert pid_in(front.dir / "pid") == pid
    with daemon(front) as pid, front.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


# Another user.

@as_root
@pytest.mark.parametrize("owner", ["root", "the user"])
def test_files_belong_to_the_user_who_needs_them(place: Place, backend: str, owner: str) -> None:
    """/var/log and /run are root's: what we need there is made before we are somebody else, and can be opened again."""
    var = place.root / f"var-{owner.replace(' ', '-')}"
    var.mkdir(mode=0o755)
    if owner != "root":
        os.chown(var, place.uid, place.gid)
    log, pidfile = var / "log", var / "pid"
    front = configured(place, backend, logfile=log, pidfile=pidfile, user=place.user)
    with daemon(front, root=True, pidfile=pidfile) as pid:
        assert os.stat(f"/proc/{pid}").st_uid == log.stat().st_uid == pidfile.stat().st_uid == place.uid
        assert (front.dir / f".s.PGSQL.{front.port}").stat().st_uid == place.uid
        log.rename(var / "log.1")
        if owner == "root":  # logrotate's `create`
            place.write(log, "", 0o640)
        os.kill(pid, signal.SIGHUP)
        wait_until(lambda: log.exists() and "reloaded" in log.read_text(), what="a line in the new log")
        assert log.stat().st_uid == place.uid and "Hangup" in (var / "log.1").read_text()
    assert not pidfile.exists() or pidfile.read_text() == ""
    with daemon(front, "-u", place.user, root=True, pidfile=pidfile):
        pass


@as_root
def test_what_the_user_may_not_read_fails_at_the_start(place: Place, backend: str) -> None:
    front = configured(place, backend, user=place.user)
    os.chown(front.auth_file, 0, 0)
    done = run(front, "-d", root=True)
    assert done.returncode == 1 and "users.txt" in done.stderr, done
    place.write(front.auth_file, "")
    os.chown(front.ini, 0, 0)
    with daemon(front, root=True):
        assert "reloads will fail" in front.log_text()


# One in the place of another.

def test_reboot_takes_the_place(place: Place, backend: str) -> None:
    front = configured(place, backend, shutdown_timeout=30)
    with daemon(front) as old:
        busy, idle = Wire(front.port).login(), Wire(front.port).login()
        busy.ask("BEGIN")
        argv = [str(kit_sluice.installed(place)), "-R", "-d", front.ini.name]
        with place.spawn(argv, cwd=front.dir, log=front.dir / "other", env=ENVIRONMENT) as successor:
            assert idle.refused()["C"] == "57P01"
            assert wire.letters(busy.send(wire.query("COMMIT")).ready()) == "CZ"
            assert busy.refused()["C"] == "57P01"
            assert successor.wait(STOP_TIMEOUT) == 0
        assert pid_in(front.dir / "pid") != old
        wait_until(lambda: not is_running(old), STOP_TIMEOUT, "the end of the old one")  # its files it has left already
        with front.connect() as connection, front.connect(host=str(front.dir)) as local:
            assert connection.execute("SELECT 1").fetchone() == local.execute("SELECT 1").fetchone() == (1,)
    assert not (front.dir / "pid").exists()


def test_reboot_of_nobody_is_a_start(place: Place, backend: str) -> None:
    front = configured(place, backend)
    with daemon(front, "-R"), front.connect() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


# Debian's own script.

INIT_SCRIPT = Path("/etc/init.d/pgbouncer")
IN_ITS_PLACE = """
mount --bind "$0" /usr/sbin/pgbouncer && mount --bind "$1/etc" /etc/pgbouncer && mount --bind "$1/run" /run/postgresql &&
mount --bind "$1" /var/log/postgresql || exit 77
for action in start status start reload restart status stop status stop; do
	sh /etc/init.d/pgbouncer $action </dev/null >>"$1/said" 2>&1
	echo "$action $? $(cat /run/postgresql/pgbouncer.pid 2>/dev/null)"
done
rm /etc/pgbouncer/pgbouncer.ini && echo "[nonsense]" >/etc/pgbouncer/pgbouncer.ini
sh /etc/init.d/pgbouncer start </dev/null >>"$1/said" 2>&1
echo "start $?"
"""


@as_root
@pytest.mark.skipif(not INIT_SCRIPT.exists() or not shutil.which("unshare"),
                    reason="no /etc/init.d/pgbouncer, or no unshare to put us in its place for one test only")
def test_debians_init_script_of_pgbouncer(place: Place) -> None:
    """With Debian's configuration, but for the port; the program in the place of /usr/sbin/pgbouncer."""
    where = place.make_dir("deb")
    for name in ("etc", "run"):
        (where / name).mkdir()
        os.chown(where / name, place.uid, place.gid)
    ini = Path("/etc/pgbouncer/pgbouncer.ini").read_text(encoding="utf-8")
    place.write(where / "etc" / "pgbouncer.ini", re.sub(r"(?m)^listen_port = .*", f"listen_port = {place.port()}", ini))
    place.write(where / "etc" / "userlist.txt", "")
    done = subprocess.run(["unshare", "-m", "sh", "-c", IN_ITS_PLACE, str(kit_sluice.installed(place)), str(where)],
                          env={**procs.environment(place.root, where), **ENVIRONMENT}, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=120, check=False)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"no mounts of our own here: {done.stderr.strip()}")
    rows = [line.split() for line in done.stdout.splitlines()]
    log = (where / "pgbouncer.log").read_text()
    assert [(row[0], row[1]) for row in rows] == [
        ("start", "0"), ("status", "0"), ("start", "0"), ("reload", "0"), ("restart", "0"), ("status", "0"),
        ("stop", "0"), ("status", "3"), ("stop", "0"), ("start", "1")], (done, (where / "said").read_text(), log)
    pids = [row[2] if len(row) > 2 else "" for row in rows]
    assert pids[0] == pids[1] == pids[2] == pids[3] != pids[4] == pids[5] != "" and pids[6] == pids[7] == "", pids
    assert log.count(" ready: ") == log.count(" stopped") == 2 and log.count(" reloaded") == 1, log


# Syslog.

DEV_OF_ITS_OWN = """
for each in null random urandom; do touch "$0/$each" && mount --bind "/dev/$each" "$0/$each" || exit 77; done
mount --rbind "$0" /dev && exec setpriv --reuid "$1" --regid "$2" --clear-groups "$3" -d "$4"
"""


@as_root
@pytest.mark.skipif(not shutil.which("unshare"), reason="no unshare: one process can't have a /dev/log of its own")
def test_syslog(place: Place, backend: str) -> None:
    front = configured(place, backend, logfile=None, syslog=1, syslog_ident="my pooler", syslog_facility="local3")
    dev = place.make_dir("dev")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(dev / "log"))
        (dev / "log").chmod(0o777)
        heard.settimeout(30)
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", DEV_OF_ITS_OWN, str(dev), str(place.uid), str(place.gid),
             str(kit_sluice.installed(place)), front.ini.name],
            cwd=front.dir, env={**procs.environment(place.root, front.dir), **ENVIRONMENT}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=60, check=False)
        if done.returncode == 77 or "unshare" in done.stderr:
            pytest.skip(f"no mounts of our own here: {done.stderr.strip()}")
        assert done.returncode == 0, done
        pid = pid_in(front.dir / "pid")

        def line_with(words: str) -> str:
            while True:
                line = heard.recv(8192).decode().rstrip("\n\0")
                if words in line:
                    return line

        line = line_with(" ready: ")
        assert re.fullmatch(rf"<{19 * 8 + 6}>.* my pooler\[{pid}\]: main pgsluice \S+ ready: .*", line), line
        os.kill(pid, signal.SIGTERM)
        line_with("main stopped")
        wait_until(lambda: not is_running(pid), STOP_TIMEOUT, "its end")
        well(front)

"""A PostgreSQL of our own in a directory of our own, thrown away afterwards.

Runs as user postgres when we are root (it refuses to run as root), listens on loopback and on a Unix socket in its directory.
It writes nothing safely: what is measured is what stands in front of it.
"""
import glob
import os
import subprocess
import time

SERVER_USER = "postgres"

SETTINGS = """
listen_addresses = '127.0.0.1'
fsync = off
synchronous_commit = off
full_page_writes = off
autovacuum = off
checkpoint_timeout = 1h
max_wal_size = 8GB
shared_buffers = 256MB
max_connections = 600
jit = off
synchronize_seqscans = off
logging_collector = off
password_encryption = scram-sha-256
"""


def find_programs():
    """The directory of initdb and postgres; the newest of Debian's, else wherever pg_config says."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"), key=lambda p: float(p.split("/")[4]))
    if found:
        return os.path.dirname(found[-1])
    return subprocess.run(["pg_config", "--bindir"], check=True, capture_output=True, text=True).stdout.strip()


def as_server_user():
    """Arguments for subprocess: not as root."""
    if os.geteuid() != 0:
        return {}
    return {"user": SERVER_USER, "group": SERVER_USER, "extra_groups": []}


def wait_until(question, seconds, what):
    end = time.monotonic() + seconds
    while not question():
        if time.monotonic() > end:
            raise RuntimeError(f"{what}: not within {seconds} s")
        time.sleep(0.05)


class Postgres:
    def __init__(self, directory, port, prefix=(), settings="", hba=""):
        self.directory, self.port, self.prefix = directory, port, list(prefix)
        self.data = os.path.join(directory, "data")
        self.bin = find_programs()
        self.settings, self.hba, self.process = settings, hba, None

    def start(self):
        quiet = {"stdout": subprocess.DEVNULL, "cwd": self.directory, **as_server_user()}
        subprocess.run([f"{self.bin}/initdb", "-D", self.data, "-A", "trust", "-U", "postgres", "-N",
                        "--locale=C", "-E", "UTF8"], check=True, **quiet)
        with open(f"{self.data}/postgresql.conf", "a") as f:
            f.write(SETTINGS + f"port = {self.port}\nunix_socket_directories = '{self.directory}'\n" + self.settings)
        if self.hba:
            with open(f"{self.data}/pg_hba.conf", "w") as f:
                f.write(self.hba)
        log = open(f"{self.directory}/postgres.log", "w")
        self.process = subprocess.Popen(self.prefix + [f"{self.bin}/postgres", "-D", self.data], stdout=log, stderr=log,
                                        stdin=subprocess.DEVNULL, cwd=self.directory, **as_server_user())
        wait_until(lambda: subprocess.run([f"{self.bin}/pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]).returncode == 0,
                   30, "PostgreSQL is not ready")

    def sql(self, text, database="postgres"):
        p = subprocess.run(["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port),
                            "-U", "postgres", "-d", database, "-c", text], capture_output=True, text=True)
        if p.returncode != 0:
            raise RuntimeError(f"{text}: {p.stderr.strip()}")
        return p.stdout.strip()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(2)  # fast shutdown
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.send_signal(3)
                self.process.wait(20)

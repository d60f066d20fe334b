"""The programs that are compared: each can be started in front of a PostgreSQL, says which processes it is, and is stopped.

pgsluice gets the very file that PgBouncer gets: a [pgbouncer] section means PgBouncer's defaults to it.
"""
import base64
import hashlib
import hmac
import os
import resource
import signal
import subprocess

from .postgres import as_server_user, wait_until

USER, PASSWORD, DATABASE = "bench", "bench-Secret-1", "bench"
DESCRIPTORS = 50000


def scram_secret(password, rounds=4096):
    salt = b"0123456789abcdef"
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    text = [base64.b64encode(x).decode() for x in (salt, stored, server)]
    return f"SCRAM-SHA-256${rounds}:{text[0]}${text[1]}:{text[2]}"


def make_certificate(directory):
    """A self-made key and certificate for localhost; returns (key, certificate)."""
    key, certificate = f"{directory}/server.key", f"{directory}/server.crt"
    if not os.path.exists(key):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", certificate],
                       check=True, capture_output=True, **as_server_user())
        os.chmod(key, 0o600)
    return key, certificate


BASIC = {
    "listen_addr": "127.0.0.1", "unix_socket_dir": "", "listen_backlog": 4096,
    "pool_mode": "transaction", "default_pool_size": 20, "max_client_conn": 12000,
    "auth_type": "trust", "log_connections": 0, "log_disconnections": 0, "log_stats": 0,
    "ignore_startup_parameters": "extra_float_digits", "server_tls_sslmode": "disable",
    "server_idle_timeout": 0, "server_lifetime": 86400,
}


def write_pooler_file(path, postgres, port, settings, secret):
    """pgbouncer.ini and its auth_file. A setting whose name begins with a dot is not for the file."""
    merged = {**BASIC, "listen_port": port, "auth_file": path + ".users",
              **{k: v for k, v in settings.items() if not k.startswith(".")}}
    with open(path + ".users", "w") as f:
        f.write(f'"{USER}" "{secret}"\n')
    entry = settings.get(".database", f"host=127.0.0.1 port={postgres.port} dbname={DATABASE}")
    with open(path, "w") as f:
        f.write(f"[databases]\n{DATABASE} = {entry}\n[pgbouncer]\n")
        f.writelines(f"{k} = {v}\n" for k, v in merged.items())


def raise_limits():
    """As many descriptors as we may have, for all that is started from here on; returns how many that is."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for wanted in (max(hard, DESCRIPTORS), hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
            return wanted
        except ValueError:
            continue  # not even root may raise the hard limit without CAP_SYS_RESOURCE
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class Program:
    """One way to PostgreSQL. `pids` are the processes whose cost is counted."""
    name = title = ""

    def __init__(self, directory, port, binary, prefix=()):
        self.directory, self.port, self.binary, self.prefix = directory, port, binary, list(prefix)
        self.processes = []

    @property
    def pids(self):
        return [p.pid for p in self.processes]

    def launch(self, command, label):
        log = open(f"{self.directory}/{self.name}-{label}.log", "a")
        p = subprocess.Popen(self.prefix + command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.directory,
                             **as_server_user())
        self.processes.append(p)
        return p

    def wait_ready(self, user=USER, database=DATABASE, password=PASSWORD, sslmode="prefer"):
        def answers():
            dead = [p for p in self.processes if p.poll() is not None]
            if dead:
                raise RuntimeError(f"{self.title} ended by itself: see {self.directory}/{self.name}-*.log: {self.last_words()}")
            return subprocess.run(["psql", "-X", "-q", "-A", "-t", "-h", "127.0.0.1", "-p", str(self.port), "-U", user, "-d", database,
                                   "-c", "select 1"], capture_output=True,
                                  env={**os.environ, "PGPASSWORD": password, "PGSSLMODE": sslmode}).returncode == 0
        wait_until(answers, 60, f"{self.title} does not answer on port {self.port}")

    def most_clients(self, descriptors):
        return descriptors - 500

    def last_words(self):
        for name in sorted(os.listdir(self.directory)):
            if name.startswith(self.name + "-") and name.endswith(".log"):
                with open(f"{self.directory}/{name}", errors="replace") as f:
                    lines = f.read().strip().splitlines()
                if lines:
                    return lines[-1][:300]
        return "(no words)"

    def start(self, postgres, settings, secret):
        raise NotImplementedError

    def stop(self):
        for p in self.processes:
            if p.poll() is None:
                p.send_signal(signal.SIGINT if p.args[-2:-1] == ["-db"] else signal.SIGTERM)
        for p in self.processes:
            try:
                p.wait(5)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        self.processes = []


class Direct(Program):
    """PostgreSQL itself, for the eye: no process of ours is counted."""
    name, title = "direct", "direct"

    def start(self, postgres, settings, secret):
        self.port = postgres.port


class Pooler(Program):
    def start(self, postgres, settings, secret):
        path = f"{self.directory}/{self.name}.ini"
        write_pooler_file(path, postgres, self.port, settings, secret)
        self.launch([self.binary, path], "pooler")
        self.wait_ready()


class PgBouncer(Pooler):
    name, title = "pgbouncer", "PgBouncer"


class Pgsluice(Pooler):
    name, title = "pgsluice", "pgsluice"


HAPROXY = """
global
    maxconn {maxconn}
    nbthread 1
defaults
    mode tcp
    maxconn {maxconn}
    timeout connect 5s
    timeout client 1h
    timeout server 1h
frontend front
    bind 127.0.0.1:{port} backlog 4096
    default_backend back
backend back
    server pgbouncer 127.0.0.1:{behind} maxconn {maxconn}
"""


class Pair(Program):
    """HAProxy in front of a PgBouncer of its own; both are counted."""
    name, title = "pair", "HAProxy+PgBouncer"

    def __init__(self, directory, port, haproxy, pgbouncer, prefix=()):
        super().__init__(directory, port, haproxy, prefix)
        self.pgbouncer = pgbouncer

    def most_clients(self, descriptors):
        return (descriptors - 200) // 2  # HAProxy has two sockets for each client

    def start(self, postgres, settings, secret):
        path = f"{self.directory}/{self.name}.ini"
        write_pooler_file(path, postgres, self.port + 1, settings, secret)
        with open(f"{self.directory}/haproxy.cfg", "w") as f:
            f.write(HAPROXY.format(port=self.port, behind=self.port + 1, maxconn=min(12000, self.most_clients(raise_limits()))))
        self.launch([self.pgbouncer, path], "pgbouncer")
        self.launch([self.binary, "-f", f"{self.directory}/haproxy.cfg", "-db"], "haproxy")
        self.wait_ready()

"""The rows of the table: what is run, what is measured, and what pgsluice may cost at most.

A row's turn() runs one program for some seconds and returns {measure: value}; count() runs it once, shortly, to count
system calls. Claims are ratios pgsluice / PgBouncer of the same turn.
"""
import os
import time
from dataclasses import dataclass, field

from .measure import (Failed, counting_calls, forget_peak, peak_bytes, processor_ns, resident_bytes)

CLIENTS = 32  # over 20 servers, PgBouncer's default pool; bench/run --clients

# measure: (what, unit, digits, more is better)
MEASURES = {
    "cpu": ("processor time", "us/transaction", 2, False),
    "cpu_query": ("processor time", "us/query", 2, False),
    "cpu_login": ("processor time", "us/login", 1, False),
    "cpu_gb": ("processor time", "s/GB", 3, False),
    "cpu_paced": ("processor time, paced", "us/transaction", 2, False),
    "calls": ("system calls", "/transaction", 2, False),
    "trips": ("transactions of the server", "/query", 3, False),
    "calls_query": ("system calls", "/query", 2, False),
    "calls_mb": ("system calls", "/MB", 1, False),
    "calls_login": ("system calls", "/login", 1, False),
    "clients": ("clients (as descriptors allow)", "", 0, True),
    "ir_simple": ("instructions in user space, simple", "/transaction", 0, False),
    "ir_extended": ("instructions in user space, extended", "/transaction", 0, False),
    "ir_prepared": ("instructions in user space, prepared", "/transaction", 0, False),
    "ir_block": ("instructions in user space, block of three", "/transaction", 0, False),
    "rate": ("for the eye", "transactions/s", 0, True),
    "logins": ("for the eye", "logins/s", 0, True),
    "mb": ("for the eye", "MB/s", 0, True),
    "p50": ("for the eye: p50", "us", 0, False),
    "p99": ("for the eye: p99", "us", 0, False),
    "spread": ("p99/p50 of the wait", "", 3, False),
    "first": ("cold: every one served within", "s", 2, False),
    "empty": ("resident, nobody there", "MB", 2, False),
    "unused": ("resident, never used", "bytes/client", 0, False),
    "used": ("resident, used, idle again", "bytes/client", 0, False),
    "idle": ("resident, all connected, never used", "MB", 1, False),
    "peak": ("resident at work, peak", "MB", 1, False),
    "idle_again": ("resident, all idle again", "MB", 1, False),
    "against_100": ("throughput / that of 100 clients", "", 3, True),
}


@dataclass
class Row:
    name: str
    text: str
    turn: object                                  # turn(bench, program, instead) -> {measure: value}
    count: object = None                          # the same, once
    settings: dict = field(default_factory=dict)  # over programs.BASIC
    at_most: dict = field(default_factory=dict)   # {measure: ratio to PgBouncer}
    secret: str = "plain"                         # what auth_file holds: plain or scram
    instead: str = ""                             # what an old PgBouncer runs in its place, and then at_most speaks of that
    instead_when: tuple = (1, 21)                 # ... before this release
    instead_settings: dict = None
    with_direct: bool = False
    is_fresh: bool = False                        # the turn starts and stops the program itself
    is_exact: bool = False                        # one turn is enough: it repeats exactly


# ---- pgbench ----

BLOCK = r"""\set aid random(1, 100000 * :scale)
BEGIN;
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
COMMIT;
"""
# What sessions are asked to remember: SET in each transaction; SET once, as an application does when it connects, and then four
# transactions that need it.
SET_EACH = r"""\set ms random(10000, 99999)
SET statement_timeout = :ms;
SELECT 1;
"""
SET_ONCE = r"""\if :is_set = 0
SET work_mem = '5MB';
SET search_path = public, pg_catalog;
\set is_set 1
\endif
SELECT 1;
SELECT 1;
SELECT 1;
SELECT 1;
"""
PIPELINED = 16
PIPELINE = "\\startpipeline\n" + PIPELINED * (
    "\\set aid random(1, 100000 * :scale)\nSELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n") + "\\endpipeline\n"


def script(bench, name, text):
    path = os.path.join(bench.directory, name + ".pgbench")
    if not os.path.exists(path):
        with open(path, "w") as f:
            f.write(text)
    return path


def pgbench_row(name, text, mode, what, per=1, instead_mode="", clients=0, is_threaded=False, tls=False,
                transactions=1000, **more):
    """what: arguments of pgbench, or (name, text) of a script. per: queries to a transaction that the figures are divided by.

    clients: 0 means as many as bench/run was told. is_threaded: a thread for each. pgbench prepares with a blocking call; one thread
    for all would wait there for a server while all servers wait for its other clients to go on with their transactions.
    """
    cpu, calls = ("cpu_query", "calls_query") if per > 1 else ("cpu", "calls")
    sslmode = "require" if tls else "disable"

    def arguments(bench, instead):
        chosen = ["-f", script(bench, *what)] if isinstance(what, tuple) else what
        n = clients or bench.clients
        return [*chosen, "-M", instead_mode if instead else mode, "-c", str(n), "-j", str(n if is_threaded else 1)]

    def turn(bench, program, instead):
        before = processor_ns(program.pids)
        done, rate = bench.load.pgbench(program.port, [*arguments(bench, instead), "-T", str(max(1, round(bench.seconds)))], sslmode)
        after = processor_ns(program.pids)
        return {cpu: (after - before) / 1000 / done / per, "rate": rate * per}

    def count(bench, program, instead):
        with counting_calls(program.pids) as counted:
            done, _ = bench.load.pgbench(program.port, [*arguments(bench, instead), "-t", str(max(10, transactions // per))], sslmode)
        return {calls: counted[0] / done / per}

    return Row(name, text, turn, count, **more)


def session_row(name, text, mode, what, per, instead_mode="", **more):
    """With how many transactions of the server's a client's query comes about: the program ends with the turn, so that all its
    server connections have told what they did."""
    def turn(bench, program, instead):
        arguments = ["-D", "is_set=0", "-f", script(bench, *what), "-M", instead_mode if instead else mode, "-c", str(bench.clients),
                     "-T", str(max(1, round(bench.seconds)))]
        trips = bench.server_transactions()
        with bench.fresh(program, row):
            before = processor_ns(program.pids)
            done, rate = bench.load.pgbench(program.port, arguments)
            after = processor_ns(program.pids)
        return {"cpu_query": (after - before) / 1000 / done / per, "rate": rate * per,
                "trips": (bench.server_transactions() - trips) / done / per}

    row = Row(name, text, turn, is_fresh=True, **more)
    return row


# ---- one client ----

def alone(bench, program, instead):
    with bench.load.clients(program.port, 1) as tell:
        got = tell(f"run {bench.seconds}")
    return {"p50": got["p50_us"], "p99": got["p99_us"]}


def one_client_row(name, text, mode, turn=None, **more):
    row = pgbench_row(name, text, mode, ["-S"], clients=1, transactions=4000, **more)
    if turn:
        row.turn = turn
    return row


INSTRUCTIONS_FEW, INSTRUCTIONS_MANY = 500, 2500


def instructions(bench, program, instead):
    """User space instructions per transaction: the difference of a long and a short run under callgrind.

    A client and a server in lockstep (bench/lockstep.c), not pgbench and PostgreSQL: whose bytes come in other portions each time,
    and whose log-in costs other work. What begins and ends both runs falls out; a second more of timers is all that does not.
    """
    result = {}
    for mode in ("simple", "extended", "prepared", "block"):
        if instead and mode == "prepared":
            continue
        totals = []
        for transactions in (INSTRUCTIONS_FEW, INSTRUCTIONS_MANY):
            with bench.lockstep(program) as (server, tell), \
                    bench.fresh(program, INSTRUCTIONS, ["valgrind", "-q", "--tool=callgrind", "--callgrind-out-file=callgrind.%p"],
                                server):
                pids = program.pids
                tell(f"{mode} {transactions}")
            totals.append(sum(callgrind_total(f"{bench.directory}/callgrind.{pid}") for pid in pids))
        result["ir_" + mode] = (totals[1] - totals[0]) / (INSTRUCTIONS_MANY - INSTRUCTIONS_FEW)
    return result


def callgrind_total(path):
    with open(path) as f:
        return sum(int(line.split()[1]) for line in f if line.startswith("totals:"))


# ---- crowds ----

def crowd_row(name, wanted, servers, tls=False, **more):
    extra = ["--sources", "8", "--opening", "64"]

    def turn(bench, program, instead):
        n = min(wanted, program.most_clients(bench.descriptors) - 110)  # those who come later too
        with bench.fresh(program, row):
            with bench.load.clients(program.port, 1, tls) as tell:
                tell("run 0.2")
            empty = resident_bytes(program.pids)
            with bench.load.clients(program.port, n, tls, extra) as tell:
                time.sleep(0.5)
                unused = resident_bytes(program.pids)
                forget_peak(program.pids)
                cold = tell("run 1")  # opens the server connections; each client is served at least once
                if cold["served"] != n or cold["longest_us"] > 60e6:
                    raise Failed(f"{cold['served']} of {n} served, the longest wait was {cold['longest_us'] / 1e6:.1f} s")
                seconds = max(bench.seconds, 1.0 + n / 1000)  # each client several times
                before = processor_ns(program.pids)
                got = tell(f"run {seconds}")
                cpu = (processor_ns(program.pids) - before) / 1000 / got["transactions"]
                if got["served"] != n:
                    raise Failed(f"{got['served']} of {n} served")
                peak = peak_bytes(program.pids)
                time.sleep(2)
                used = resident_bytes(program.pids)
                before = processor_ns(program.pids)
                paced = tell(f"run {bench.seconds} 4000")
                cpu_paced = (processor_ns(program.pids) - before) / 1000 / paced["transactions"]
                with bench.load.clients(program.port, 100, tls) as few:
                    few("run 0.3")
                    hundred = few(f"run {bench.seconds}")
        return {"cpu": cpu, "cpu_paced": cpu_paced, "rate": got["per_second"], "first": cold["longest_us"] / 1e6,
                "p50": got["p50_us"], "p99": got["p99_us"], "spread": got["p99_us"] / max(1, got["p50_us"]),
                "against_100": got["per_second"] / hundred["per_second"],
                "empty": empty / 1e6, "unused": (unused - empty) / n, "used": (used - empty) / n, "peak": peak / 1e6,
                "idle": unused / 1e6, "idle_again": used / 1e6, "clients": n}

    text = f"{wanted:,} clients over {servers} servers" + (", TLS" if tls else "")
    row = Row(name, text, turn, is_fresh=True, at_most={"cpu": 1.0, "unused": 1.0, "used": 1.0, "idle": 1.0, "peak": 1.0, "idle_again": 1.0},
              settings={"default_pool_size": servers, **(TLS if tls else {})}, **more)
    return row


# ---- logins ----

LOGINS_AT_A_TIME = 16


def login_row(name, text, tls=False, kind="logins", **more):
    def turn(bench, program, instead):
        with bench.load.clients(program.port, 0, tls and not instead, ["--sources", "8"]) as tell:
            tell(f"{kind} 0.3 4")
            before = processor_ns(program.pids)
            got = tell(f"{kind} {bench.seconds} {LOGINS_AT_A_TIME}")
            after = processor_ns(program.pids)
        return {"cpu_login": (after - before) / 1000 / got["logins"], "logins": got["per_second"]}

    def count(bench, program, instead):
        with bench.load.clients(program.port, 0, tls and not instead, ["--sources", "8"]) as tell:
            tell(f"{kind} 0.3 4")
            with counting_calls(program.pids) as counted:
                got = tell(f"{kind} 0.5 4")
        return {"calls_login": counted[0] / got["logins"]}

    return Row(name, text, turn, count, **more)


# ---- COPY ----

def copy_row(name, text, what, tls=False, **more):
    def turn(bench, program, instead):
        before = processor_ns(program.pids)
        got = bench.load.copy(program.port, what, bench.copy_bytes, tls=tls)
        after = processor_ns(program.pids)
        moved = got["sent"] + got["received"]
        return {"cpu_gb": (after - before) / moved, "mb": moved / 1e6 / got["seconds"]}

    def count(bench, program, instead):
        with counting_calls(program.pids) as counted:
            got = bench.load.copy(program.port, what, bench.copy_bytes // 4, tls=tls)
        return {"calls_mb": counted[0] / ((got["sent"] + got["received"]) / 1e6)}

    return Row(name, text, turn, count, at_most={"cpu_gb": 1.0}, settings=TLS if tls else {}, **more)


# Paths are put in by bench/run, which makes the certificate.
TLS = {"client_tls_sslmode": "require", "client_tls_key_file": "@KEY@", "client_tls_cert_file": "@CERTIFICATE@"}
SCRAM = {"auth_type": "scram-sha-256"}
AS_SIMPLE = "PgBouncer before 1.21 knows no prepared statements: it runs the simple row"
AS_EXTENDED = "PgBouncer before 1.21 knows no prepared statements: it runs the pipelined extended row"
AS_TRUST = "PgBouncer before 1.25 stretches a plain password at each login: it runs the trust row"

INSTRUCTIONS = Row("instructions", "instructions under callgrind, one client alone", instructions, is_fresh=True, is_exact=True,
                   at_most={"ir_simple": 0.72, "ir_extended": 0.77, "ir_prepared": 1.0, "ir_block": 0.68}, secret="scram",
                   instead="PgBouncer before 1.21 knows no prepared statements: it has no such figure")

ROWS = [
    pgbench_row("select-simple", "select by key, simple", "simple", ["-S"], at_most={"cpu": 1.0, "calls": 1.0}),
    pgbench_row("select-extended", "select by key, extended", "extended", ["-S"], at_most={"cpu": 1.0, "calls": 1.0}),
    pgbench_row("select-prepared", "select by key, prepared", "prepared", ["-S"], at_most={"cpu": 1.01, "calls": 1.0},
                instead=AS_SIMPLE, instead_mode="simple"),
    pgbench_row("tpcb-simple", "TPC-B, simple", "simple", [], is_threaded=True, transactions=100, at_most={"cpu": 1.0}),
    pgbench_row("tpcb-extended", "TPC-B, extended", "extended", [], is_threaded=True, transactions=100, at_most={"cpu": 1.0}),
    pgbench_row("tpcb-prepared", "TPC-B, prepared", "prepared", [], is_threaded=True, transactions=100, at_most={"cpu": 1.01},
                instead=AS_SIMPLE, instead_mode="simple"),
    pgbench_row("block", "BEGIN, select, COMMIT as three messages", "simple", ("block", BLOCK), transactions=400,
                at_most={"cpu": 1.0, "calls": 1.0}),
    session_row("set-each", "SET and select, simple", "simple", ("set-each", SET_EACH), per=2),
    session_row("set-once", "SET once, then four selects, simple", "simple", ("set-once", SET_ONCE), per=4),
    session_row("set-once-prepared", "SET once, then four selects, prepared", "prepared", ("set-once", SET_ONCE), per=4,
                instead=AS_SIMPLE, instead_mode="simple"),
    pgbench_row("pipeline", "16 extended to a pipeline", "extended", ("pipeline", PIPELINE), per=PIPELINED, transactions=4000,
                at_most={"cpu_query": 1.0}),
    pgbench_row("pipeline-prepared", "16 prepared to a pipeline", "prepared", ("pipeline", PIPELINE), per=PIPELINED,
                transactions=4000, at_most={"cpu_query": 1.1}, instead=AS_EXTENDED, instead_mode="extended"),
    pgbench_row("tls-select", "select by key, simple, TLS from the client", "simple", ["-S"], tls=True, settings=TLS,
                at_most={"cpu": 1.0}),
    one_client_row("one-simple", "one client alone, simple", "simple", alone, at_most={"p50": 1.0, "calls": 1.0}, with_direct=True),
    one_client_row("one-extended", "one client alone, extended", "extended", at_most={"calls": 1.0}),
    one_client_row("one-prepared", "one client alone, prepared", "prepared", at_most={"calls": 1.0},
                   instead=AS_SIMPLE, instead_mode="simple"),
    INSTRUCTIONS,
    crowd_row("crowd-1000", 1000, 100),
    crowd_row("crowd-10000", 10000, 100),
    crowd_row("crowd-tls", 1000, 100, tls=True),
    login_row("login-trust", "log in by trust and leave", at_most={"cpu_login": 1.0}),
    login_row("login-scram", "log in by SCRAM and leave", settings=SCRAM, secret="scram", at_most={"cpu_login": 1.0}),
    login_row("login-tls-scram", "log in by TLS and SCRAM and leave", tls=True, settings={**SCRAM, **TLS}, secret="scram",
              at_most={"cpu_login": 1.0}),
    # PgBouncer 1.25 keeps the stretched key and needs 1.8 times its trust login.
    login_row("login-scram-plain", "log in by SCRAM, auth_file with plain passwords", settings=SCRAM,
              at_most={"cpu_login": 1.8}, instead=AS_TRUST, instead_when=(1, 25), instead_settings={}),
    login_row("visit-trust", "log in by trust, one select, leave", kind="visits", at_most={"cpu_login": 1.0}),
    copy_row("copy-out", "COPY out", "source"),
    copy_row("copy-in", "COPY in", "sink"),
    copy_row("copy-out-tls", "COPY out, TLS from the client", "source", tls=True),
    copy_row("copy-in-tls", "COPY in, TLS from the client", "sink", tls=True),
]

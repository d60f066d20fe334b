"""Reading what the kernel knows of a process, and driving the load programs."""
import contextlib
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import time


class Failed(Exception):
    """A measurement that could not be made; its text goes into the table."""


def processor_ns(pids):
    """Nanoseconds of processor time of all threads, user and kernel, as the scheduler counts them."""
    total = 0
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/schedstat") as f:
                total += int(f.read().split()[0])
    return total


def status_bytes(pids, field):
    """Sum of VmRSS or VmHWM."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/status") as f:
            total += int(re.search(rf"^{field}:\s+(\d+) kB", f.read(), re.M)[1]) * 1024
    return total


def resident_bytes(pids):
    return status_bytes(pids, "VmRSS")


def peak_bytes(pids):
    return status_bytes(pids, "VmHWM")


def forget_peak(pids):
    for pid in pids:
        with open(f"/proc/{pid}/clear_refs", "w") as f:
            f.write("5")


@contextlib.contextmanager
def counting_calls(pids):
    """Count the system calls of these processes in the body; the result is in the list once it has ended.

    perf counts in the kernel and disturbs little; strace stops the process at each call, which makes a busy proxy batch
    less than it would. Hence perf where it may be used, and strace else.
    """
    result = []
    if not pids:
        yield result
        result.append(0)
        return
    targets = ",".join(map(str, pids))
    if os.geteuid() == 0 and shutil.which("perf"):
        command = ["perf", "stat", "-x", ";", "-e", "raw_syscalls:sys_enter", "-p", targets]
    elif shutil.which("strace"):
        command = ["strace", "-c", "-f", *(x for pid in pids for x in ("-p", str(pid)))]
    else:
        raise Failed("neither perf nor strace")
    p = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    time.sleep(0.3)  # to attach
    try:
        yield result
    finally:
        p.send_signal(signal.SIGINT)
        text = p.communicate()[1]
    if command[0] == "perf":
        m = re.search(r"^(\d+);.*sys_enter", text, re.M)
    else:
        m = re.search(r"^100\.00\s+\S+\s+\d*\s+(\d+).*total", text, re.M)
    if not m:
        raise Failed("could not count system calls: " + text.strip()[-200:])
    result.append(int(m[1]))


class Load:
    """Starts the load programs against one endpoint."""

    def __init__(self, prefix, clients, copy, user, password, database, scale, directory):
        self.prefix, self.clients_program, self.copy_program = list(prefix), clients, copy
        self.user, self.password, self.database, self.scale, self.directory = user, password, database, scale, directory

    def pgbench(self, port, arguments, sslmode="disable"):
        """Returns transactions and their number per second; any error fails it."""
        command = self.prefix + ["pgbench", "-n", "-h", "127.0.0.1", "-p", str(port), "-U", self.user, *arguments, self.database]
        p = subprocess.run(command, capture_output=True, text=True, timeout=600,
                           env={**os.environ, "PGPASSWORD": self.password, "PGSSLMODE": sslmode})
        done = re.search(r"actually processed: (\d+)", p.stdout)
        rate = re.search(r"tps = ([\d.]+) \(without initial", p.stdout)
        errors = re.search(r"failed transactions: (\d+)", p.stdout)
        if p.returncode != 0 or not done or not rate or (errors and int(errors[1]) > 0):
            told = [x for x in p.stderr.splitlines() if "rror" in x] or ["?"]
            raise Failed(told[0][:300])
        return int(done[1]), float(rate[1])

    @contextlib.contextmanager
    def clients(self, port, n, tls=False, extra=()):
        """bench/clients with n connections held; yields a function that sends it a command and returns its answer."""
        command = self.prefix + [self.clients_program, "--port", str(port), "--user", self.user, "--password", self.password,
                                 "--database", self.database, "--clients", str(n), "--keys", str(self.scale * 100000), *extra]
        p = subprocess.Popen(command + (["--tls"] if tls else []), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True)

        def answer():
            line = p.stdout.readline()
            if not line:
                raise Failed("clients: " + p.stderr.read().strip()[-200:])
            got = json.loads(line)
            if got["errors"] or got["lost"]:
                raise Failed(f"clients: {got['errors']} errors, {got['lost']} lost: {got['first_error']}")
            return got

        def tell(command_line):
            p.stdin.write(command_line + "\n")
            p.stdin.flush()
            return answer()

        try:
            answer()
            yield tell
        finally:
            with contextlib.suppress(OSError):
                p.stdin.close()
            try:
                p.wait(10)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
            p.stdout.close()
            p.stderr.close()

    def copy(self, port, *arguments, tls=False, database=None, timeout=900):
        command = self.prefix + [self.copy_program, "--port", str(port), "--user", self.user, "--password", self.password,
                                 "--database", database or self.database, *(["--tls"] if tls else []), *map(str, arguments)]
        p = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
        if p.returncode != 0:
            raise Failed(p.stderr.strip()[-200:])
        return json.loads(p.stdout)


class Lockstep:
    """bench/lockstep: a server for a program to connect to, and the one client that it has."""

    def __init__(self, binary, port, program_port, user, database):
        self.port = port
        self.command = [binary, "--listen", str(port), "--port", str(program_port), "--user", user, "--database", database]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.answer()
        return self

    def __exit__(self, *unused):
        self.process.kill()
        self.process.communicate()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise Failed(self.process.stderr.read().strip()[-200:] or "lockstep ended")
        return json.loads(line)

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.answer()


def median(values):
    return statistics.median(values) if values else None

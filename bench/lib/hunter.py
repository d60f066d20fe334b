"""One client of bench/leaks: what it does to its session, what it expects of it, and what it looks at.

The names are the same for all where that is more dangerous (the table `mine`, the statement `s`), and hold the client's number.
"""
import collections
import random
import threading
import time

import psycopg

ROLES = 4
# Made by a superuser, for {user}.
OBJECTS = [
    *(f"CREATE ROLE hunter_{i}; GRANT hunter_{i} TO {{user}}" for i in range(ROLES)),
    "CREATE SEQUENCE hunted; GRANT ALL ON SEQUENCE hunted TO PUBLIC",
    """CREATE OR REPLACE FUNCTION remember(name text, value text) RETURNS text LANGUAGE plpgsql AS
    'BEGIN RETURN set_config(name, value, false); END'""",
]
LOOK = """SELECT current_user, session_user,
    ARRAY(SELECT name || '=' || setting FROM pg_settings WHERE setting IS DISTINCT FROM reset_val AND name !~ '^tcp_|^application_name'
          AND context IN ('user', 'superuser')) || ('application_name=' || current_setting('application_name')),
    ARRAY(SELECT current_setting('leak.of_' || g, true) FROM unnest(%s::int[]) g),
    ARRAY(SELECT name || ': ' || statement FROM pg_prepared_statements),
    ARRAY(SELECT c FROM pg_listening_channels() c),
    ARRAY(SELECT objid::int || ' ' || mode FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
    ARRAY(SELECT relname::text FROM pg_class WHERE relnamespace = pg_my_temp_schema()),
    ARRAY(SELECT name FROM pg_cursors WHERE is_holdable)"""
WHAT = ["role", "login", "settings", "custom settings", "prepared statements", "channels", "advisory locks", "temporary objects", "cursors"]


class Gone(Exception):
    """The client has left on purpose."""


class Hunter(threading.Thread):
    def __init__(self, conninfo, number, seed, without=()):
        super().__init__(daemon=True)
        self.steps = [(do, often) for do, often in STEPS if do.__name__ not in without]
        self.conninfo, self.number = conninfo, number
        self.random = random.Random(seed * 100003 + number)
        self.asked_to_stop = threading.Event()
        self.findings = []  # kind, text
        self.done = collections.Counter()
        self.looks = self.heard = 0
        self.doing = "nothing yet"
        self.connection = None

    def find(self, kind, text):
        self.findings.append((kind, text))

    # ---- what there should be ----

    def connect(self):
        self.connection = psycopg.connect(self.conninfo, autocommit=True, application_name=f"hunter {self.number}")
        self.connection.prepare_threshold = None
        self.connection.add_notify_handler(self.on_notify)
        self.user = self.connection.info.user
        self.role = self.user
        self.forget_settings()
        self.channels = set()
        self.prepared = {}     # name: text as the view shows it
        self.locks, self.tables, self.cursors = set(), set(), set()
        self.sent = self.last_heard = 0  # the number in the last notification
        # What a pooler can't know before somebody has said it: this name, and that currval() is read here.
        self.say(f"SET leak.of_{self.number} = ''")
        self.find_no_draw()

    def forget_settings(self):
        self.settings, self.custom = {"application_name": f"hunter {self.number}"}, ""

    def expected(self, others):
        return (self.role, self.user, [f"{name}={value}" for name, value in self.settings.items()],
                [self.custom or None if other == self.number else None for other in others],
                [f"{name}: {text}" for name, text in self.prepared.items()], self.channels,
                [f"{lock} ExclusiveLock" for lock in self.locks], self.tables, self.cursors)

    def look(self):
        others = [self.number, *(self.random.randrange(120) for _ in range(3))]
        found = self.one(LOOK.replace("%s", "'{" + ",".join(map(str, others)) + "}'"))
        expected = self.expected(others)
        self.looks += 1
        for what, is_there, should_be in zip(WHAT, found, expected):
            if what == "custom settings":  # the name of another's stays known to the server: then its value is empty
                is_same = [each or None for each in is_there] == should_be
            elif isinstance(is_there, list):
                is_same = sorted(is_there) == sorted(should_be)
            else:
                is_same = is_there == should_be
            if not is_same:
                self.find(f"{what} leaked or lost", f"{is_there} instead of {should_be} after {self.doing}")

    def on_notify(self, notify):
        self.heard += 1
        if notify.channel != f"channel_{self.number}":
            self.find("notification leaked", f"{notify.channel} {notify.payload}")
        else:
            self.last_heard += 1
            if notify.payload != str(self.last_heard):
                self.find("notification lost or too much", f"{notify.payload} instead of {self.last_heard}")

    # ---- how ----

    def run(self):
        while not self.asked_to_stop.is_set() and len(self.findings) < 10:
            try:
                self.connect()
                while not self.asked_to_stop.is_set() and len(self.findings) < 10:
                    self.step()
                self.hear()
                self.connection.close()
            except Gone:
                self.connection.close()
            except psycopg.Error as error:
                if self.connection:
                    self.connection.close()
                self.find(f"error {error.sqlstate or type(error).__name__}", f"{str(error).strip()} in {self.doing}")
                self.asked_to_stop.wait(1)

    def step(self):
        do, _ = self.random.choices(self.steps, [often for _, often in self.steps])[0]
        self.doing = do.__name__
        self.done[do.__name__] += 1
        do(self)
        self.look()

    def say(self, text):
        self.connection.execute(text)

    def one(self, text):
        return self.connection.execute(text).fetchone()

    def check(self, what, found, expected):
        if found != expected:
            self.find(what, f"{found!r} instead of {expected!r} in {self.doing}")

    def hear(self):
        """What it was told itself has to come, if late."""
        until = time.monotonic() + 30
        while self.last_heard < self.sent and time.monotonic() < until:
            self.one("SELECT 1")
            time.sleep(0.01)
        if self.last_heard < self.sent:
            self.find("notification lost", f"{self.sent} was sent, {self.last_heard} heard last")

    # ---- what it does ----

    def set_one(self):
        name, value = self.random.choice([("work_mem", 1000 + self.number), ("lock_timeout", 100000 + self.number),
                                          ("search_path", f"hunter_{self.number}"), ("TimeZone", f"Etc/GMT+{self.number % 12}")])
        self.say(f"SET {name} = '{value}'")
        self.settings[name] = str(value)

    def set_reported(self):
        self.say(f"SET application_name = 'own {self.number}'")
        self.settings["application_name"] = f"own {self.number}"

    def set_custom(self):
        self.custom = f"value {self.number} {self.random.random()}"
        how = self.random.choice(["SET leak.of_{n} = '{v}'", "SELECT set_config('leak.of_{n}', '{v}', false)"])
        self.say(how.format(n=self.number, v=self.custom))

    def set_custom_by_function(self):
        self.custom = f"value {self.number} {self.random.random()}"
        self.say(f"SELECT public.remember('leak.of_{self.number}', '{self.custom}')")

    def set_custom_by_parameter(self):
        self.custom = f"value {self.number} {self.random.random()}"
        self.connection.execute("SELECT set_config(%s, %s, false)", (f"leak.of_{self.number}", self.custom))

    def reset_all(self):
        self.say("RESET ALL")
        self.forget_settings()

    def discard_all(self):
        self.hear()
        self.say("DISCARD ALL")
        self.forget_settings()
        self.prepared, self.channels, self.role = {}, set(), self.user

    def set_and_roll_back(self):
        self.say("BEGIN")
        self.say(f"SET work_mem = '{2000 + self.number}'; SET LOCAL leak.of_{self.number} = 'lost {self.number}'")
        self.say(f"SAVEPOINT a; SET search_path = lost_{self.number}; SET ROLE hunter_{self.number % ROLES}")
        self.say(self.random.choice(["ROLLBACK", "ROLLBACK TO a; ROLLBACK"]))

    def set_and_commit(self):
        self.say("BEGIN")
        self.say(f"SET work_mem = '{3000 + self.number}'; SET LOCAL lock_timeout = '5{self.number}'")
        self.say(f"SAVEPOINT a; SET search_path = lost_{self.number}; ROLLBACK TO a")
        self.say("COMMIT")
        self.settings["work_mem"] = str(3000 + self.number)

    def fail(self):
        for text in ("BEGIN", f"SET work_mem = '{4000 + self.number}'", "SELECT 1/0", "COMMIT",
                     f"SET search_path = failed_{self.number}; SELECT 1/0"):
            try:
                self.say(text)
            except psycopg.errors.DivisionByZero:
                pass

    def set_role(self):
        self.role = f"hunter_{self.number % ROLES}"
        self.say(f"SET ROLE {self.role}")

    def reset_role(self):
        self.role = self.user
        self.say(self.random.choice(["RESET ROLE", "SET ROLE NONE"]))

    def prepare(self):
        for name in ("mine", f"of_{self.number}"):
            if name not in self.prepared:
                self.prepared[name] = f"PREPARE {name} AS SELECT 'prepared by {self.number}'"
                self.say(self.prepared[name])

    def execute(self):
        for name in ("mine", f"of_{self.number}"):
            if name in self.prepared:
                self.check("prepared statement", self.one(f"EXECUTE {name}"), (f"prepared by {self.number}",))
            else:
                self.missing(f"EXECUTE {name}")
        self.missing(f"EXECUTE of_{self.number + 1}")

    def missing(self, text):
        try:
            self.say(text)
            self.find("prepared statements leaked", text)
        except psycopg.errors.InvalidSqlStatementName:
            pass

    def deallocate(self):
        self.say("DEALLOCATE ALL")
        self.prepared = {}

    def prepare_by_protocol(self):
        name, text = "s", f"SELECT 'by protocol {self.number}'"
        if name not in self.prepared:
            self.check("Parse", self.connection.pgconn.prepare(name.encode(), text.encode()).error_message, b"")
            self.prepared[name] = text
        result = self.connection.pgconn.exec_prepared(name.encode(), [])
        self.check("prepared statement of the protocol", result.get_value(0, 0), f"by protocol {self.number}".encode())

    def listen(self):
        self.say(f"LISTEN channel_{self.number}")
        self.channels.add(f"channel_{self.number}")

    def unlisten(self):
        self.hear()
        self.say(self.random.choice(["UNLISTEN *", f"UNLISTEN channel_{self.number}"]))
        self.channels.clear()
        self.say(f"NOTIFY channel_{self.number}, 'unheard'")

    def notify(self):
        if self.channels:
            self.sent += 1
            self.say(f"NOTIFY channel_{self.number}, '{self.sent}'")

    def make_temporary(self):
        self.say("CREATE TEMP TABLE mine (n int)")
        self.tables.add("mine")
        self.say(f"INSERT INTO mine VALUES ({self.number})")
        self.look()
        self.check("temporary table", self.one("SELECT n FROM mine"), (self.number,))
        self.say("DROP TABLE mine")
        self.tables.clear()

    def lock(self):
        self.say(f"SELECT pg_advisory_lock({self.number})")
        self.locks.add(self.number)
        self.look()
        self.check("advisory lock", self.one(f"SELECT pg_advisory_unlock({self.number})"), (True,))
        self.locks.clear()

    def hold(self):
        self.say(f"DECLARE held CURSOR WITH HOLD FOR SELECT {self.number}")
        self.cursors.add("held")
        self.look()
        self.check("cursor", self.one("FETCH held"), (self.number,))
        self.say("CLOSE held")
        self.cursors.clear()

    def vanish(self):
        """With as much as it can have, in the middle of a transaction, or not."""
        self.say(f"SET leak.of_{self.number} = 'vanished'; SET work_mem = '{5000 + self.number}'")
        self.say(f"LISTEN channel_{self.number}")
        self.say(f"PREPARE vanished AS SELECT {self.number}")
        self.say(self.random.choice(["CREATE TEMP TABLE vanished (a int)", f"SELECT pg_advisory_lock({self.number})", "BEGIN",
                                     f"DECLARE vanished CURSOR WITH HOLD FOR SELECT {self.number}", "SELECT 1"]))
        raise Gone

    def draw(self):
        self.say("BEGIN")
        value = self.one("SELECT nextval('public.hunted')")
        self.check("currval", self.one("SELECT currval('public.hunted')"), value)
        self.say("COMMIT")
        self.look()
        self.check("currval", self.one("SELECT currval('public.hunted')"), value)
        self.say("DISCARD SEQUENCES")

    def find_no_draw(self):
        try:
            self.find("currval leaked", str(self.one("SELECT currval('public.hunted')")))
        except psycopg.errors.ObjectNotInPrerequisiteState:
            self.say("DISCARD SEQUENCES")  # else it keeps its server: it reads what lives there


# What it does, and how often.
STEPS = [
    (Hunter.set_one, 8), (Hunter.set_reported, 2), (Hunter.set_custom, 4), (Hunter.set_custom_by_function, 1),
    (Hunter.set_custom_by_parameter, 1), (Hunter.reset_all, 2), (Hunter.discard_all, 1),
    (Hunter.set_and_roll_back, 4), (Hunter.set_and_commit, 3), (Hunter.fail, 2), (Hunter.set_role, 2), (Hunter.reset_role, 2),
    (Hunter.prepare, 4), (Hunter.execute, 4), (Hunter.deallocate, 1), (Hunter.prepare_by_protocol, 4), (Hunter.listen, 3),
    (Hunter.unlisten, 1), (Hunter.notify, 6), (Hunter.make_temporary, 1), (Hunter.lock, 1), (Hunter.hold, 1), (Hunter.vanish, 1),
    (Hunter.draw, 1), (Hunter.find_no_draw, 2),
]

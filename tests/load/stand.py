"""A PostgreSQL and one pooler in front of it, for the load tests; from the parts of bench/."""
import argparse
import contextlib
import os
import shutil
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "bench"))
sys.dont_write_bytecode = True

from lib import programs  # noqa: E402
from lib.postgres import Postgres, as_server_user  # noqa: E402


def arguments(doc, port):
    p = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", help="where the programs were built (default: here if it is a build tree, else the source tree)")
    p.add_argument("--pgsluice", help="its path (default: BUILD/pgsluice); anything that reads pgbouncer.ini will do")
    p.add_argument("--port", type=int, default=port, help="first of three ports")
    p.add_argument("--keep", action="store_true", help="leave the temporary directory")
    return p


def find(a, name):
    build = a.build or (os.getcwd() if os.path.exists("bench/clients") else ROOT)
    path = os.path.abspath(os.path.join(build, name))
    if not os.access(path, os.X_OK):
        sys.exit(f"{path} is not there: build first, or see --build and --help")
    return path


@contextlib.contextmanager
def stand(a, settings, server_settings="", server_tls=False):
    """Yields (postgres, pooler, directory). In the settings, @KEY@ and @CERTIFICATE@ stand for a self-made pair."""
    binary = os.path.abspath(a.pgsluice) if a.pgsluice else find(a, "pgsluice")
    programs.raise_limits()
    directory = tempfile.mkdtemp(prefix="pgsluice-load.")
    if as_server_user():
        shutil.chown(directory, "postgres", "postgres")
    os.chmod(directory, 0o755)
    key, certificate = programs.make_certificate(directory)
    put = {"@KEY@": key, "@CERTIFICATE@": certificate}
    if server_tls:
        server_settings += f"ssl = on\nssl_key_file = '{key}'\nssl_cert_file = '{certificate}'\n"
    hba = "hostssl all bench 127.0.0.1/32 trust\nhostnossl all bench 127.0.0.1/32 reject\nhost all postgres 127.0.0.1/32 trust\n"
    postgres = Postgres(directory, a.port, settings=server_settings, hba=hba if server_tls else "")
    pooler = programs.Pgsluice(directory, a.port + 1, binary)
    try:
        postgres.start()
        postgres.sql(f"create role {programs.USER} superuser login password '{programs.PASSWORD}'")
        postgres.sql(f"create database {programs.DATABASE}")
        pooler.start(postgres, {k: put.get(v, v) for k, v in settings.items()}, programs.PASSWORD)
        yield postgres, pooler, directory
    finally:
        pooler.stop()
        postgres.stop()
        if a.keep:
            print(f"left: {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)

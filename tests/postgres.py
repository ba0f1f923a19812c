"""PostgreSQL servers in temporary folders, started by the tests from the binaries of Debian's package `postgresql`."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import psutil
import pytest

from tests.durable import free_port

if TYPE_CHECKING:
    import psycopg

USER = "stepflow"
STARTUP_TIMEOUT = 60.0


def _binaries() -> Path | None:
    """Return the folder of the newest installed release's binaries."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda each: int(each.parts[4]))
    on_path = shutil.which("postgres")
    if installed:
        return installed[-1].parent
    return None if on_path is None else Path(on_path).resolve().parent


class Postgres:
    """A server that tests can kill, freeze and restart. Its only user has a password.

    PostgreSQL refuses to run as root, so under root it runs as the user `postgres` of Debian's package.

    Args:
        host: The address to listen on.
        certificate: A file with a certificate and its key, for TLS.
    """

    def __init__(self, host: str = "127.0.0.1", certificate: Path | None = None) -> None:
        binaries = _binaries()
        if binaries is None:
            pytest.skip("PostgreSQL is not installed here (apt-get install postgresql); histories are tested in SQLite")
        self._binaries = binaries
        self._account = "postgres" if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None
        self.host, self.port = host, free_port()
        self.password = secrets.token_urlsafe()
        self.folder = Path(tempfile.mkdtemp(prefix="stepflow-postgres-"))
        (self.folder / "password").write_text(self.password)
        if certificate is not None:
            (self.folder / "server.pem").write_bytes(certificate.read_bytes())
            (self.folder / "server.pem").chmod(0o600)
        if self._account is not None:
            for each in (self.folder, *self.folder.iterdir()):
                shutil.chown(each, self._account)
        self._call("initdb", "-D", "data", "-U", USER, "-A", "scram-sha-256", "--pwfile=password", "-E", "UTF8", "-N")
        # fsync stays on, so commits wait for the disk as they do in production.
        settings = {"listen_addresses": f"'{host}'", "port": str(self.port), "unix_socket_directories": "''"}
        if certificate is not None:
            names = {"ssl_cert_file": "server.pem", "ssl_key_file": "server.pem"}
            settings |= {"ssl": "on", **{name: f"'{self.folder / each}'" for name, each in names.items()}}
        with (self.folder / "data" / "postgresql.conf").open("a") as config:
            config.writelines(f"{name} = {value}\n" for name, value in settings.items())
        with (self.folder / "data" / "pg_hba.conf").open("a") as access:
            access.write("host all all all scram-sha-256\n")

    def _call(self, program: str, *arguments: str) -> None:
        command = [str(self._binaries / program), *arguments]
        subprocess.run(command, cwd=self.folder, user=self._account, check=True, capture_output=True)

    def start(self) -> Postgres:
        """Start the server and wait until it accepts connections."""
        command = [str(self._binaries / "postgres"), "-D", str(self.folder / "data")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, user=self._account, stdout=log, stderr=log, cwd=self.folder)
        ready = [str(self._binaries / "pg_isready"), "-q", "-h", self.host, "-p", str(self.port)]
        end = time.monotonic() + STARTUP_TIMEOUT
        while subprocess.run(ready).returncode:
            is_starting = time.monotonic() < end and self._process.poll() is None
            assert is_starting, (self.folder / "log").read_text()
            time.sleep(0.05)
        return self

    def signal(self, number: int) -> None:
        """Send a signal to all processes of the server."""
        assert self._process is not None
        parent = psutil.Process(self._process.pid)
        for each in [parent, *parent.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                each.send_signal(number)

    def kill(self) -> None:
        """Kill the server. It recovers from its log when it is started again."""
        if self._process is not None:
            self.signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def remove(self) -> None:
        """Kill the server and remove its files."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database, with the password."""
        return f"postgresql://{USER}:{self.password}@{self.host}:{self.port}/{database}"

    def database(self) -> str:
        """Create an empty database and return its URL."""
        name = f"d{uuid4().hex}"
        with self.connection() as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def connection(self, url: str | None = None) -> psycopg.Connection:
        """Return a connection that commits each statement."""
        import psycopg

        return psycopg.connect(url or self.url(), autocommit=True)

    def content(self, url: str) -> bytes:
        """Return the bytes of all tables of a database."""
        with self.connection(url) as connection:
            connection.execute("CHECKPOINT")
            (row,) = connection.execute("SELECT oid FROM pg_database WHERE datname = current_database()").fetchall()
        return b"".join(each.read_bytes() for each in (self.folder / "data" / "base" / str(row[0])).iterdir())

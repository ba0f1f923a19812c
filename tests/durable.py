"""Servers with a SQLite store that tests can kill and restart on the same port."""

from __future__ import annotations

import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from tests import releases

__all__ = ["DurableServer", "free_port", "sleeping"]


def free_port() -> int:
    """Return a free port of 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


class DurableServer:
    """A server whose store is a file in a folder.

    Args:
        folder: The folder for the store, the configuration and the log.
        release: The release of the server.
        name: Identifies the server among those in the folder; a restarted server uses it to resume its own runs
            immediately.
        etcd: The URL of the etcd that holds the leases, if several servers share the store.
        components: A configuration with plugins and routes to use instead of the builtin components.
        recovery: The `recovery` section of the configuration.
        connections: Maximum number of connections to the store; the default is too small for many sub-runs.
    """

    def __init__(
        self,
        folder: Path,
        release: str = releases.NEWEST,
        *,
        name: str = "only",
        etcd: str | None = None,
        components: dict[str, Any] | None = None,
        recovery: dict[str, Any] | None = None,
        connections: int | None = None,
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / f"{name}.log"
        self._release, self._name = release, name
        self._process: subprocess.Popen[bytes] | None = None
        store: dict[str, Any] = {"type": "sqlite", "databaseUrl": f"sqlite:{folder / 'store.db'}?mode=rwc"}
        if connections is not None:
            store["maxConnections"] = connections
        config: dict[str, Any] = {
            **(components or releases.builtin_config(release)),
            "storageConfig": store,
        }
        if recovery is not None:
            config["recovery"] = recovery
        if etcd is not None:
            config["leaseManager"] = {"type": "etcd", "endpoints": [etcd]}
        self._config = folder / f"{name}.yml"
        self._config.write_text(yaml.safe_dump(config))

    def start(self) -> None:
        """Start the server, without waiting until it responds."""
        command = [str(releases.binary(self._release)), "--port", str(self.port), "--config", str(self._config)]
        command += ["--log-level", "warn"]
        if releases.number(self._release) >= (0, 10):
            command += ["--orchestrator-id", self._name]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def wait_ready(self) -> None:
        """Wait until the server responds."""
        deadline = time.monotonic() + 20
        while True:
            try:
                httpx.get(f"{self.url}/api/v1/health", trust_env=False).raise_for_status()
                return
            except httpx.HTTPError:
                assert time.monotonic() < deadline, self.log.read_text()
                time.sleep(0.02)

    def kill(self) -> None:
        """Kill the server and its workers immediately (kill -9), if it is running."""
        if self._process is not None:
            # Workers have their own process groups, and those of old servers survive.
            workers = psutil.Process(self._process.pid).children(recursive=True)
            self._process.kill()
            self._process.wait(10)
            self._process = None
            for worker in workers:
                with suppress(psutil.NoSuchProcess):
                    worker.kill()


def sleeping(name: str) -> dict[str, Any]:
    """Return a flow that sleeps for the input's `ms` and returns the input's `n`; needs release 0.13."""
    # Servers preserve integers only in inputs.
    sleep = {"duration_ms": {"$input": "ms"}, "passthrough": {"$input": "n"}}
    steps = [{"id": "nap", "component": "/builtin/sleep", "input": sleep}]
    return {"name": name, "steps": steps, "output": {"n": {"$input": "n"}, "slept": {"$step": "nap"}}}

"""Fixtures: two servers that share a store and keep their leases in etcd."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.durable import DurableServer, free_port


@pytest.fixture(scope="package")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[str]:
    """The URL of an etcd for this test."""
    program = shutil.which("etcd")
    assert program is not None, "etcd is not installed: run `make test-ha`, or install Debian's package etcd-server"
    clients, peers = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    options = ["--name=only", f"--data-dir={tmp_path / 'etcd'}", f"--initial-cluster=only={peers}"]
    options += [f"--listen-client-urls={clients}", f"--advertise-client-urls={clients}"]
    options += [f"--listen-peer-urls={peers}", f"--initial-advertise-peer-urls={peers}"]
    log = tmp_path / "etcd.log"
    with log.open("wb") as output:
        process = subprocess.Popen([program, *options], stdout=output, stderr=output, stdin=subprocess.DEVNULL)
    try:
        for _ in range(500):
            try:
                if httpx.get(f"{clients}/health", trust_env=False).is_success:
                    break
            except httpx.HTTPError:
                pass
            assert process.poll() is None, log.read_text()
            time.sleep(0.02)
        yield clients
    finally:
        process.kill()
        process.wait(10)


@pytest.fixture
def servers(tmp_path: Path, etcd: str) -> Iterator[tuple[DurableServer, DurableServer]]:
    """Two servers, `a` and `b`, that share a store."""
    pair = DurableServer(tmp_path, name="a", etcd=etcd), DurableServer(tmp_path, name="b", etcd=etcd)
    try:
        for server in pair:
            # Start them one after the other, because both create missing tables in the store.
            server.start()
            server.wait_ready()
        yield pair
    finally:
        for server in pair:
            server.kill()

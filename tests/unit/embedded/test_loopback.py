"""The sockets of a server are bound to loopback, even while the server opens and closes files."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from stepflow_client._embedded import process

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can do this")

SERVER = """
import socket, sys
file = open("/proc/self/maps")
server = socket.create_server(("0.0.0.0", 0))
print(file.fileno(), server.fileno(), server.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def server() -> Iterator[tuple[int, int, int, int]]:
    """Yield the PID of a listening process, the descriptors of a file and the socket, and the port."""
    process = subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    file, listening, port = map(int, process.stdout.readline().split())
    yield process.pid, file, listening, port
    process.communicate("")


def test_a_descriptor_reused_for_a_file_is_skipped(
    server: tuple[int, int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    pid, file, listening, port = server
    monkeypatch.setattr(process, "_list_socket_descriptors", lambda pid: [file, listening])
    before = os.listdir("/dev/fd")
    assert process.bind_child_sockets_to_loopback(pid) == {port}
    assert len(os.listdir("/dev/fd")) == len(before)

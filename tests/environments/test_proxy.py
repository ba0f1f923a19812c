"""The application and the nginx configuration of docs/guides/hosts.md work with two hosts behind the proxy."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from stepflow_client import StepflowRuntime, SyncStepflowClient

from tests.documentation.blocks import ROOT, blocks
from tests.durable import free_port

pytestmark = [pytest.mark.environments, pytest.mark.timeout(120)]

PAGE = "docs/guides/hosts.md"
STARTUP_TIMEOUT = 60.0


class Site:
    """Two hosts of the application behind nginx.

    Args:
        folder: The folder for their files.
        server: The URL of the Stepflow server.
    """

    def __init__(self, folder: Path, server: str) -> None:
        shutil.copy(ROOT / "examples" / "hello.yaml", folder)
        python = [each.text for each in blocks(PAGE) if each.language == "python"]
        parts = [each for each in python if "@app." in each]
        (folder / "app.py").write_text("\n".join(parts).replace("http://localhost:7837", server))
        (nginx,) = [each.text for each in blocks(PAGE) if each.language == "nginx"]
        self.ports, self.port = [free_port(), free_port()], free_port()
        for number, port in enumerate(self.ports):
            nginx = nginx.replace(f"10.0.0.1{number + 1}:8000", f"127.0.0.1:{port}")
        nginx = nginx.replace("listen 80;", f"listen 127.0.0.1:{self.port};")
        paths = [f"{each}_temp_path {folder}/{each};" for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")]
        http = "\n".join(["access_log off;", *paths, nginx])
        user = "user root;" if os.geteuid() == 0 else ""
        (folder / "nginx.conf").write_text(
            f"{user} daemon off; pid {folder}/pid; error_log {folder}/log; events {{}}\nhttp {{\n{http}\n}}\n"
        )
        self.server = server
        self.url = f"http://127.0.0.1:{self.port}"
        self.hosts = [
            self._start(folder, sys.executable, "-m", "uvicorn", "app:app", "--port", str(port), "--log-level", "error")
            for port in self.ports
        ]
        self.proxy = self._start(folder, "nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"))

    def _start(self, folder: Path, *command: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, cwd=folder)

    def wait_ready(self) -> None:
        """Wait until both hosts and the proxy respond."""
        end = time.monotonic() + STARTUP_TIMEOUT
        for port in (*self.ports, self.port):
            while True:
                with suppress(httpx.TransportError):
                    if httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).json() == {"status": "ready"}:
                        break
                assert time.monotonic() < end
                time.sleep(0.1)

    def stop(self) -> None:
        """Kill all processes."""
        for each in (*self.hosts, self.proxy):
            each.terminate()
            each.wait(20)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed (apt-get install nginx-light)")
    with StepflowRuntime.start() as runtime:
        running = Site(tmp_path, runtime.url)
        try:
            running.wait_ready()
            yield running
        finally:
            running.stop()


def test_events_continue_through_the_proxy_after_a_host_is_killed(site: Site) -> None:
    with SyncStepflowClient(site.server) as client:
        run_id = client.submit(ROOT / "examples" / "hello.yaml", {"name": "Grace"})
    with httpx.Client(base_url=site.url, trust_env=False) as web:
        assert web.post("/greetings/Ada").json() == {"greeting": "Ada"}
        site.hosts[0].kill()
        assert [web.post("/greetings/Ada").status_code for _ in range(4)].count(200) >= 3
        whole = web.get(f"/runs/{run_id}/events").text
        assert "event: end" in whole
        (first, *rest) = _ids(whole)
        assert _ids(web.get(f"/runs/{run_id}/events", headers={"Last-Event-ID": first}).text) == rest
        assert rest


def _ids(frames: str) -> list[str]:
    return re.findall(r"^id: (.+)$", frames, re.MULTILINE)

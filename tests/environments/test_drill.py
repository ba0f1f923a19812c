"""The support desk in a bad hour: users, API workers that are replaced, a server that is killed, a batch beside it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from tests.durable import DurableServer, free_port
from tests.environments.conftest import clean_environ
from tests.environments.test_support_desk import EXAMPLE, python

pytestmark = [pytest.mark.environments, pytest.mark.timeout(400)]

SECONDS = float(os.environ.get("STEPFLOW_DRILL_SECONDS", "20"))
USERS, ROWS = 50, 200
DOWN = 3.0
PATIENCE = 90.0
"""Seconds in which each ticket is done, whatever happens."""
AGAIN = (429, 500, 503, 504)
"""Statuses after which a client repeats its request: 500 is what uvicorn says for those that its end cancels."""


class Desk:
    """A durable server, the application in two workers, and what they wrote."""

    def __init__(self, folder: Path) -> None:
        self.drafts = folder / "drafts.log"
        self.log = folder / "desk.log"
        os.environ["SUPPORT_DRAFTS"] = str(self.drafts)
        config = yaml.safe_load((EXAMPLE / "stepflow-config.yaml").read_text())
        config["plugins"]["support"] |= {"command": str(python()), "args": [str(EXAMPLE / "worker.py")]}
        self.server = DurableServer(folder, components=config, connections=64)
        self.environ = clean_environ() | {"STEPFLOW_URL": self.server.url, "SUPPORT_DRAFTS": str(self.drafts)}
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        self.server.start()
        command = [str(python()), "-m", "uvicorn", "app:app", "--port", str(self.port), "--workers", "2"]
        command += ["--timeout-graceful-shutdown", "5", "--log-level", "warning"]
        with self.log.open("wb") as log:
            process = subprocess.Popen(command, cwd=EXAMPLE, env=self.environ, stdout=log, stderr=log)
            try:
                self._wait()
                yield process
            finally:
                for each in psutil.Process(process.pid).children(recursive=True):
                    each.kill()
                process.kill()
                process.wait()
                self.server.kill()

    def _wait(self) -> None:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                httpx.get(f"{self.url}/docs", timeout=5)
                return
            except httpx.HTTPError:
                assert time.monotonic() < end, self.log.read_text()
                time.sleep(0.2)


class User:
    """Sends tickets, and waits for each reply; repeats what failed for a reason that may pass."""

    def __init__(self, url: str, number: int, until: float, seen: Counter[str]) -> None:
        self.url, self.number, self.until, self.seen = url, number, until, seen
        self.replies: dict[str, Any] = {}
        self.failed: list[Any] = []

    def work(self) -> None:
        dice = random.Random(self.number)
        sent = 0
        while time.monotonic() < self.until:
            ticket = {"id": f"u{self.number}-{sent}", "text": f"Ticket {sent} of {self.number}"}
            sent += 1
            run_id = self.ask("POST", "/tickets", json=ticket)["run_id"]
            reply = self.ask("GET", f"/tickets/{run_id}", params={"wait": 10})
            self.replies[ticket["id"]] = reply
            if "reply" not in reply:
                self.failed.append(reply)
            time.sleep(dice.uniform(0.1, 0.5))

    def ask(self, method: str, path: str, **more: Any) -> Any:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                response = httpx.request(method, f"{self.url}{path}", timeout=30, **more)
                self.seen[f"{method} {response.status_code}"] += 1
                if response.status_code not in AGAIN and not (method == "GET" and response.status_code == 202):
                    assert response.headers["content-type"].endswith("json"), response.text
                    body = response.json()
                    if not body.get("retryable"):
                        return body
            except httpx.TransportError as error:
                self.seen[f"{method} {type(error).__name__}"] += 1
            assert time.monotonic() < end, f"{method} {path} was not answered: {self.seen}"
            time.sleep(0.3)


def test_a_bad_hour_loses_no_ticket(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    tickets, replies = tmp_path / "night.csv", tmp_path / "night.jsonl"
    tickets.write_text("id,text\n" + "".join(f"n{number},Night {number}\n" for number in range(ROWS)))
    seen: Counter[str] = Counter()
    with desk.running() as application:
        users = [User(desk.url, number, time.monotonic() + SECONDS, seen) for number in range(USERS)]
        night = ThreadPoolExecutor(1).submit(work_the_night, desk, tickets, replies)
        events = threading.Thread(target=disturb, args=(desk, application), daemon=True)
        events.start()
        with ThreadPoolExecutor(USERS) as threads:
            ended = [threads.submit(user.work) for user in users]
        wrong = [repr(each.exception()) for each in ended if each.exception() is not None]
        assert wrong == [], desk.log.read_text()
        events.join()
        starts = night.result(PATIENCE)
    answered = [reply for user in users for reply in user.replies.values()]
    failed = [reply for user in users for reply in user.failed]
    drafts = Counter(desk.drafts.read_text().splitlines())
    twice = {text: count for text, count in drafts.items() if count > 1}
    found = [json.loads(line) for line in replies.read_text().splitlines()]
    print(
        f"{len(answered)} tickets, {len(failed)} failed, {len(twice)} drafts more than once, "
        f"{starts} starts of the batch, {dict(seen)}",
        file=sys.stderr,
    )
    assert failed == []
    assert len(answered) > USERS
    assert {each["index"] for each in found} == set(range(ROWS))
    assert all(each["status"] == "completed" for each in found)
    # Only steps that the killed server interrupted may run again.
    assert len(twice) <= 4 * USERS
    assert max(drafts.values()) <= 3


def work_the_night(desk: Desk, tickets: Path, replies: Path) -> int:
    """Run the batch as a supervisor does, again after a failure, and return how often it was started."""
    command = [str(python()), "night_shift.py", str(tickets), str(replies)]
    for start in range(1, 10):
        done = subprocess.run(command, cwd=EXAMPLE, env=desk.environ, capture_output=True, text=True)
        if done.returncode == 0:
            return start
        # The server is gone, or its store is busy while it starts: either way the journal has what was done.
        assert "with the journal" in done.stderr, done.stderr
        time.sleep(1)
    raise AssertionError(done.stderr)


def disturb(desk: Desk, application: subprocess.Popen[bytes]) -> None:
    """Replace the workers of the application, then kill the server and start it again."""
    time.sleep(SECONDS / 4)
    application.send_signal(signal.SIGHUP)
    time.sleep(SECONDS / 4)
    desk.server.kill()
    time.sleep(DOWN)
    desk.server.start()

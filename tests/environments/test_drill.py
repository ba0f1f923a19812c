"""The support desk in a bad hour: users, API workers that are replaced, a server that is killed, a batch beside it."""

from __future__ import annotations

import json
import os
import random
import shutil
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
from typing import Any, NamedTuple

import httpx
import psutil
import pytest
import yaml

from tests.durable import DurableServer, free_port
from tests.environments.conftest import clean_environ
from tests.environments.test_support_desk import EXAMPLE, python

pytestmark = [pytest.mark.environments, pytest.mark.timeout(400)]


class Hour(NamedTuple):
    users: int
    rows: int
    """Number of tickets of the batch."""
    seconds: float
    """How long the users work."""


HOURS = {"step": Hour(50, 200, 20.0), "map": Hour(10, 40, 6.0)}
"""What is short enough for every day, by what drafts the replies: a step of the run, or runs of a `/builtin/map`."""
DOWN = 3.0
PATIENCE = 90.0
"""Seconds in which each ticket is done, whatever happens."""
GIVEN_UP = {"step": PATIENCE, "map": 25.0}
"""Seconds after which a user sends a ticket anew. A server that is killed between the end of the last step of an inline
flow and its record of that item never ends the run, however often it is started."""
AGAIN = (429, 500, 503, 504)
"""Statuses after which a client repeats its request: 500 is what uvicorn says for those that its end cancels."""


EACH = {
    "steps": [{"id": "draft", "component": "/support/draft", "input": {"text": {"$input": "$"}, "tone": "formal"}}],
    "output": {"$step": "draft", "path": "reply"},
}
"""The flow of a text that needs a reply."""


def drafting_in_runs(flow: dict[str, Any]) -> dict[str, Any]:
    """Return the flow of tickets with a run of its own for each text that needs a reply: the ticket and its id."""
    texts = [{"$input": "text"}, {"$input": "id"}]
    drafts = {"items": texts, "workflow": {"$literal": EACH}}
    steps = [{"id": "drafts", "component": "/builtin/map", "input": drafts}]
    reply = {"$step": "drafts", "path": "$.results[0].result"}
    second = {"$step": "drafts", "path": "$.results[1].result"}
    return flow | {"steps": steps, "output": {"ticket": {"$input": "id"}, "reply": reply, "second": second}}


class Desk:
    """A durable server, the application in two workers, and what they wrote."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.home = folder / "desk"
        shutil.copytree(EXAMPLE, self.home)
        if kind == "map":
            flow = self.home / "ticket.yaml"
            flow.write_text(yaml.safe_dump(drafting_in_runs(yaml.safe_load(flow.read_text()))))
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
            process = subprocess.Popen(command, cwd=self.home, env=self.environ, stdout=log, stderr=log)
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

    def __init__(self, url: str, number: int, until: float, patience: float, seen: Counter[str]) -> None:
        self.url, self.number, self.until, self.patience, self.seen = url, number, until, patience, seen
        self.sent_anew = 0
        self.replies: dict[str, Any] = {}
        self.failed: list[Any] = []

    def work(self) -> None:
        dice = random.Random(self.number)
        sent = 0
        while time.monotonic() < self.until:
            # Some drafts take a second, so that the end of the server interrupts them.
            slow = " slow" if (self.number + sent) % 3 == 0 else ""
            ticket = {"id": f"u{self.number}-{sent}", "text": f"Ticket {sent} of {self.number}{slow}"}
            sent += 1
            reply = self.reply_to(ticket)
            self.replies[ticket["id"]] = reply
            if "reply" not in reply:
                self.failed.append(reply)
            time.sleep(dice.uniform(0.1, 0.5))

    def reply_to(self, ticket: dict[str, str]) -> Any:
        while True:
            run_id = self.ask("POST", "/tickets", json=ticket)["run_id"]
            try:
                return self.ask("GET", f"/tickets/{run_id}", patience=self.patience, params={"wait": 10})
            except AssertionError:
                if self.patience == PATIENCE:
                    raise
            self.sent_anew += 1
            ticket = ticket | {"id": f"{ticket['id']}+"}

    def ask(self, method: str, path: str, *, patience: float = PATIENCE, **more: Any) -> Any:
        end = time.monotonic() + patience
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


@pytest.mark.parametrize("kind", HOURS)
def test_a_bad_hour_loses_no_ticket(kind: str, tmp_path: Path) -> None:
    given = os.environ.get("STEPFLOW_DRILL_SECONDS")
    hour = HOURS[kind] if given is None else HOURS["step"]._replace(seconds=float(given))
    desk = Desk(tmp_path, kind)
    tickets, replies = tmp_path / "night.csv", tmp_path / "night.jsonl"
    tickets.write_text("id,text\n" + "".join(f"n{number},Night {number}\n" for number in range(hour.rows)))
    seen: Counter[str] = Counter()
    with desk.running() as application:
        until, patience = time.monotonic() + hour.seconds, GIVEN_UP[kind]
        users = [User(desk.url, number, until, patience, seen) for number in range(hour.users)]
        night = ThreadPoolExecutor(1).submit(work_the_night, desk, tickets, replies)
        events = threading.Thread(target=disturb, args=(desk, application, hour.seconds), daemon=True)
        events.start()
        with ThreadPoolExecutor(hour.users) as threads:
            ended = [threads.submit(user.work) for user in users]
        wrong = [repr(each.exception()) for each in ended if each.exception() is not None]
        assert wrong == [], desk.log.read_text()
        events.join()
        starts = night.result(PATIENCE)
    anew = sum(user.sent_anew for user in users)
    answered = [reply for user in users for reply in user.replies.values()]
    failed = [reply for user in users for reply in user.failed]
    drafts = Counter(desk.drafts.read_text().splitlines())
    twice = {text: count for text, count in drafts.items() if count > 1}
    found = [json.loads(line) for line in replies.read_text().splitlines()]
    print(
        f"{kind}: {len(answered)} tickets, {anew} sent anew, {len(failed)} failed, {len(twice)} drafts more than once, "
        f"{starts} starts of the batch, {dict(seen)}",
        file=sys.stderr,
    )
    assert failed == []
    assert anew <= hour.users // 5
    assert len(answered) >= hour.users
    assert {each["index"] for each in found} == set(range(hour.rows))
    assert all(each["status"] == "completed" for each in found)
    # Only steps that the killed server interrupted may run again.
    assert len(twice) <= 4 * hour.users
    assert max(drafts.values()) <= 3


def work_the_night(desk: Desk, tickets: Path, replies: Path) -> int:
    """Run the batch as a supervisor does, again after a failure, and return how often it was started."""
    command = [str(python()), "night_shift.py", str(tickets), str(replies)]
    for start in range(1, 10):
        done = subprocess.run(command, cwd=EXAMPLE, env=desk.environ, capture_output=True, text=True)
        if done.returncode == 0:
            return start
        assert "ServerConnectionError" in done.stderr, done.stderr
        time.sleep(1)
    raise AssertionError(done.stderr)


def disturb(desk: Desk, application: subprocess.Popen[bytes], seconds: float) -> None:
    """Replace the workers of the application, then kill the server and start it again."""
    time.sleep(seconds / 4)
    application.send_signal(signal.SIGHUP)
    time.sleep(seconds / 4)
    desk.server.kill()
    time.sleep(DOWN)
    desk.server.start()

"""The support desk loses no ticket while API workers are replaced or killed, the server is killed and a batch runs."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml
from stepflow_client import RunTimeoutError, StepflowClient

from tests.durable import DurableServer, free_port
from tests.environments.conftest import clean_environ
from tests.environments.test_support_desk import EXAMPLE, python

pytestmark = [pytest.mark.environments, pytest.mark.anyio, pytest.mark.timeout(400)]

SECONDS = float(os.environ.get("STEPFLOW_DRILL_SECONDS", "20"))
USERS, ROWS = 200, 200
DOWNTIME = 6.0
TIMEOUT = 60.0
"""Seconds within which each request must succeed, counted from the server's restart if that is later."""
RETRYABLE_STATUSES = (429, 500, 503, 504)
"""Statuses that users retry; uvicorn responds with 500 to requests that its shutdown cancels."""


class NoResponseError(Exception):
    """A request did not succeed in time; the arguments are its path and the counted outcomes."""


class Desk:
    """A durable server and the application in two workers, with their logs."""

    def __init__(self, folder: Path) -> None:
        self.drafts = folder / "drafts.log"
        self.log = folder / "desk.log"
        os.environ["SUPPORT_DRAFTS"] = str(self.drafts)
        config = yaml.safe_load((EXAMPLE / "stepflow-config.yaml").read_text())
        config["plugins"]["support"] |= {"command": str(python()), "args": [str(EXAMPLE / "worker.py")]}
        recovery = {"maxStartupRecovery": 10_000, "maxClaimsPerCheck": 10_000}
        self.server = DurableServer(folder, components=config, connections=64, recovery=recovery)
        self.environ = clean_environ() | {"STEPFLOW_URL": self.server.url, "SUPPORT_DRAFTS": str(self.drafts)}
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.restarted = 0.0
        """When the killed server was restarted, by the monotonic clock and by the system clock."""
        self.restarted_at = datetime.max.replace(tzinfo=UTC)

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        self.server.start()
        command = [str(python()), "-m", "uvicorn", "app:app", "--port", str(self.port), "--workers", "2"]
        command += ["--loop", "uvloop", "--timeout-graceful-shutdown", "5", "--log-level", "warning"]
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
        end = time.monotonic() + TIMEOUT
        while True:
            try:
                httpx.get(f"{self.url}/docs", timeout=5)
                return
            except httpx.HTTPError:
                assert time.monotonic() < end, self.log.read_text()
                time.sleep(0.2)


class User:
    """Sends tickets, waits for each reply, and retries transient failures."""

    def __init__(self, desk: Desk, number: int, until: float, outcomes: Counter[str]) -> None:
        self.desk, self.number, self.until, self.outcomes = desk, number, until, outcomes
        self.replies: dict[str, Any] = {}
        self.run_ids: dict[str, str] = {}
        """The ticket of each run, by run ID."""
        self.waits: list[float] = []
        """Seconds until each ticket was accepted, from its request or from the restart if that is later."""

    async def work(self) -> None:
        dice = random.Random(self.number)
        # Creating a TLS context takes 20 ms, and none is needed.
        async with httpx.AsyncClient(base_url=self.desk.url, timeout=30, trust_env=False, verify=False) as http:
            while time.monotonic() < self.until:
                await asyncio.sleep(dice.uniform(0.1, 2.0))
                text = f"Ticket {len(self.replies)} of {self.number}"
                ticket = {"id": f"u{self.number}-{len(self.replies)}", "text": text}
                sent = time.monotonic()
                run_id = (await self.request(http, "POST", "/tickets", json=ticket))["run_id"]
                self.waits.append(time.monotonic() - max(sent, self.desk.restarted))
                self.run_ids[run_id] = ticket["id"]
                self.replies[ticket["id"]] = await self.request(http, "GET", f"/tickets/{run_id}", params={"wait": 10})

    async def request(self, http: httpx.AsyncClient, method: str, path: str, **more: Any) -> Any:
        sent = time.monotonic()
        while True:
            try:
                response = await http.request(method, path, **more)
                self.outcomes[f"{method} {response.status_code}"] += 1
                if response.status_code not in RETRYABLE_STATUSES and not (
                    method == "GET" and response.status_code == 202
                ):
                    assert response.headers["content-type"].endswith("json"), response.text
                    body = response.json()
                    if not body.get("retryable"):
                        return body
            except httpx.TransportError as error:
                self.outcomes[f"{method} {type(error).__name__}"] += 1
            waited = time.monotonic() - max(sent, self.desk.restarted)
            if waited > TIMEOUT:
                raise NoResponseError(path, self.outcomes)
            await asyncio.sleep(0.3)


async def test_a_bad_hour_loses_no_ticket(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    tickets, replies = tmp_path / "night.csv", tmp_path / "night.jsonl"
    tickets.write_text("id,text\n" + "".join(f"n{number},Night {number}\n" for number in range(ROWS)))
    outcomes: Counter[str] = Counter()
    with desk.running() as application:
        users = [User(desk, number, time.monotonic() + SECONDS, outcomes) for number in range(USERS)]
        night = asyncio.ensure_future(asyncio.to_thread(run_batch, desk, tickets, replies))
        events = asyncio.ensure_future(disturb(desk, application))
        ended = await asyncio.gather(*(user.work() for user in users), return_exceptions=True)
        await events
        starts = await night
        run_ids = {run_id: ticket for user in users for run_id, ticket in user.run_ids.items()}
        executed, lost, stuck = await executed_runs(desk)
    expected = {f"/tickets/{run_id}" for run_id in stuck}
    wrong = [
        each for each in ended if not (each is None or (isinstance(each, NoResponseError) and each.args[0] in expected))
    ]
    answered = {ticket: reply for user in users for ticket, reply in user.replies.items()}
    attempts = Counter(desk.drafts.read_text().splitlines())
    rows = [json.loads(line) for line in replies.read_text().splitlines()]
    waits = [wait for user in users for wait in user.waits]
    print(
        f"{len(answered)} tickets, {len(wrong)} not accepted; {len(executed)} runs; accepted after p95 "
        f"{statistics.quantiles(waits, n=20)[-1]:.1f} s, at most {max(waits):.1f} s; {attempts.total()} executions of "
        f"{len(attempts)} steps, one at most {max(attempts.values())} times; {starts} starts of the batch; "
        f"{len(lost)} outputs lost; {len(stuck)} runs stuck; {dict(outcomes)}; load {os.getloadavg()[0]:.1f}",
        file=sys.stderr,
    )
    assert wrong == [], desk.log.read_text()[-2_000:]
    assert executed == run_ids.keys() - stuck
    assert stuck <= run_ids.keys()
    failed = {ticket: reply for ticket, reply in answered.items() if reply.get("ticket") != ticket}
    assert len(failed) == len(lost), failed
    assert len(answered) > USERS
    assert {each["index"] for each in rows} == set(range(ROWS))
    assert all(each["status"] == "completed" for each in rows)
    # Only steps that the killed server interrupted may run again.
    assert sum(count > 1 for count in attempts.values()) <= 4 * USERS
    assert max(attempts.values()) <= 3


async def executed_runs(desk: Desk) -> tuple[set[str], set[str], set[str]]:
    """Return three sets of the users' runs: with an executed step, with a lost output, and without an end.

    If its store is busy for 5 s, a server may store a run without executing it, or lose the output of an executed run.
    A starting server may execute a new run twice at the same time, and such a run may never end.
    """
    executed, lost, stuck = set(), set(), set()
    end = time.monotonic() + TIMEOUT
    async with StepflowClient(desk.server.url) as client:
        for run in (await client.list_runs()).runs:
            if run.items.total != 1:
                continue
            try:
                result = await client.get_result(run.run_id, timeout=max(2.0, end - time.monotonic()))
            except RunTimeoutError:
                assert run.created_at is not None
                after = (run.created_at - desk.restarted_at).total_seconds()
                assert -2 < after < 5, f"run {run.run_id} was created {after} s after the start and never ended"
                stuck.add(run.run_id)
                continue
            if result.error is None and result.output["ticket"].startswith("n"):
                continue
            if result.error is None or result.error.code != "lost_before_start":
                executed.add(run.run_id)
                lost |= {run.run_id} if result.error else set()
    return executed, lost, stuck


def run_batch(desk: Desk, tickets: Path, replies: Path) -> int:
    """Run the batch, restarting it after each failure as a supervisor would; return the number of starts."""
    command = [str(python()), "night_shift.py", str(tickets), str(replies)]
    for start in range(1, 10):
        done = subprocess.run(command, cwd=EXAMPLE, env=desk.environ, capture_output=True, text=True)
        if done.returncode == 0:
            return start
        # The server is down, or its store is busy during startup. In both cases, the journal has the finished items.
        assert "with the journal" in done.stderr, done.stderr
        time.sleep(1)
    raise AssertionError(done.stderr)


async def disturb(desk: Desk, application: subprocess.Popen[bytes]) -> None:
    """Replace the application's workers, then kill a worker and the server, and restart the server."""
    await asyncio.sleep(SECONDS / 4)
    application.send_signal(signal.SIGHUP)
    await asyncio.sleep(SECONDS / 4)
    desk.restarted = time.monotonic() + DOWNTIME
    workers = psutil.Process(application.pid).children()
    next(each for each in workers if "spawn_main" in " ".join(each.cmdline())).kill()
    await asyncio.to_thread(desk.server.kill)
    await asyncio.sleep(DOWNTIME)
    desk.restarted, desk.restarted_at = time.monotonic(), datetime.now(UTC)
    desk.server.start()

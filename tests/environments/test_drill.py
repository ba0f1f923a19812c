"""The support desk in a bad hour: users, API workers that are replaced or killed, a killed server, and a batch."""

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
DOWN = 6.0
PATIENCE = 60.0
"""Seconds within which each request succeeds, counted from the restart of the server if that is later."""
AGAIN = (429, 500, 503, 504)
"""Statuses after which a client repeats its request: 500 is what uvicorn says for those that its end cancels."""


class NotAnswered(Exception):
    """A request did not succeed in time: its path, and what came instead."""


class Desk:
    """A durable server, the application in two workers, and what they wrote."""

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
        """When the killed server was started again, by the monotonic clock and by the system's."""
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

    def __init__(self, desk: Desk, number: int, until: float, seen: Counter[str]) -> None:
        self.desk, self.number, self.until, self.seen = desk, number, until, seen
        self.replies: dict[str, Any] = {}
        self.run_ids: dict[str, str] = {}
        """The ticket of each run."""
        self.waits: list[float] = []
        """Seconds from the request of each ticket, or from the restart if that is later, until it was accepted."""

    async def work(self) -> None:
        dice = random.Random(self.number)
        # A context for TLS takes 20 ms, and is not needed.
        async with httpx.AsyncClient(base_url=self.desk.url, timeout=30, trust_env=False, verify=False) as http:
            while time.monotonic() < self.until:
                await asyncio.sleep(dice.uniform(0.1, 2.0))
                text = f"Ticket {len(self.replies)} of {self.number}"
                ticket = {"id": f"u{self.number}-{len(self.replies)}", "text": text}
                sent = time.monotonic()
                run_id = (await self.ask(http, "POST", "/tickets", json=ticket))["run_id"]
                self.waits.append(time.monotonic() - max(sent, self.desk.restarted))
                self.run_ids[run_id] = ticket["id"]
                self.replies[ticket["id"]] = await self.ask(http, "GET", f"/tickets/{run_id}", params={"wait": 10})

    async def ask(self, http: httpx.AsyncClient, method: str, path: str, **more: Any) -> Any:
        sent = time.monotonic()
        while True:
            try:
                response = await http.request(method, path, **more)
                self.seen[f"{method} {response.status_code}"] += 1
                if response.status_code not in AGAIN and not (method == "GET" and response.status_code == 202):
                    assert response.headers["content-type"].endswith("json"), response.text
                    body = response.json()
                    if not body.get("retryable"):
                        return body
            except httpx.TransportError as error:
                self.seen[f"{method} {type(error).__name__}"] += 1
            waited = time.monotonic() - max(sent, self.desk.restarted)
            if waited > PATIENCE:
                raise NotAnswered(path, self.seen)
            await asyncio.sleep(0.3)


async def test_a_bad_hour_loses_no_ticket(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    tickets, replies = tmp_path / "night.csv", tmp_path / "night.jsonl"
    tickets.write_text("id,text\n" + "".join(f"n{number},Night {number}\n" for number in range(ROWS)))
    seen: Counter[str] = Counter()
    with desk.running() as application:
        users = [User(desk, number, time.monotonic() + SECONDS, seen) for number in range(USERS)]
        night = asyncio.ensure_future(asyncio.to_thread(work_the_night, desk, tickets, replies))
        events = asyncio.ensure_future(disturb(desk, application))
        ended = await asyncio.gather(*(user.work() for user in users), return_exceptions=True)
        await events
        starts = await night
        run_ids = {run_id: ticket for user in users for run_id, ticket in user.run_ids.items()}
        executed, lost, stuck = await executed_runs(desk)
    known = {f"/tickets/{run_id}" for run_id in stuck}
    wrong = [each for each in ended if not (each is None or (isinstance(each, NotAnswered) and each.args[0] in known))]
    answered = {ticket: reply for user in users for ticket, reply in user.replies.items()}
    attempts = Counter(desk.drafts.read_text().splitlines())
    found = [json.loads(line) for line in replies.read_text().splitlines()]
    waits = [wait for user in users for wait in user.waits]
    print(
        f"{len(answered)} tickets, {len(wrong)} not accepted; {len(executed)} runs; accepted after p95 "
        f"{statistics.quantiles(waits, n=20)[-1]:.1f} s, at most {max(waits):.1f} s; {attempts.total()} executions of "
        f"{len(attempts)} steps, one at most {max(attempts.values())} times; {starts} starts of the batch; "
        f"{len(lost)} outputs lost; {len(stuck)} runs stuck; {dict(seen)}; load {os.getloadavg()[0]:.1f}",
        file=sys.stderr,
    )
    assert wrong == [], desk.log.read_text()[-2_000:]
    assert executed == run_ids.keys() - stuck
    assert stuck <= run_ids.keys()
    failed = {ticket: reply for ticket, reply in answered.items() if reply.get("ticket") != ticket}
    assert len(failed) == len(lost), failed
    assert len(answered) > USERS
    assert {each["index"] for each in found} == set(range(ROWS))
    assert all(each["status"] == "completed" for each in found)
    # Only steps that the killed server interrupted may run again.
    assert sum(count > 1 for count in attempts.values()) <= 4 * USERS
    assert max(attempts.values()) <= 3


async def executed_runs(desk: Desk) -> tuple[set[str], set[str], set[str]]:
    """Return three sets of the users' runs: those of which a step was executed, those among them whose output the
    server has lost, and those that never end.

    A server whose store is busy for 5 s may store a run that it does not execute, or lose the output of one that it has
    executed. A server that starts may execute a run that it has just created twice at once; such a run may never end.
    """
    executed, lost, stuck = set(), set(), set()
    end = time.monotonic() + PATIENCE
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


async def disturb(desk: Desk, application: subprocess.Popen[bytes]) -> None:
    """Replace the workers of the application, then kill one of them and the server, and start the server again."""
    await asyncio.sleep(SECONDS / 4)
    application.send_signal(signal.SIGHUP)
    await asyncio.sleep(SECONDS / 4)
    desk.restarted = time.monotonic() + DOWN
    workers = psutil.Process(application.pid).children()
    next(each for each in workers if "spawn_main" in " ".join(each.cmdline())).kill()
    await asyncio.to_thread(desk.server.kill)
    await asyncio.sleep(DOWN)
    desk.restarted, desk.restarted_at = time.monotonic(), datetime.now(UTC)
    desk.server.start()

"""A host of an application that places orders, and a report of the runs in its history and on its server.

host.py place HISTORY SERVERS LOG NUMBER ORDERS PACE
host.py rerun HISTORY SERVERS RUN
host.py report HISTORY SERVERS
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from pathlib import Path
from typing import TextIO

from stepflow_client import AmbiguousRunError, StepflowClient, StepflowClientError
from stepflow_client.history import History

FLOW = {
    "name": "order",
    "steps": [
        {"id": "charge", "component": "/builtin/create_messages", "input": {"user_prompt": {"$input": "$.order"}}}
    ],
    "output": {"$step": "charge"},
}
LABELS = {"shop": "one"}
CONCURRENCY = 8


async def place(client: StepflowClient, log: TextIO, orders: list[str], pace: float) -> None:
    """Place the orders, each with its own idempotency key, and log each order with its run."""
    waiting = iter(orders)

    async def work() -> None:
        for order in waiting:
            while True:
                try:
                    result = await client.run(FLOW, {"order": order}, idempotency_key=order, labels=LABELS)
                except StepflowClientError as error:
                    if not (error.is_retryable or isinstance(error, AmbiguousRunError)):
                        raise
                    await asyncio.sleep(0.2)
                else:
                    break
            log.write(f"{order} {result.run_id}\n")
            await asyncio.sleep(pace)

    await asyncio.gather(*(work() for _ in range(CONCURRENCY)))


async def wait_until_reachable(history: History) -> None:
    """Wait until the database is reachable and has all changes."""
    while True:
        try:
            history.search(limit=1)
            return
        except StepflowClientError:
            await asyncio.sleep(0.5)


async def report(client: StepflowClient, history: History) -> None:
    """Print the labelled runs, the runs with their inputs, and the reruns."""
    listed = [run.run_id async for run in client.iter_runs(labels=LABELS)]
    entries = history.search(labels=LABELS, confirmed=None, limit=1_000_000)
    print(
        json.dumps(
            {
                "listed": sorted(listed),
                "inputs": {each.run_id: each.input for each in entries if each.is_confirmed and not each.rerun_of},
                "unconfirmed": sum(not each.is_confirmed for each in entries),
                "reruns": {each.run_id: each.rerun_of for each in entries if each.rerun_of},
            }
        )
    )


async def main() -> None:
    command, url, servers, *rest = sys.argv[1:]
    history = History(url, max_runs=1_000_000)
    async with StepflowClient(servers.split(","), history=history) as client:
        if command == "place":
            host, orders, pace = int(rest[1]), int(rest[2]), float(rest[3])
            own = [f"order-{number}" for number in range(orders) if number % 2 == host or number % 10 == 0]
            with Path(rest[0]).open("a+", buffering=1) as log:  # noqa: ASYNC230
                log.seek(0)
                placed = {line.split()[0] for line in log if len(line.split()) == 2}
                await place(client, log, [order for order in own if order not in placed], pace)
            await wait_until_reachable(history)
        elif command == "rerun":
            for run_id in rest:
                await client.rerun(run_id, labels=LABELS)
        else:
            await report(client, history)
    history.close()


logging.basicConfig(level=logging.WARNING)
asyncio.run(main())

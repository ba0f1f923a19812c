"""Measure calls with an idempotency key through a proxy that delays responses, for one caller and for several at once.

python -m tests.key_callers --store sqlite --delay 0.5 --callers 2,6,12
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import Any

from stepflow_client import StepflowClient, StepflowRuntime

from tests.durable import DurableServer
from tests.fault_proxy import FaultProxy, Script


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", choices=["memory", "sqlite"], default="memory")
    parser.add_argument("--delay", type=float, default=0.1, metavar="SECONDS")
    parser.add_argument("--callers", default="2,6,12", metavar="N[,N]")
    parser.add_argument("--keys", type=int, default=4, metavar="N", help="keys for each number of callers")
    options = parser.parse_args()
    asyncio.run(_measure(options))


async def _measure(options: argparse.Namespace) -> None:
    async with AsyncExitStack() as stack:
        if options.store == "memory":
            url = (await stack.enter_async_context(StepflowRuntime.start())).url
        else:
            server = DurableServer(Path(stack.enter_context(tempfile.TemporaryDirectory())))
            stack.callback(server.kill)
            server.start()
            server.wait_ready()
            url = server.url
        proxy = stack.enter_context(FaultProxy(url, lambda _: Script(delay=options.delay)))
        flow = {"name": "callers", "steps": [], "output": {"$input": "n"}}

        async def call(client: StepflowClient, key: str) -> tuple[float, str]:
            began = time.perf_counter()
            result = await client.run(flow, {"n": 1}, idempotency_key=key)
            return time.perf_counter() - began, result.run_id

        async def open_clients(count: int) -> list[Any]:
            opened = [await stack.enter_async_context(StepflowClient(proxy.url, timeout=120)) for _ in range(count)]
            await asyncio.gather(*(call(client, f"{count}-{number}") for number, client in enumerate(opened)))
            return opened

        (single,) = await open_clients(1)
        print(f"{options.store}, {options.delay} s: a new client sends {proxy.requests} requests,", end=" ")
        before = proxy.requests
        alone = median([(await call(single, f"alone-{number}"))[0] for number in range(options.keys)])
        print(f"a warm one {(proxy.requests - before) / options.keys:.1f} in {alone:.3f} s")
        for count in map(int, options.callers.split(",")):
            callers, times = await open_clients(count), []
            for number in range(options.keys):
                results = await asyncio.gather(*(call(client, f"{count}-at-once-{number}") for client in callers))
                assert len({run_id for _, run_id in results}) == 1, "callers of one key returned different runs"
                times += [seconds for seconds, _ in results]
            print(
                f"{count:4} callers: median {median(times):.3f} s, {median(times) / alone:.2f} times one caller,",
                end=" ",
            )
            print(f"longest {max(times):.3f} s; each key has one run")


if __name__ == "__main__":
    main()

"""Process pools of the standard library, whose tasks receive or inherit a client that has already been used."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing.pool import AsyncResult

from stepflow_client import (
    NotFoundError,
    RunFailedError,
    StepflowClient,
    StepflowClientError,
    StepflowRuntime,
    SyncStepflowClient,
)

FLOW = {"steps": [], "output": {"$input": "$"}}
BROKEN = {"steps": [{"id": "gone", "component": "/nowhere/it"}], "output": {"$step": "gone"}}
UNKNOWN = "00000000-0000-0000-0000-000000000000"

inherited: SyncStepflowClient


def run(client: SyncStepflowClient, n: int) -> tuple[int, int]:
    return os.getpid(), client.run(FLOW, n, timeout=20).raise_for_failure().output


def run_in_loop(client: StepflowClient, n: int) -> tuple[int, int]:
    async def main() -> int:
        async with client:
            return (await client.run(FLOW, n, timeout=20)).raise_for_failure().output

    return os.getpid(), asyncio.run(main())


def run_inherited(n: int) -> tuple[int, int]:
    return run(inherited, n)


def failing(client: SyncStepflowClient, n: int) -> None:
    if n:
        client.get_run(UNKNOWN)
    client.run(BROKEN, n).raise_for_failure()


def error_of(call: AsyncResult[None]) -> type[Exception]:
    try:
        call.get(30)
    except StepflowClientError as error:
        return type(error) if error.run_id else AssertionError
    return AssertionError


def check(results: list[tuple[int, int]]) -> None:
    assert [output for _, output in results] == list(range(20)), results
    pids = {pid for pid, _ in results}
    assert os.getpid() not in pids, pids


def main() -> None:
    global inherited
    with StepflowRuntime.start() as runtime:
        inherited = runtime.sync_client
        run(inherited, 0)
        spawn = multiprocessing.get_context("spawn")
        with spawn.Pool(2) as pool:
            check(pool.map(partial(run, inherited), range(20), chunksize=1))
            check(pool.map(partial(run_in_loop, StepflowClient(runtime.url)), range(20), chunksize=1))
            # Errors keep their attributes.
            calls = [pool.apply_async(failing, (inherited, n)) for n in range(2)]
            assert [error_of(call) for call in calls] == [RunFailedError, NotFoundError]
        print("spawn")
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("forkserver")) as executor:
            check(list(executor.map(partial(run, inherited), range(20))))
        print("forkserver")
        # Newer Pythons warn about forking with threads, but the children do not need the runtime's threads.
        warnings.filterwarnings("ignore", "This process", DeprecationWarning)
        # Fork workers after the client has opened connections, like a prefork server.
        with multiprocessing.get_context("fork").Pool(2) as pool:
            check(pool.map(run_inherited, range(20), chunksize=1))
        run(inherited, 0)
        print("fork")


if __name__ == "__main__":
    main()

"""A local Dask cluster whose workers receive clients as task arguments."""

from __future__ import annotations

import logging
import os

from dask.distributed import Client, LocalCluster
from stepflow_client import NotFoundError, StepflowClient, StepflowRuntime, SyncStepflowClient

FLOW = {"steps": [], "output": {"$input": "$"}}
UNKNOWN = "00000000-0000-0000-0000-000000000000"


def run(n: int, client: SyncStepflowClient) -> tuple[int, int]:
    return os.getpid(), client.run(FLOW, n, timeout=20).raise_for_failure().output


async def run_in_loop(n: int, client: StepflowClient) -> tuple[int, int]:
    async with client:
        return os.getpid(), (await client.run(FLOW, n, timeout=20)).raise_for_failure().output


def silence() -> None:
    logging.getLogger("distributed.worker").setLevel(logging.CRITICAL)


def check(results: list[tuple[int, int]]) -> None:
    assert [output for _, output in results] == list(range(20)), results
    pids = {pid for pid, _ in results}
    assert len(pids) == 2, pids
    assert os.getpid() not in pids, pids


def main() -> None:
    with (
        StepflowRuntime.start() as runtime,
        LocalCluster(n_workers=2, threads_per_worker=2, processes=True, dashboard_address=None) as cluster,
        Client(cluster) as tasks,
    ):
        stepflow = runtime.sync_client
        run(0, stepflow)
        check(tasks.gather(tasks.map(run, range(20), client=stepflow)))
        print("blocking")
        # Dask runs coroutine functions in the worker's own event loop.
        check(tasks.gather(tasks.map(run_in_loop, range(20), client=StepflowClient(runtime.url))))
        print("event loop")
        # A token from a callable that is not importable: Dask pickles it by value.
        signed = SyncStepflowClient(runtime.url, auth=lambda: "token")
        check(tasks.gather(tasks.map(run, range(20), client=signed, key="signed")))
        print("callable")
        # Errors keep their attributes. (Workers would also log them to standard error, which must stay empty.)
        tasks.run(silence)
        error = tasks.submit(lambda: stepflow.get_run(UNKNOWN)).exception()
        assert isinstance(error, NotFoundError), error
        assert error.run_id == UNKNOWN, error
        print("error")


if __name__ == "__main__":
    main()

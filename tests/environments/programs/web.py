"""A FastAPI application: each of its workers has an embedded server, a client in its event loop and a blocking one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from stepflow_client import StepflowClient, StepflowRuntime, SyncStepflowClient

FLOW = {"steps": [], "output": {"$input": "$"}}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with StepflowRuntime.start() as runtime, StepflowClient(runtime.url) as client:
        with SyncStepflowClient(runtime.url) as blocking:
            app.state.runtime, app.state.client, app.state.blocking = runtime, client, blocking
            yield


app = FastAPI(lifespan=lifespan)


@app.get("/worker")
async def worker(request: Request) -> dict[str, Any]:
    loop = type(asyncio.get_running_loop())
    return {"pid": os.getpid(), "server": request.app.state.runtime.pid, "loop": loop.__module__.partition(".")[0]}


@app.get("/run/{n}")
async def run(n: int, request: Request) -> dict[str, Any]:
    result = await request.app.state.client.run(FLOW, n, timeout=20)
    return {"pid": os.getpid(), "output": result.raise_for_failure().output}


@app.get("/embedded/{n}")
async def embedded(n: int, request: Request) -> dict[str, Any]:
    result = await request.app.state.runtime.run(FLOW, n, timeout=20)
    return {"pid": os.getpid(), "output": result.raise_for_failure().output}


# Not a coroutine: FastAPI calls it in a thread.
@app.get("/blocking/{n}")
def blocking(n: int, request: Request) -> dict[str, Any]:
    result = request.app.state.blocking.run(FLOW, n, timeout=20)
    return {"pid": os.getpid(), "output": result.raise_for_failure().output}


@app.get("/events/{n}")
async def events(n: int, request: Request) -> StreamingResponse:
    client: StepflowClient = request.app.state.client
    run_id = await client.submit(FLOW, n)

    async def lines() -> AsyncGenerator[str, None]:
        async for event in client.run_events(run_id):
            yield f"{event.type}\n"

    return StreamingResponse(lines(), media_type="text/plain")

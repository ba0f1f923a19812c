"""A FastAPI application whose workers have an async and a blocking client for SERVER_URL or an embedded server."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Header, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from stepflow_client import StepflowClient, StepflowClientError, StepflowRuntime, SyncStepflowClient
from stepflow_client.web import problem_details, sse_events, sync_sse_events

FLOW = {"steps": [], "output": {"$input": "$"}}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        if "SERVER_URL" in os.environ:
            url = os.environ["SERVER_URL"]
        else:
            app.state.runtime = await stack.enter_async_context(StepflowRuntime.start())
            url = app.state.runtime.url
        app.state.client = await stack.enter_async_context(StepflowClient(url))
        app.state.blocking = stack.enter_context(SyncStepflowClient(url))
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


# FastAPI calls this in a thread, because it is not a coroutine.
@app.get("/blocking/{n}")
def blocking(n: int, request: Request) -> dict[str, Any]:
    result = request.app.state.blocking.run(FLOW, n, timeout=20)
    return {"pid": os.getpid(), "output": result.raise_for_failure().output}


@app.post("/sleeps/{milliseconds}")
async def sleeps(milliseconds: int, request: Request) -> dict[str, str]:
    step = {"id": "sleep", "component": "/builtin/sleep", "input": {"duration_ms": {"$input": "$"}}}
    flow = {"steps": [step], "output": {"$step": "sleep"}}
    return {"run_id": await request.app.state.client.submit(flow, milliseconds)}


@app.get("/runs/{run_id}/events")
async def events(run_id: str, request: Request, last_event_id: Annotated[str | None, Header()] = None) -> Response:
    response = await sse_events(request.app.state.client.handle(run_id), last_event_id=last_event_id, heartbeat=0.2)
    return StreamingResponse(response.frames, response.status, response.headers)


# FastAPI reads the frames in threads, because they are not async.
@app.get("/blocking/runs/{run_id}/events")
def blocking_events(run_id: str, request: Request, last_event_id: Annotated[str | None, Header()] = None) -> Response:
    response = sync_sse_events(request.app.state.blocking.handle(run_id), last_event_id=last_event_id)
    return StreamingResponse(response.frames, response.status, response.headers)


@app.exception_handler(StepflowClientError)
async def on_error(request: Request, error: StepflowClientError) -> JSONResponse:
    problem = problem_details(error)
    return JSONResponse(problem.body, problem.status, problem.headers)

"""The support desk as a web application: tickets come in, replies go out.

uvicorn app:app --workers 2 --timeout-graceful-shutdown 5
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Header, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel
from stepflow_client import RunTimeoutError, StepflowClient, StepflowClientError
from stepflow_client.web import problem_details, sse_events

FLOW = Path(__file__).with_name("ticket.yaml")


class Ticket(BaseModel):
    id: str
    text: str


class Reply(BaseModel):
    ticket: str
    reply: str


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    url = os.environ.get("STEPFLOW_URL", "http://localhost:7837")
    # Each ticket is a single run, even if the flow has changed in the meantime.
    async with StepflowClient(url, idempotency_scope="ticket") as client:
        await client.wait_ready("/support/draft", timeout=60)
        app.state.client = client
        yield


app = FastAPI(title="Support desk", lifespan=lifespan)


@app.exception_handler(StepflowClientError)
async def on_error(request: Request, error: StepflowClientError) -> Response:
    problem = problem_details(error)
    return JSONResponse(problem.body, problem.status, problem.headers)


@app.post("/tickets", status_code=202)
async def submit(ticket: Ticket, request: Request) -> dict[str, str]:
    """Accept a ticket. Sending the same ticket again returns the same run."""
    client: StepflowClient = request.app.state.client
    run_id = await client.submit(FLOW, ticket, idempotency_key=ticket.id, wait_for_components=True, timeout=20)
    return {"run_id": run_id}


@app.get("/tickets/{run_id}")
async def reply(run_id: str, request: Request, response: Response, wait: Annotated[float, Query(le=30)] = 0) -> Any:
    """Return the reply, or status 202 if it isn't ready yet."""
    handle = request.app.state.client.handle(run_id, Reply)
    try:
        return (await handle.result(wait=wait > 0, timeout=wait or None)).unwrap()
    except RunTimeoutError:
        response.status_code = 202
        return {"run_id": run_id, "status": (await handle.details()).status}


@app.get("/tickets/{run_id}/events")
async def events(run_id: str, request: Request, last_event_id: Annotated[str | None, Header()] = None) -> Response:
    """Stream a ticket's events to an EventSource."""
    relay = await sse_events(request.app.state.client.handle(run_id), last_event_id=last_event_id)
    return StreamingResponse(relay.frames, relay.status, relay.headers)


@app.delete("/tickets/{run_id}", status_code=204)
async def cancel(run_id: str, request: Request) -> None:
    """Stop working on a ticket."""
    await request.app.state.client.handle(run_id).cancel()

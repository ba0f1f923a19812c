"""Support for web applications in any framework: turns errors into responses, and run events into server-sent events.

@app.exception_handler(StepflowClientError)
async def on_error(request: Request, error: StepflowClientError) -> JSONResponse:
    problem = problem_details(error)
    return JSONResponse(problem.body, problem.status, problem.headers)
"""

from __future__ import annotations

from ._async.sse_relay import EventResponse, sse_events
from ._codec.web_error_responses import Problem, problem_details
from ._sync.sse_relay import SyncEventResponse, sse_events as sync_sse_events

__all__ = ["EventResponse", "Problem", "SyncEventResponse", "problem_details", "sse_events", "sync_sse_events"]

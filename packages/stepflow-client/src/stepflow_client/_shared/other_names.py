"""Names that people bring from other clients, and what is called so here.

They do not work: the error for the unknown name says which one does. (Type checkers do not see them.)
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

from .._base.text import near

METHODS = {
    "batch": "map",
    "cancel": "cancel_run",
    "close": "aclose",
    "aclose": "close",
    "connect": "StepflowClient(url)",
    "delete": "delete_run",
    "events": "run_events",
    "execute": "run",
    "execute_flow": "run",
    "get_items": "get_run_items",
    "get_status": "get_run",
    "get_steps": "get_run_steps",
    "health": "health_check",
    "is_healthy": "health_check",
    "list_flows": "list_runs (servers do not list flows)",
    "local": "StepflowRuntime.start",
    "retry_run": "rerun",
    "run_batch": "map",
    "run_flow": "run",
    "run_workflow": "run",
    "status_events": "run_events",
    "stream": "run_events",
    "stream_events": "run_events",
    "submit_batch": "submit",
    "submit_flow": "submit",
    "submit_run": "submit",
    "upload_flow": "store_flow",
    "wait": "wait_run",
    "wait_for_completion": "wait_run",
}
"""Methods."""
SETTINGS = {
    "api_key": "auth",
    "default_headers": "headers",
    "endpoint": "base_url",
    "host": "base_url",
    "http_client": "transport",
    "max_retries": "retry",
    "proxies": "proxy",
    "request_timeout": "timeout",
    "retries": "retry",
    "server": "base_url",
    "server_url": "base_url",
    "session": "transport",
    "ssl": "verify",
    "ssl_context": "verify",
    "token": "auth",
    "url": "base_url",
    "urls": "base_url",
    "verify_ssl": "verify",
}
"""Arguments of a client."""

Function = TypeVar("Function", bound=Callable[..., Any])


class Guiding:
    """An object that names the right method if it is asked for one of another client."""

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            message = f"{type(self).__name__!r} object has no attribute {name!r}"
            if not name.startswith("_"):
                known = [each for each in dir(type(self)) if not each.startswith("_")]
                message += f"; use {METHODS[name]}" if name in METHODS else f" ({near(name, known)})"
            raise AttributeError(message, name=name)


def guiding(function: Function) -> Function:
    """Return a function that names the right argument if it is given one of another client, or a misspelt one."""
    code = function.__code__
    known = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        for name in kwargs:
            if name not in known:
                right = f"; use {SETTINGS[name]}=" if SETTINGS.get(name) in known else f" ({near(name, known)})"
                raise TypeError(f"there is no argument {name!r}{right}")
        return function(*args, **kwargs)

    return cast("Function", call)

"""Names that people bring from other clients, and what is called so here.

They do not work: the error for the unknown name says which one does. (Type checkers do not see them.)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from .._base.text import near

METHODS = {
    "abatch": "map",
    "aclose": "close",
    "add_flow": "store_flow",
    "ainvoke": "run",
    "apply": "run",
    "astream": "run_events",
    "batch": "map",
    "call": "run",
    "cancel": "cancel_run",
    "cancel_all": "cancel_run",
    "check_flow": "check",
    "close": "aclose",
    "connect": "StepflowClient(url)",
    "create": "create_run",
    "create_flow": "store_flow",
    "delete": "delete_run",
    "deploy": "store_flow",
    "events": "run_events",
    "execute": "run",
    "execute_flow": "run",
    "execute_workflow": "run",
    "get_events": "run_events",
    "get_items": "get_run_items",
    "get_logs": "handle(run_id).logs",
    "get_output": "get_result",
    "get_run_result": "get_result",
    "get_run_status": "get_run",
    "get_status": "get_run",
    "get_steps": "get_run_steps",
    "get_version": "server_info",
    "get_workflow": "get_flow",
    "health": "health_check",
    "invoke": "run",
    "is_healthy": "health_check",
    "lint": "check",
    "list_flows": "list_runs (servers do not list flows)",
    "list_workflows": "list_runs (servers do not list flows)",
    "local": "StepflowRuntime.start",
    "logs": "handle(run_id).logs",
    "ping": "health_check",
    "poll": "wait_run",
    "register_flow": "store_flow",
    "replay": "rerun",
    "result": "get_result",
    "results": "get_results",
    "resume": "rerun",
    "retry": "rerun",
    "retry_run": "rerun",
    "run_async": "run",
    "run_batch": "map",
    "run_flow": "run",
    "run_many": "map",
    "run_sync": "run",
    "run_workflow": "run",
    "start": "start_run",
    "start_workflow": "start_run",
    "status": "get_run",
    "status_events": "run_events",
    "stream": "run_events",
    "stream_events": "run_events",
    "submit_batch": "submit",
    "submit_flow": "submit",
    "submit_many": "map",
    "submit_run": "submit",
    "terminate": "cancel_run",
    "upload": "store_flow",
    "upload_flow": "store_flow",
    "validate_flow": "validate",
    "version": "server_info",
    "wait": "wait_run",
    "wait_for": "wait_run",
    "wait_for_completion": "wait_run",
    "wait_until": "wait_run",
    "with_timeout": "with_options",
}
"""Methods of a client."""
METHODS_OF_RUNS = {
    "describe": "details",
    "done": "details",
    "fetch": "result",
    "get": "result",
    "get_events": "events",
    "get_logs": "logs",
    "get_result": "result",
    "get_results": "results",
    "get_status": "details",
    "id": "run_id",
    "is_done": "details",
    "is_finished": "details",
    "join": "wait",
    "kill": "cancel",
    "output": "result",
    "poll": "wait",
    "refresh": "details",
    "retry": "rerun",
    "state": "details",
    "status": "details",
    "stop": "cancel",
    "stream": "events",
    "terminate": "cancel",
    "unwrap": "result",
    "wait_for": "wait",
    "wait_for_completion": "wait",
}
"""Attributes and methods of a handle."""
SETTINGS = {
    "access_token": "auth",
    "address": "base_url",
    "api_key": "auth",
    "backoff": "retry",
    "bearer_token": "auth",
    "ca_bundle": "verify",
    "client": "transport",
    "connect_timeout": "timeout",
    "cookies": "headers",
    "credentials": "auth",
    "default_headers": "headers",
    "endpoint": "base_url",
    "host": "base_url",
    "http_client": "transport",
    "max_attempts": "retry",
    "max_connections": "limits",
    "max_retries": "retry",
    "mounts": "transport",
    "pool_limits": "limits",
    "proxies": "proxy",
    "read_timeout": "timeout",
    "request_timeout": "timeout",
    "retries": "retry",
    "retry_config": "retry",
    "retry_policy": "retry",
    "server": "base_url",
    "server_url": "base_url",
    "server_version": "server_release",
    "session": "transport",
    "ssl": "verify",
    "ssl_context": "verify",
    "target_host": "base_url",
    "tls": "verify",
    "token": "auth",
    "uri": "base_url",
    "url": "base_url",
    "urls": "base_url",
    "user_agent": "headers",
    "verify_ssl": "verify",
}
"""Arguments of a client."""
ARGUMENTS = {
    "args": "input",
    "input_data": "input",
    "inputs": "input",
    "max_retries": "max_attempts",
    "params": "input",
    "payload": "input",
    "retries": "max_attempts",
    "return_type": "output_type",
    "vars": "variables",
    "wait": "timeout",
    "workflow": "flow",
}
"""Arguments of calls that start runs."""

Function = TypeVar("Function", bound=Callable[..., Any])


class Guiding:
    """An object that names the right method if it is asked for one of another client."""

    _OTHER_NAMES: ClassVar[Mapping[str, str]] = METHODS

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            message = f"{type(self).__name__!r} object has no attribute {name!r}"
            if not name.startswith("_"):
                known = [each for each in dir(type(self)) if not each.startswith("_")]
                ours = self._OTHER_NAMES.get(name)
                message += f"; use {ours}" if ours is not None else f" ({near(name, known)})"
            raise AttributeError(message, name=name)


def guiding(function: Function) -> Function:
    """Return a function that names the right argument if it is given one of another client, or a misspelt one."""
    code = function.__code__
    known = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        refuse_unknown(kwargs, known, SETTINGS)
        return function(*args, **kwargs)

    return cast("Function", call)


def refuse_unknown(given: Iterable[str], known: Collection[str], others: Mapping[str, str] = ARGUMENTS) -> None:
    """Refuse arguments that a function does not have, and name the right ones.

    Raises:
        TypeError: If there is one.
    """
    for name in given:
        if name not in known:
            right = f"; use {others[name]}=" if others.get(name) in known else f" ({near(name, known)})"
            raise TypeError(f"there is no argument {name!r}{right}")

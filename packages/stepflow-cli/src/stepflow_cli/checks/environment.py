"""The environment of the command: its versions, the configuration file, proxies, the embedded server."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from stepflow_client._base.text import without_password

from ..errors import Problem
from ..settings.profiles import Profiles, load
from ..settings.resolve import Settings
from ..settings.urls import environment_proxy
from . import Check, error, ok, warning

__all__ = ["configuration", "embedded_server", "proxy", "server", "server_configuration", "versions"]

_OURS = ("stepflow-cli", "stepflow-client", "stepflow-api")
_OTHERS = ("httpx", "pydantic", "click")


def versions() -> Iterator[Check]:
    """Check the versions of Python and the packages, and which `stepflow` a shell would run."""
    found = {name: _version(name) for name in (*_OURS, *_OTHERS)}
    listed = ", ".join(f"{name} {number or 'missing'}" for name, number in found.items())
    message = f"Python {sys.version.split()[0]}, {listed}"
    if len({found[name] for name in _OURS}) > 1:
        hint = f"upgrade them together: pip install --upgrade {' '.join(_OURS)}"
        yield warning("versions", f"{message}: the stepflow packages have different versions", hint)
    else:
        yield ok("versions", message)
    yield _command()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _command() -> Check:
    """Check whether a shell would run another `stepflow`."""
    first = shutil.which("stepflow")
    own = Path(sys.executable).with_name("stepflow")
    if Path(sys.argv[0]).name == "stepflow":
        own = Path(shutil.which(sys.argv[0]) or sys.argv[0]).absolute()
    if first is None:
        return warning("command", "there is no stepflow on PATH", f"add {own.parent} to PATH, or use its full path")
    if Path(first).resolve() != own.resolve():
        hint = f"put {own.parent} before {Path(first).parent} on PATH, or remove the other one"
        return warning("command", f"another stepflow comes first on PATH: {first}, and this one is {own}", hint)
    return ok("command", f"{first} is the first stepflow on PATH")


def configuration() -> tuple[Check, Profiles | None]:
    """Check the configuration file, including every profile."""
    try:
        profiles = load()
    except Problem as problem:
        return error("configuration", problem.message, problem.hint or "fix it in an editor"), None
    if not profiles.tables:
        there = "has no profiles" if profiles.path.exists() else "does not exist; without it there are no profiles"
        return ok("configuration", f"{profiles.path} {there}"), profiles
    for name in profiles.tables:
        try:
            profiles.get(name)
        except Problem as problem:
            return warning("configuration", problem.message, problem.hint or "fix it in an editor"), profiles
    if profiles.current is not None and profiles.current not in profiles.tables:
        message = f"{profiles.path}: the current profile {profiles.current} is not among the profiles"
        return error("configuration", message, "'stepflow config use NAME' selects another one"), profiles
    return ok("configuration", f"{profiles.path}: profiles {', '.join(profiles.tables)}"), profiles


def server_configuration() -> Iterator[Check]:
    """Check the configuration of an embedded server in the working folder, if there is one."""
    from ..inputs.config import recovery_warning_of
    from ..inputs.flow import find_config

    try:
        path = find_config()
    except Problem as problem:
        yield warning("server configuration", problem.message, problem.hint)
        return
    if path is not None:
        hazard = recovery_warning_of(path)
        hint = "leave it out: the default is 30 s"
        yield warning("server configuration", hazard, hint) if hazard else ok("server configuration", path)


def server(settings: Settings) -> Check:
    """Return which server commands use, and the origin of that setting."""
    url, origin = settings.url.value, settings.url.origin
    if url is None:
        return ok("server", f"an embedded one, by {origin}")
    shown = without_password(url)
    if origin == "default":
        return ok("server", f"none is named: run, validate, list-components and repl start one, others use {shown}")
    ignored = [name for name in ("STEPFLOW_URL", "STEPFLOW_PROFILE") if os.environ.get(name) and name not in origin]
    if ignored and settings.profile is None:
        return ok("server", f"{shown}, by {origin} ({', '.join(ignored)} does not count)")
    return ok("server", f"{shown}, by {origin}")


def proxy(settings: Settings) -> tuple[Check, str | None]:
    """Return the proxy that is used for the server, if any, with its URL."""
    url = str(settings.url.value)
    if settings.profile is not None and settings.profile.proxy:
        named = settings.profile.proxy
        return ok("proxy", f"{without_password(named)}, by profile {settings.profile.name}"), named
    found = environment_proxy(url)
    if found is None:
        return ok("proxy", "none"), None
    if found.url is None:
        return ok("proxy", f"none: {found.why_not} ({found.variable} is set)"), None
    return ok("proxy", f"{found.url}, by {found.variable}; NO_PROXY=HOST bypasses it"), os.environ[found.variable]


def embedded_server(needed: bool) -> Check:
    """Start the embedded server and stop it again.

    Args:
        needed: Whether the commands need it.
    """
    from stepflow_client import StepflowClientError, StepflowRuntime

    named = os.environ.get("STEPFLOW_SERVER_BINARY")
    try:
        with StepflowRuntime.start() as runtime:
            info = runtime.sync_client.server_info()
    except StepflowClientError as problem:
        if needed:
            return error("embedded server", problem.message, problem.hint, exit_code=4)
        return warning("embedded server", problem.message, problem.hint)
    whose = (
        f"{named}, by environment variable STEPFLOW_SERVER_BINARY"
        if named
        else "from the package stepflow-orchestrator"
    )
    return ok("embedded server", f"it starts: release {info.release or info.commit}, {whose}")

"""Check the installation and settings on this machine, including whether an embedded server can start."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from stepflow_client import FlowFileError

from ..errors import Problem
from ..inputs.server_config_checks import find_recovery_warnings
from ..settings.profiles import Profiles, load_profiles
from ..settings.server_choice import DEFAULT_URL, ServerChoice, ServerOptions, choose_server, format_setting_origin
from . import CheckResult, error, ok, warning

if TYPE_CHECKING:
    from stepflow_client import SyncStepflowClient

_OWN_PACKAGES = ("stepflow-cli", "stepflow-client", "stepflow-api")
_DEPENDENCIES = ("httpx", "pydantic", "click")


def check_versions_and_path() -> Iterator[CheckResult]:
    """Check the versions of Python and the packages, and which `stepflow` a shell would run."""
    versions: dict[str, str | None] = dict.fromkeys((*_OWN_PACKAGES, *_DEPENDENCIES))
    for name in versions:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    listed = ", ".join(f"{name} {number or 'missing'}" for name, number in versions.items())
    message = f"Python {sys.version.split()[0]}, {listed}"
    if len({versions[name] for name in _OWN_PACKAGES}) > 1:
        hint = f"upgrade them together: pip install --upgrade {' '.join(_OWN_PACKAGES)}"
        yield warning("versions", f"{message}: the stepflow packages have different versions", hint)
    else:
        yield ok("versions", message)
    first = shutil.which("stepflow")
    own = Path(sys.executable).with_name("stepflow")
    if Path(sys.argv[0]).name == "stepflow":
        own = Path(shutil.which(sys.argv[0]) or sys.argv[0]).absolute()
    if first is None:
        yield warning("command", "stepflow is not on PATH", f"add {own.parent} to PATH, or use its full path")
    elif Path(first).resolve() != own.resolve():
        hint = f"put {own.parent} before {Path(first).parent} on PATH, or remove the other one"
        yield warning("command", f"a different stepflow comes first on PATH: {first}, and this one is {own}", hint)
    else:
        yield ok("command", f"{first} is the first stepflow on PATH")


def check_profiles() -> tuple[CheckResult, Profiles | None]:
    """Check the configuration file, including all profiles."""
    try:
        profiles = load_profiles()
    except Problem as problem:
        hint = problem.hint or "fix it in an editor"
        return error("configuration", problem.message, hint, exit_code=problem.exit_code), None
    if not profiles.tables:
        state = "has no profiles" if profiles.path.exists() else "does not exist, so there are no profiles"
        return ok("configuration", f"{profiles.path} {state}"), profiles
    for name in profiles.tables:
        try:
            profiles.get_profile(name)
        except Problem as problem:
            return warning("configuration", problem.message, problem.hint or "fix it in an editor"), profiles
    if profiles.current is not None and profiles.current not in profiles.tables:
        message = f"{profiles.path}: the current profile {profiles.current} does not exist"
        hint = "to select a different one, run 'stepflow config use NAME'"
        return error("configuration", message, hint, exit_code=2), profiles
    return ok("configuration", f"{profiles.path}: profiles {', '.join(profiles.tables)}"), profiles


def check_server_config(choice: ServerChoice) -> Iterator[CheckResult]:
    """Check the embedded server's configuration, if any."""
    try:
        chosen = choice if choice.is_embedded else choose_server(ServerOptions(local=True, reads_project=True))
        config = chosen.embedded_config
    except FlowFileError as fault:
        yield warning("server configuration", fault.message, fault.hint)
        return
    if config.value is not None:
        hazards = find_recovery_warnings(config.value)
        yield from (warning("server configuration", f"{config.value}: {hazard}", hint) for hazard, hint in hazards)
        if not hazards:
            yield ok("server configuration", f"{config.value} ({format_setting_origin(config.origin)})")


def report_server_choice(choice: ServerChoice) -> CheckResult:
    """Report the server that commands use, and where that setting comes from."""
    url, origin = choice.url.value, choice.url.origin
    if url is None:
        others = f"; runs, flows and blobs use {DEFAULT_URL}" if origin == "default" else ""
        return ok("server", f"an embedded one ({format_setting_origin(origin)}){others}")
    shown = choice.url_without_password
    ignored = [name for name in ("STEPFLOW_URL", "STEPFLOW_PROFILE") if os.environ.get(name) and name not in origin]
    remark = f" ({', '.join(ignored)} ignored)" if ignored and choice.profile is None else ""
    return ok("server", f"{shown}, from {origin}{remark}")


def check_embedded_server() -> CheckResult:
    """Try to start an embedded server (even if 'run' wouldn't use one), then stop it."""
    from stepflow_client import StepflowClientError, StepflowRuntime

    try:
        with StepflowRuntime.start() as runtime:
            return report_embedded_server_release(runtime.sync_client)
    except StepflowClientError as problem:
        return warning("embedded server", problem.message, problem.hint)


def report_embedded_server_release(client: SyncStepflowClient) -> CheckResult:
    """Report the release of a running embedded server, and where its program comes from."""
    named, info = os.environ.get("STEPFLOW_SERVER_BINARY"), client.server_info()
    whose = "from the package stepflow-orchestrator"
    if named:
        whose = f"{named}, from environment variable STEPFLOW_SERVER_BINARY"
    return ok("embedded server", f"it starts: release {info.release or info.commit}, {whose}")

"""Configuration of all tests: the servers that they run on."""

from __future__ import annotations

import gc
import inspect
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import pytest
from stepflow_client import LogConfig, StepflowRuntime

from tests import releases
from tests.postgres import Postgres

# Not a test module, but its assertions should also show differences.
pytest.register_assert_rewrite("tests.cli.golden")


def pytest_configure(config: pytest.Config) -> None:
    # No process that tests start, even indirectly, may write to the user's state folder.
    folder = tempfile.mkdtemp(prefix="stepflow-tests-state-")
    os.environ["XDG_STATE_HOME"] = folder
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    # Shells make background jobs ignore interrupts, and child processes would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--servers",
        default=releases.NEWEST,
        help="the releases that the server tests run on: 'all', 'older', or a list such as 0.10.0,0.13.0",
    )
    parser.addoption(
        "--transport",
        choices=("own", "httpx"),
        default="own",
        help="what the clients of the server tests send through: connections of their own, or plain httpx",
    )
    parser.addoption(
        "--loop",
        choices=("asyncio", "uvloop"),
        default="asyncio",
        help="the event loop of the tests: asyncio's own, or uvloop's",
    )
    parser.addoption(
        "--rewrite-golden", action="store_true", help="write what commands print into tests/cli/golden, to be read then"
    )
    parser.addoption("--wheels", default=None, help="the folder of the built wheels, for tests/packaging")


def pytest_collection() -> None:
    # Thousands of tests are kept until the end; no search for garbage needs to look at them.
    gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    # A test that uses a server, directly or through a fixture, runs once for each release.
    if "release" in metafunc.fixturenames:
        wanted = metafunc.config.getoption("--servers")
        named = {"all": releases.RELEASES, "older": releases.RELEASES[:-1]}.get(wanted) or wanted.split(",")
        # With `--dist loadgroup`, one process runs all tests of a release, on the same servers.
        each = [pytest.param(release, marks=pytest.mark.xdist_group(release)) for release in named]
        metafunc.parametrize("release", each, scope="session")


_FIRST = {
    f"test_{name}.py"
    for name in (
        *("same_end", "lost_runs"),
        *("runtime_workers", "batch_attempts", "runtime", "examples", "streams", "exit_codes", "history", "live"),
        *("attacks", "events", "runs", "idempotency_scopes", "run_golden", "runs_watch", "pages", "doctor"),
        *(
            "shared_history",
            "recorded_runs",
            "batch_stream",
            "idempotency_races",
            "given_up",
            "hung_servers",
            "sockets",
        ),
    )
}
"""Files whose tests take the longest."""
_ON_SERVERS = Path(__file__).parent / "server"


def _begins_late(item: pytest.Item) -> tuple[bool, bool]:
    """Order tests so that several processes that run them are all busy until the end.

    Those with a time limit of their own, and those that wait the longest, begin first.
    """
    return item.get_closest_marker("timeout") is None, item.path.name not in _FIRST


def _is_twin_on_a_server(item: pytest.Item) -> bool:
    """Return whether a test does with the blocking client what another one does with the asynchronous client.

    The blocking client is generated from the other one. The tests without a server try both, and those of the command
    use it on servers.
    """
    is_blocking = not {"sync", "SyncStepflowClient"}.isdisjoint(_values(item))
    return is_blocking and item.path.is_relative_to(_ON_SERVERS)


# Before the tests are chosen by their marks.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if _is_twin_on_a_server(item) and item.get_closest_marker("faults") is None:
            item.add_marker(pytest.mark.exhaustive)
    items.sort(key=_begins_late)
    if config.getoption("--loop") != "asyncio":
        _deselect(config, items, lambda item: not _uses_an_event_loop(item))
    if config.getoption("--servers") == "older":
        # The blocking client is generated from the other one, and a runtime passes calls on to its client, so both are
        # tested on the newest release only.
        repeated = {"sync", "SyncStepflowClient", "StepflowRuntime"}
        _deselect(config, items, lambda item: not repeated.isdisjoint(_values(item)))


def _deselect(config: pytest.Config, items: list[pytest.Item], is_repeated: Callable[[pytest.Item], bool]) -> None:
    config.hook.pytest_deselected(items=[item for item in items if is_repeated(item)])
    items[:] = [item for item in items if not is_repeated(item)]


def _values(item: pytest.Item) -> set[str]:
    """Return the texts among the parameters of a test."""
    called = getattr(item, "callspec", None)
    return {value for value in called.params.values() if isinstance(value, str)} if called else set()


def _uses_an_event_loop(item: pytest.Item) -> bool:
    """Return whether a test runs in the event loop of the option `--loop`: not the tests of the blocking client."""
    assert isinstance(item, pytest.Function)
    values = _values(item)
    code = item.function.__code__
    return "sync" not in values and (
        inspect.iscoroutinefunction(item.function)
        or not values.isdisjoint(("async", "asyncio"))
        or "asyncio" in code.co_names
    )


@pytest.fixture(scope="session", autouse=True)
def anyio_backend(request: pytest.FixtureRequest) -> Iterator[tuple[str, dict[str, Any]]]:
    """Run async tests, and the coroutines they pass to `asyncio.run`, in the event loop that the option selects."""
    if request.config.getoption("--loop") == "asyncio":
        yield "asyncio", {}
        return
    import uvloop

    with pytest.MonkeyPatch.context() as patch:
        # `asyncio.run` uses this function; the tests' servers and proxies still use asyncio's own loop.
        patch.setattr("asyncio.runners.events.new_event_loop", uvloop.new_event_loop)
        yield "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="session", autouse=True)
def transport(request: pytest.FixtureRequest) -> Iterator[None]:
    """Make every client that is given no transport use plain httpx, if the option says so."""
    if request.config.getoption("--transport") == "own":
        yield
        return
    kinds = {"_async": httpx.AsyncHTTPTransport, "_sync": httpx.HTTPTransport}
    with pytest.MonkeyPatch.context() as patch:
        for twin, kind in kinds.items():
            connection = import_module(f"stepflow_client.{twin}.connection")
            bridge = import_module(f"stepflow_client.{twin}.transport.httpx_bridge")

            def sender(root, settings, kind=kind, bridge=bridge):  # type: ignore[no-untyped-def]
                return bridge.HttpxTransport(settings.transport or kind(), root)

            patch.setattr(connection, "build_server_transport", sender)
        yield


@pytest.fixture(scope="session")
def runtime(release: str) -> Iterator[StepflowRuntime]:
    """An embedded server of the release with the builtin components, shared by all tests of a session."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("STEPFLOW_SERVER_BINARY", str(releases.binary(release)))
        started = StepflowRuntime.start(config=releases.builtin_config(release), log_config=LogConfig(level="warn"))
    with started as server:
        yield server


@pytest.fixture(scope="session")
def server_url(runtime: StepflowRuntime) -> str:
    """The root URL of the server of the session."""
    return runtime.url


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server that no test stops."""
    server = Postgres()
    try:
        yield server.start()
    finally:
        server.remove()

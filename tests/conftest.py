"""Options and fixtures shared by all tests, including the embedded server."""

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
        help="run the server tests on these releases: 'all', 'older', or a list such as 0.10.0,0.13.0",
    )
    parser.addoption(
        "--transport",
        choices=("own", "httpx"),
        default="own",
        help="send requests through the client's own connections or through plain httpx",
    )
    parser.addoption(
        "--loop",
        choices=("asyncio", "uvloop"),
        default="asyncio",
        help="run the tests in asyncio's event loop or in uvloop",
    )
    parser.addoption(
        "--rewrite-golden",
        action="store_true",
        help="write the output of commands to tests/cli/golden; review the diff afterwards",
    )
    parser.addoption("--wheels", default=None, help="test the wheels in this folder (tests/packaging)")


def pytest_collection() -> None:
    # Thousands of collected tests live until the end, so the garbage collector need not scan them.
    gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    # A test that uses a server, directly or through a fixture, runs once for each release.
    if "release" in metafunc.fixturenames:
        option = metafunc.config.getoption("--servers")
        selected = {"all": releases.RELEASES, "older": releases.RELEASES[:-1]}.get(option) or option.split(",")
        # With `--dist loadgroup`, one process runs all tests of a release, on the same servers.
        params = [pytest.param(release, marks=pytest.mark.xdist_group(release)) for release in selected]
        metafunc.parametrize("release", params, scope="session")


_SLOWEST_FILES = {
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
"""Files with the slowest tests."""
_ON_SERVERS = Path(__file__).parent / "server"


def _start_order(item: pytest.Item) -> tuple[bool, bool]:
    """Start the slowest tests first, so that all test processes stay busy until the end."""
    return item.get_closest_marker("timeout") is None, item.path.name not in _SLOWEST_FILES


def _is_blocking_server_test(item: pytest.Item) -> bool:
    """Return whether a server test repeats with the blocking client what another does with the async client.

    The blocking client is generated from the async client. Tests without a server cover both, and tests of the command
    use the blocking client on servers.
    """
    is_blocking = not {"sync", "SyncStepflowClient"}.isdisjoint(_values(item))
    return is_blocking and item.path.is_relative_to(_ON_SERVERS)


# Add marks before pytest selects tests by their marks (-m).
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if _is_blocking_server_test(item) and item.get_closest_marker("faults") is None:
            item.add_marker(pytest.mark.exhaustive)
    items.sort(key=_start_order)
    if config.getoption("--loop") != "asyncio":
        _deselect(config, items, lambda item: not _uses_an_event_loop(item))
    if config.getoption("--servers") == "older":
        # The blocking client is generated from the async client, and a runtime forwards calls to its client, so test
        # both on the newest release only.
        repeated = {"sync", "SyncStepflowClient", "StepflowRuntime"}
        _deselect(config, items, lambda item: not repeated.isdisjoint(_values(item)))


def _deselect(config: pytest.Config, items: list[pytest.Item], is_repeated: Callable[[pytest.Item], bool]) -> None:
    config.hook.pytest_deselected(items=[item for item in items if is_repeated(item)])
    items[:] = [item for item in items if not is_repeated(item)]


def _values(item: pytest.Item) -> set[str]:
    """Return a test's parameters that are strings."""
    callspec = getattr(item, "callspec", None)
    return {value for value in callspec.params.values() if isinstance(value, str)} if callspec else set()


def _uses_an_event_loop(item: pytest.Item) -> bool:
    """Return whether a test runs in the event loop that `--loop` selects, as tests of the blocking client do not."""
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
    """Make every client without a custom transport use plain httpx if `--transport` selects it."""
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
    """A PostgreSQL server shared by all tests; no test may stop it."""
    server = Postgres()
    try:
        yield server.start()
    finally:
        server.remove()

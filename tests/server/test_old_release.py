"""Any first call to a server of an unsupported release raises one clear error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stepflow_client import LogConfig, StepflowRuntime, UnsupportedByServerError

from tests import releases
from tests.cli.command import Stepflow
from tests.server.conftest import open_client
from tests.server.flows import ECHO, one_step

pytestmark = pytest.mark.anyio

OLD = "0.9.0"
HINT = "the oldest supported release is 0.10: upgrade the server"


@pytest.fixture(scope="module")
def old_server() -> Iterator[StepflowRuntime]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("STEPFLOW_SERVER_BINARY", str(releases.binary(OLD)))
        started = StepflowRuntime.start(config=releases.builtin_config(OLD), log_config=LogConfig(level="warn"))
    with started as server:
        yield server


@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.health_check(),
        lambda client: client.server_info(),
        lambda client: client.list_runs(),
        lambda client: client.run(one_step(ECHO), 1),
        lambda client: client.wait_ready(timeout=30),
    ],
    ids=["health_check", "server_info", "list_runs", "run", "wait_ready"],
)
async def test_clients_name_both_releases(old_server: StepflowRuntime, kind: str, call: Callable[[Any], Any]) -> None:
    async with open_client(kind, old_server.url) as client:
        with pytest.raises(UnsupportedByServerError) as refused:
            await call(client)
    assert refused.value.message == f"{old_server.url} is Stepflow {OLD}, which this client does not support"
    assert refused.value.hint == HINT


@pytest.mark.parametrize("words", [("health",), ("runs", "list"), ("run", "hello.yaml")], ids=" ".join)
def test_the_command_names_both_releases(old_server: StepflowRuntime, tmp_path: Path, words: tuple[str]) -> None:
    (tmp_path / "hello.yaml").write_text("output: 1\n")
    done = Stepflow(tmp_path, tmp_path)(*words, "--url", old_server.url)
    assert (done.code, done.stdout) == (1, "")
    message = f"{old_server.url} is Stepflow {OLD}, which this client does not support\n"
    assert f"{message}server {old_server.url} (from --url)\nhint: {HINT}\n" in done.stderr

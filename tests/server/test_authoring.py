"""Flows written in Python run on real servers, for every construct, and failures name their line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from stepflow_api.api.flow import store_flow
from stepflow_api.models import StoreFlowRequest, StoreFlowResponse
from stepflow_cli.main import cli
from stepflow_client import ExecutionStatus, LogConfig, StepflowRuntime, SyncStepflowClient
from stepflow_client._codec.call_checks import remove_valid_max_retries
from stepflow_client._runs.strip_and_restore_flow import remove_cases
from stepflow_client.authoring import builtin, each, flow
from stepflow_client.flows import check
from stepflow_client.flows.reading import load_file

from tests import releases
from tests.server.authored_programs import INPUT, VARIABLES, Program
from tests.unit.authoring import constructs
from tests.unit.authoring.constructs import FLOWS

BY_HAND: dict[str, Any] = load_file(Path(constructs.__file__).with_name("constructs.yaml"))
RUNS = [(name, number) for name, flow in BY_HAND.items() for number in range(len(flow["runs"]))]

INTEGERS_OF_BUILTINS = {"for_each_of_a_list", "turns"}
"""Flows that servers from 0.12 on break when they serialize them: integers become floats, which map rejects."""


@pytest.fixture(scope="module")
def client(server_url: str) -> Iterator[SyncStepflowClient]:
    with SyncStepflowClient(server_url) as opened:
        yield opened


def test_map_of_a_python_flow(client: SyncStepflowClient) -> None:
    @flow
    def contents(texts: Any, *, role: str = "none") -> Any:
        return each(texts, lambda text: builtin.create_messages(user_prompt=text).messages[0].content).results[0].result

    done = [outcome.output for outcome in contents.map(client, [["a"], ["b"]])]
    assert done == ["a", "b"]


def test_a_failure_names_the_line_in_python(client: SyncStepflowClient) -> None:
    @flow
    def broken(blob_id: Any) -> Any:
        found = builtin.get_blob(blob_id=blob_id)
        return found.data

    result = broken.run(client, "none")
    assert result.status is ExecutionStatus.FAILED
    line = broken.sources["found"].line
    assert result.error.hint == f"step 'found' is written at tests/server/test_authoring.py:{line}"
    for outcome in broken.map(client, ["none", "neither"]):
        assert outcome.error.hint == f"step 'found' is written at tests/server/test_authoring.py:{line}"
    handle = client.start_run(broken, "none")
    assert handle.result().error.hint == handle.results()[0].error.hint == outcome.error.hint
    assert (
        Path(__file__).read_text("utf-8").splitlines()[line - 1].strip() == "found = builtin.get_blob(blob_id=blob_id)"
    )


@pytest.fixture(scope="module", params=["0.10.0", "0.13.0"])
def release_client(request: pytest.FixtureRequest) -> Iterator[SyncStepflowClient]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("STEPFLOW_SERVER_BINARY", str(releases.binary(request.param)))
        config = {**releases.builtin_config(request.param), "retry": {"transportMaxRetries": 0}}
        started = StepflowRuntime.start(config=config, log_config=LogConfig(level="warn"))
    with started, SyncStepflowClient(started.url) as opened:
        yield opened


@pytest.mark.exhaustive
def test_every_construct_runs(release_client: SyncStepflowClient) -> None:
    for name, number in RUNS:
        run = BY_HAND[name]["runs"][number]
        done = release_client.run(FLOWS[name], [run["input"]], variables=run.get("variables"))
        assert done.is_success, (name, done.error)
        assert done.output == run["output"], name


@pytest.mark.exhaustive
def test_every_construct_runs_after_a_server_has_serialized_it(release_client: SyncStepflowClient) -> None:
    exact = release_client.server_info().capabilities["exact_numbers"]
    for name, number in RUNS:
        if name in INTEGERS_OF_BUILTINS and not exact:
            continue
        run = BY_HAND[name]["runs"][number]
        # Servers from 0.12 on read the number of retries as a float here, and reject it.
        flow = remove_valid_max_retries(remove_cases(FLOWS[name].to_dict()))
        stored = store_flow.sync(client=release_client.api, body=StoreFlowRequest.from_dict({"flow": flow}))
        assert isinstance(stored, StoreFlowResponse), name
        done = release_client.run(stored.flow_id, [run["input"]], variables=run.get("variables"))
        assert done.is_success, (name, done.error)
        assert done.output == run["output"], name


def run_outputs(client: SyncStepflowClient, flow: Any, runs: list[dict[str, Any]]) -> list[Any]:
    done = [client.run(flow, [run["input"]], variables=run.get("variables")) for run in runs]
    return [each.output if each.is_success else each.error.message for each in done]


def check_converted(client: SyncStepflowClient, name: str, folder: Path) -> None:
    """Check that the files that `stepflow convert` writes return the same outputs as the flow."""
    runs = BY_HAND[name]["runs"]
    expected = run_outputs(client, FLOWS[name], runs)
    for ending in ("yaml", "json"):
        file = folder / f"{name}.{ending}"
        word = f"tests.unit.authoring.constructs:{FLOWS[name].__name__}"
        written = CliRunner().invoke(cli, ["convert", word, "-O", str(file)])
        assert written.exit_code == 0, written.output
        assert run_outputs(client, file, runs) == expected, file.name


@pytest.mark.parametrize("name", ["empty_list", "false_values", "for_each_of_a_list"])
def test_a_converted_flow_returns_the_same(client: SyncStepflowClient, name: str, tmp_path: Path) -> None:
    check_converted(client, name, tmp_path)


@pytest.mark.exhaustive
def test_every_converted_flow_returns_the_same(release_client: SyncStepflowClient, tmp_path: Path) -> None:
    for name in BY_HAND:
        check_converted(release_client, name, tmp_path)


def run_programs(client: SyncStepflowClient, seeds: range) -> None:
    for seed in seeds:
        program = Program(seed)
        assert not check(program.flow, type_check=True).errors, seed
        done = program.flow.run(client, INPUT, variables=VARIABLES, timeout=20)
        assert done.is_success, (seed, done.error)
        assert done.output == program.expected, seed


def test_random_programs(client: SyncStepflowClient) -> None:
    run_programs(client, range(1000, 1005))


@pytest.mark.exhaustive
def test_two_hundred_random_programs(release_client: SyncStepflowClient) -> None:
    run_programs(release_client, range(200))

"""The built wheels, installed into empty environments and used from another folder."""

from __future__ import annotations

import json
import os
import subprocess
import venv
from pathlib import Path

import pytest
from stepflow_client import StepflowRuntime

from tests.releases import ROOT

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def wheels(request: pytest.FixtureRequest) -> Path:
    folder = request.config.getoption("--wheels")
    if folder is None:
        pytest.fail("needs --wheels; `make smoke` builds and passes them")
    return Path(folder).resolve()


def install(folder: Path, *packages: object) -> Path:
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
    subprocess.run([str(part) for part in command], check=True)
    return folder / "bin"


def wheel(wheels: Path, package: str) -> Path:
    (found,) = wheels.glob(f"{package}-*.whl")
    return found


def clean_environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith(("STEPFLOW_", "PYTHON"))}


def test_the_command_works_where_only_the_wheels_are(wheels: Path, tmp_path: Path) -> None:
    names = ("stepflow_api", "stepflow_client", "stepflow_cli")
    bin_folder = install(tmp_path / "env", *(wheel(wheels, name) for name in names))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    flow = ROOT / "examples" / "hello.yaml"
    done = subprocess.run(
        [bin_folder / "stepflow", "run", flow, "--input-json", '{"name": "World"}'],
        cwd=elsewhere,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["messages"][1] == {"role": "user", "content": "World"}
    assert list(elsewhere.iterdir()) == []


def test_the_bindings_work_alone(wheels: Path, tmp_path: Path) -> None:
    bin_folder = install(tmp_path / "env", wheel(wheels, "stepflow_api"))
    program = """
import sys
from stepflow_api import Client
from stepflow_api.api.flow import store_flow
from stepflow_api.api.run import create_run, get_run
from stepflow_api.models import CreateRunRequest, RunStatus, StoreFlowRequest

flow = {"steps": [], "output": {"$input": "$"}}
with Client(base_url=sys.argv[1] + "/api/v1") as client:
    stored = store_flow.sync(client=client, body=StoreFlowRequest(flow=flow))
    created = create_run.sync(client=client, body=CreateRunRequest(flow_id=stored.flow_id, input_=[7], wait=True))
    found = get_run.sync(client=client, run_id=created.summary.run_id)
assert found.summary.status is RunStatus.COMPLETED, found
print(found.summary.run_id)
"""
    with StepflowRuntime.start() as runtime:
        done = subprocess.run(
            [bin_folder / "python", "-W", "error", "-c", program, runtime.url],
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.strip()) == 36

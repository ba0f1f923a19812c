"""The built wheels have the right contents and work in environments with nothing else installed.

Each wheel is tested with the newest and the lowest versions of its dependencies, on every installed Python.
"""

from __future__ import annotations

import email
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email.message import Message
from pathlib import Path

import pytest
from stepflow_client import StepflowRuntime

from tests.releases import ROOT

pytestmark = pytest.mark.timeout(300)

PACKAGES = ("stepflow_api", "stepflow_client", "stepflow_cli")


def is_installed(name: str) -> bool:
    """Return whether a Python of this version is installed, not just a shim for a missing one."""
    python = shutil.which(f"python{name}")
    return python is not None and subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0


PYTHONS = [name for name in ("3.11", "3.12", "3.13", "3.14") if is_installed(name)]
MAX_PACKAGES = 15
"""Maximum number of third-party packages that installing stepflow-client may add."""


@pytest.fixture(scope="module")
def wheels(request: pytest.FixtureRequest) -> Path:
    folder = request.config.getoption("--wheels")
    if folder is None:
        pytest.fail("needs --wheels; `make smoke` builds and passes them")
    return Path(folder).resolve()


@pytest.fixture(params=["lowest", "newest"])
def resolution(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=PYTHONS)
def python(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_oldest_supported_python_is_installed() -> None:
    assert "3.11" in PYTHONS, f"only {PYTHONS} are installed"


def uv(*arguments: object) -> str:
    command = [Path(sys.executable).with_name("uv"), *arguments]
    return subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True).stdout


def install(
    folder: Path, wheels: Path, packages: tuple[str, ...], python: str, resolution: str, *, has_extras: bool = False
) -> Path:
    """Install wheels and their requirements into a new environment; return its `bin` folder."""
    uv("venv", "--quiet", "--python", f"python{python}", folder)
    # uv only selects the lowest versions of direct requirements, so pass the packages' requirements explicitly.
    requirements = (
        declared_requirements(packages, has_extras=has_extras) if resolution == "lowest" or has_extras else []
    )
    lowest = ("--resolution", "lowest-direct", *requirements) if resolution == "lowest" else requirements
    files = [wheel(wheels, package) for package in packages]
    uv("pip", "install", "--quiet", "--no-build", "--python", folder / "bin" / "python", *lowest, *files)
    return folder / "bin"


def declared_requirements(packages: tuple[str, ...], *, has_extras: bool) -> list[str]:
    """Return the requirements of packages, optionally with their extras, but without requirements on each other."""
    requirements = []
    for package in packages:
        text = (ROOT / "packages" / package.replace("_", "-") / "pyproject.toml").read_text(encoding="utf-8")
        project = tomllib.loads(text)["project"]
        requirements += project["dependencies"]
        if has_extras:
            requirements += [each for extra in project.get("optional-dependencies", {}).values() for each in extra]
    return [
        requirement for requirement in requirements if not requirement.startswith(("stepflow-api", "stepflow-client"))
    ]


def wheel(wheels: Path, package: str) -> Path:
    (path,) = wheels.glob(f"{package}-*.whl")
    return path


def clean_environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith(("STEPFLOW_", "PYTHON"))}


@pytest.mark.parametrize("package", PACKAGES)
def test_contents_of_a_wheel(wheels: Path, package: str) -> None:
    with zipfile.ZipFile(wheel(wheels, package)) as archive:
        names = archive.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        about: Message = email.message_from_bytes(archive.read(metadata))
        licences = [archive.read(name) for name in names if name.endswith(".dist-info/licenses/LICENSE")]
    assert licences == [(ROOT / "LICENSE").read_bytes()]
    assert f"{package}/py.typed" in names
    described = about.get_payload(decode=True)
    assert isinstance(described, bytes)
    readme = (ROOT / "packages" / package.replace("_", "-") / "README.md").read_text(encoding="utf-8")
    # The repository has no public address, so links into it are removed.
    assert described.decode().strip() == re.sub(r"\[([^\]]+)\]\(\.\./[^)]+\)", r"\1", readme).strip()
    assert b"example.org" not in described
    assert about["Version"] == (ROOT / "VERSION").read_text(encoding="utf-8").strip()
    assert about["License-Expression"] == "Apache-2.0"
    assert about["Author"]
    assert about.get_all("Project-URL") == ["Homepage, https://stepflow.org"]


def check_versions(bin_folder: Path) -> None:
    """Check the versions of the installed packages."""
    program = "".join(f"import {package}; print({package}.__version__)\n" for package in PACKAGES)
    done = subprocess.run([bin_folder / "python", "-c", program], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {(ROOT / "VERSION").read_text(encoding="utf-8").strip()}


def check_weight(bin_folder: Path) -> None:
    """Check that installing the client added few packages and no gRPC."""
    listed = json.loads(uv("pip", "list", "--quiet", "--python", bin_folder / "python", "--format", "json"))
    names = {package["name"] for package in listed}
    others = {name for name in names if not name.startswith("stepflow-")}
    assert 0 < len(others) <= MAX_PACKAGES, sorted(names)
    assert "grpcio" not in names


def test_the_command_works_with_only_the_wheels_installed(
    wheels: Path, tmp_path: Path, python: str, resolution: str
) -> None:
    bin_folder = install(tmp_path / "env", wheels, PACKAGES, python, resolution)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    flow = ROOT / "examples" / "hello.yaml"
    (tmp_path / "home").mkdir()
    environment = {**clean_environment(), "HOME": str(tmp_path / "home")}

    def stepflow(*arguments: object) -> str:
        command = [bin_folder / "stepflow", *arguments]
        done = subprocess.run(command, cwd=elsewhere, env=environment, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    output = json.loads(stepflow("run", flow, "--input-json", '{"name": "World"}'))
    assert output["messages"][1] == {"role": "user", "content": "World"}
    assert "create_messages" in stepflow("list-components")
    assert re.search(r"^  run\b", stepflow("--help"), flags=re.MULTILINE)
    assert "--input-json" in stepflow("run", "--help")
    assert list(elsewhere.iterdir()) == []
    check_versions(bin_folder)


EXTRAS = """
import asyncio, subprocess, sys
import pyarrow, pyarrow.parquet
import opentelemetry.trace
from importlib import import_module
from pathlib import Path
from stepflow_client import StepflowRuntime, read_inputs

flow, stepflow = sys.argv[1], str(Path(sys.executable).with_name("stepflow"))

def run(*command, stdin=""):
    done = subprocess.run([str(each) for each in command], input=stdin, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done
    return done.stdout

pyarrow.parquet.write_table(pyarrow.table({"name": ["Ada", "Grace"]}), "names.parquet")
assert [each["name"] for each in read_inputs("names.parquet")] == ["Ada", "Grace"]
records = run(stepflow, "batch", flow, "names.parquet")
assert "Ada" in records and "Grace" in records, records
assert "completed" in run(stepflow, "eval", flow, "--cases", "names.parquet", "-o", "json")
run(stepflow, "visualize", flow, "--output", "flow.png")
assert Path("flow.png").read_bytes()[1:4] == b"PNG"
assert "class" in run(stepflow, "codegen", flow)
assert "mcpServers" in run(stepflow, "mcp", "config", flow, "--client", "claude-code")
for module in ("lsp.server", "mcp.agent_server", "ui.app"):
    import_module(f"stepflow_cli.{module}")
run(sys.executable, "-m", "stepflow_api.regenerate", "--output", "own_bindings")
"""


def test_every_extra_works_with_the_lowest_versions(wheels: Path, tmp_path: Path, python: str) -> None:
    """This includes the newest Python, for which the oldest releases may have no wheels."""
    bin_folder = install(tmp_path / "env", wheels, PACKAGES, python, "lowest", has_extras=True)
    (tmp_path / "work").mkdir()
    done = subprocess.run(
        [bin_folder / "python", "-c", EXTRAS, ROOT / "examples" / "hello.yaml"],
        cwd=tmp_path / "work",
        env={**clean_environment(), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_client_works_alone(wheels: Path, tmp_path: Path, python: str, resolution: str) -> None:
    bin_folder = install(tmp_path / "env", wheels, ("stepflow_api", "stepflow_client"), python, resolution)
    check_weight(bin_folder)
    program = """
import asyncio, sys
from pydantic import BaseModel
from stepflow_client import StepflowClient, SyncStepflowClient
from stepflow_client.authoring import flow

class Guest(BaseModel):
    name: str

@flow
def get_name(guest: Guest) -> str:
    return guest.name

async def main():
    async with StepflowClient(sys.argv[1]) as client:
        result = await client.run(sys.argv[2], {"name": "World"})
        assert result.is_success, result
        return [event.type async for event in client.run_events(result.run_id)][-1]

with SyncStepflowClient(sys.argv[1]) as client:
    assert client.run(sys.argv[2], {"name": "World"}).is_success
    assert get_name.run(client, Guest(name="Ada")).unwrap() == "Ada"
print(asyncio.run(main()))
"""
    with StepflowRuntime.start() as runtime:
        done = subprocess.run(
            [bin_folder / "python", "-W", "error", "-c", program, runtime.url, ROOT / "examples" / "hello.yaml"],
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert (done.returncode, done.stdout, done.stderr) == (0, "run_completed\n", "")


def test_the_bindings_work_alone(wheels: Path, tmp_path: Path, python: str, resolution: str) -> None:
    bin_folder = install(tmp_path / "env", wheels, ("stepflow_api",), python, resolution)
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
    run = get_run.sync(client=client, run_id=created.summary.run_id)
assert run.summary.status is RunStatus.COMPLETED, run
print(run.summary.run_id)
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

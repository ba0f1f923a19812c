"""The generator scripts: output is reproducible, deviations are listed, and failures change nothing."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import check_generated, generate_api
from tests import releases
from tests.server import conformance_server
from tests.unit.repository.description_changes import CHANGES, Change

SCRIPT = Path(generate_api.__file__)


# Each test runs the generator.
pytestmark = pytest.mark.exhaustive


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, generated in this process."""
    output = tmp_path_factory.mktemp("generated") / "stepflow_api"
    generate_api.generate(generate_api.SPEC, output)
    return output


@pytest.fixture
def edited(package: Path, tmp_path: Path) -> Path:
    """A copy of the package to change."""
    return Path(shutil.copytree(package, tmp_path / "stepflow_api"))


def run(*arguments: str | Path, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, **environment},
    )


def test_the_output_does_not_depend_on_folder_and_environment(package: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "another_name"
    (tmp_path / "pyproject.toml").write_text("[tool.ruff]\nline-length = 40\n")
    environment = {"HOME": str(tmp_path), "PYTHONHASHSEED": "42", "LC_ALL": "C", "TZ": "Asia/Tokyo"}
    done = run("--output", elsewhere, cwd=tmp_path, **environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert check_generated.compare(package, elsewhere) == []


def test_the_committed_package_is_up_to_date(package: Path) -> None:
    assert check_generated.compare(generate_api.OUTPUT, package) == []


def test_every_file_names_its_generator(package: Path) -> None:
    files = list(package.rglob("*.py"))
    assert len(files) > 50
    for file in files:
        assert "make generate" in file.read_text().splitlines()[0], file
    assert (package / "py.typed").exists()
    here = str(generate_api.ROOT)
    assert [file for file in files if here in file.read_text()] == []


def test_old_files_are_removed(package: Path, edited: Path) -> None:
    (edited / "models" / "old.py").touch()
    (edited / "api" / "health" / "health_check.py").write_text("")
    generate_api.generate(generate_api.SPEC, edited)
    assert check_generated.compare(edited, package) == []


def test_deviations_are_listed(package: Path, edited: Path) -> None:
    (edited / "models" / "stray.py").touch()
    (edited / "client.py").unlink()
    with (edited / "types.py").open("a") as file:
        file.write("\n")
    (edited / "models" / "__pycache__").mkdir()
    (edited / "models" / "__pycache__" / "x.pyc").touch()
    assert check_generated.compare(edited, package) == [
        f"missing: {edited / 'client.py'}",
        f"stray: {edited / 'models' / 'stray.py'}",
        f"different: {edited / 'types.py'}",
    ]


def test_check_fails_and_says_what_to_do(
    edited: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check_generated, "TARGETS", (check_generated.Target(edited, SCRIPT),))
    assert check_generated.main() == 0
    assert capsys.readouterr().err == ""
    (edited / "errors.py").unlink()
    assert check_generated.main() == 1
    message = capsys.readouterr().err
    assert f"missing: {edited / 'errors.py'}" in message
    assert "Run `make generate`" in message


def test_a_changed_description_changes_the_package(tmp_path: Path) -> None:
    text = generate_api.SPEC.read_text()
    added = "        flowName:\n          type: string\n"
    assert text.count(added) == 1
    priority = "        priority:\n          type: integer\n          description: How urgent it is.\n"
    spec = tmp_path / "changed.yaml"
    spec.write_text(text.replace(added, priority + added))
    done = run(spec.name, "--output", "package", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    summary = (tmp_path / "package" / "models" / "run_summary.py").read_text()
    assert 'priority: int | Unset = UNSET\n    """ How urgent it is. """' in summary


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read the description"),
        ("a: [}", "is not valid YAML: .*, line 1"),
        ("", "has no key `openapi`"),
        ("swagger: '2.0'", "has no key `openapi`"),
        ("openapi: 3.1.0\npaths: 3", "describes another API"),
        ("openapi: 3.1.0\npaths: {/x: {get: {parameters: [3]}}}", "describes another API"),
        ("openapi: 3.1.0\npaths: &paths [*paths]", "contains itself"),
        ("\x00", "is not valid YAML"),
        (generate_api.SPEC.read_text() + "    Extra: 3\n", "the generator refuses the description .*Extra"),
    ],
)
def test_an_invalid_description_is_a_one_line_error_and_changes_nothing(
    text: str | None, message: str, package: Path, edited: Path, tmp_path: Path
) -> None:
    spec = tmp_path / "spec.yaml"
    if text is not None:
        spec.write_text(text)
    done = run(spec, "--output", edited)
    assert done.returncode == 2
    assert done.stderr.startswith("generate_api: ")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert re.search(message, done.stderr)
    assert check_generated.compare(edited, package) == []


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout; programs started there import its packages."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("packages", "openapi", "scripts", "docs"):
        shutil.copytree(generate_api.ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def run_in(checkout: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(str(each) for each in checkout.glob("packages/*/src"))
    command = [sys.executable, "-B", *arguments]
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=checkout, env=environment)


USE = """
import stepflow_api.models, stepflow_client
from stepflow_client._rules.operations_and_releases import OPERATIONS
print(stepflow_api.__file__, *(operation.path for operation in OPERATIONS.values()))
print(*(getattr(stepflow_api.models, name) for name in stepflow_api.models.__all__))
"""


# The generator takes seconds, so independent changes are applied together.
SEPARATE = ("an operation without a name", "a schema in allOf", "nullable in a request and OpenAPI 3.0")
REFUSED = [change for change in CHANGES if change.error or change.name == "changed parameters"]


@pytest.mark.parametrize("is_separate", [False, True])
def test_a_changed_description_leaves_a_usable_checkout(is_separate: bool, checkout: Path, tmp_path: Path) -> None:
    package = checkout / generate_api.OUTPUT.relative_to(generate_api.ROOT)
    changes = [change for change in CHANGES if change.is_applied and (change.name in SEPARATE) == is_separate]
    change = sum(changes, Change("all"))
    spec = tmp_path / "changed.json"
    spec.write_text(json.dumps(change.document()))
    done = run_in(checkout, "scripts/generate_api.py", spec)
    assert done.returncode == 0, done.stderr
    sentences = {f"  {kind}: {sentence}" for kind, sentences in change.differences.items() for sentence in sentences}
    assert {*done.stderr.splitlines()[1:]} == sentences
    assert json.loads((package / "_openapi/stepflow.yaml").read_text()) == change.document()
    used = run_in(checkout, "-c", USE)
    assert used.returncode == 0, used.stderr
    assert used.stdout.startswith(str(package))


@pytest.mark.parametrize("change", REFUSED, ids=lambda change: change.name)
def test_a_refused_description_changes_nothing(change: Change, package: Path, edited: Path, tmp_path: Path) -> None:
    spec = tmp_path / "changed.json"
    spec.write_text(json.dumps(change.document()))
    done = run(spec, "--output", edited)
    lines = [f"  {kind}: {sentence}" for kind, sentences in change.differences.items() for sentence in sentences]
    *report, last = done.stderr.splitlines()
    assert report[1:] == lines
    assert change.error in last
    assert done.returncode == 2
    assert check_generated.compare(edited, package) == []


def test_bindings_that_lack_a_model_of_the_client_are_refused(edited: Path, package: Path, tmp_path: Path) -> None:
    spec = tmp_path / "renamed.yaml"
    text = generate_api.SPEC.read_text()
    spec.write_text(text.replace("schemas/RunStatus", "schemas/State").replace("    RunStatus:", "    State:"))
    done = run(spec, "--output", edited)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "the client cannot import the new bindings (ImportError: cannot import name 'RunStatus'" in done.stderr
    assert check_generated.compare(edited, package) == []
    assert run(spec, "--output", edited, "--force").returncode == 0
    assert (edited / "models" / "state.py").exists()


def test_the_case_of_operation_ids_does_not_change_the_bindings(package: Path, tmp_path: Path) -> None:
    spec = tmp_path / "camel_case.yaml"
    names = re.compile(r"(?<=operationId: )\w+")
    spec.write_text(names.sub(lambda match: match[0].title().replace("_", ""), generate_api.SPEC.read_text()))
    assert run(spec, "--output", tmp_path / "stepflow_api").stderr == ""
    differences = check_generated.compare(tmp_path / "stepflow_api", package)
    assert differences == [f"different: {tmp_path / 'stepflow_api/_openapi/stepflow.yaml'}"]


@pytest.mark.parametrize("version", ["0.10.0", "0.11.1"])
def test_the_description_of_an_older_server_is_refused(
    version: str, edited: Path, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conformance_server, "BINARY", releases.binary(version))
    with conformance_server.running_server(releases.builtin_config(version)) as url:
        done = run(f"{url}/openapi.json", "--output", edited)
        assert check_generated.compare(edited, package) == []
        forced = run(f"{url}/openapi.json", "--output", edited, "--force")
    assert done.returncode == 2
    first, *report, last = done.stderr.splitlines()
    assert first == f"{url}/openapi.json, compared with the description that the client was written for:"
    assert {
        "  missing: operation `get_run_step` (GET /runs/{runId}/steps/{stepId})",
        "  missing: operation `get_run_events` (GET /runs/{pathRunId}/events)",
        "  missing: `CreateRunResponse` has no `summary`",
        "  missing: `ErrorEnvelope` has no `error`",
        "  changed: `RunSummary.status` is string instead of integer",
        "  changed: `GetRunStepsResponse.steps` is object instead of array",
        "  changed, still compatible: `list_runs.limit` is integer or null instead of integer",
        "  added: `ItemResult` has `result`",
    } <= {*report}
    operations = {*re.findall(r"operation `(\w+)`", done.stderr)}
    assert operations == {"get_run_step", "get_run_events"} | ({"get_flow_variables"} if version == "0.10.0" else set())
    assert last.startswith("generate_api: nothing was replaced, because the client does not work with ")
    if version == "0.11.1":
        assert forced.returncode == 0
        assert (edited / "models" / "execution_status.py").exists()
    else:
        # openapi-python-client cannot parse a union that contains itself.
        assert "the generator refuses the description" in forced.stderr.splitlines()[-1]


def test_a_failure_of_a_later_step_changes_nothing(checkout: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(checkout, tmp_path / "broken"))
    (broken / "scripts/pages/cli.md").unlink()
    (broken / "docs/cli.md").write_text("an old page")
    spec = tmp_path / "changed.yaml"
    spec.write_text(
        generate_api.SPEC.read_text().replace("    ItemCounts:\n", "    ItemCounts:\n      title: Counts\n")
    )
    before = shutil.copytree(broken, tmp_path / "before")
    done = run_in(broken, "scripts/generate.py", spec)
    assert done.returncode == 1
    assert done.stderr.endswith("generate: write_cli_page.py failed, so no generated file was changed\n")
    for name in ("packages", "docs"):
        assert check_generated.compare(broken / name, before / name) == []
    forced = run_in(broken, "scripts/generate.py", spec, "--force")
    assert forced.returncode == 0
    assert (broken / "docs/cli.md").read_text() == "an old page"
    assert "title: Counts" in (broken / "packages/stepflow-api/src/stepflow_api/_openapi/stepflow.yaml").read_text()


def regenerate(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stepflow_api.regenerate", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_users_can_generate_a_package_with_their_own_name(package: Path, tmp_path: Path) -> None:
    done = regenerate("--output", tmp_path / "own_bindings")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    written = tmp_path / "own_bindings" / "api" / "run" / "create_run.py"
    ours = (package / "api" / "run" / "create_run.py").read_text().splitlines()
    lines = written.read_text().splitlines()
    assert "regenerate" in lines[0]
    assert lines[1:] == ours[1:]
    script = (
        "from own_bindings.api.run import create_run; from own_bindings.models import RunSummary; print('imported')"
    )
    used = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (used.stdout, used.stderr) == ("imported\n", "")
    assert regenerate(generate_api.SPEC, "--output", tmp_path / "own_bindings").returncode == 0


def test_a_package_that_cannot_be_written_is_a_one_line_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = regenerate("--output", tmp_path / "file" / "own_bindings")
    assert done.returncode == 2
    assert done.stderr == f"regenerate: cannot write {tmp_path / 'file' / 'own_bindings'}: Not a directory.\n"


@pytest.mark.parametrize(
    ("spec", "output", "message"),
    [
        (None, "bindings", "cannot read the description"),
        (
            "http://127.0.0.1:9/openapi.yaml",
            "bindings",
            "cannot read the description http://127.0.0.1:9/openapi.yaml: ",
        ),
        ("swagger: '2.0'", "bindings", "is not an OpenAPI description"),
        ("openapi: 3.1.0\ninfo: {title: x, version: '1'}\npaths: {}", "bindings", "describes another API"),
        ("{}", "my-bindings", "'my-bindings' cannot be the name of a package"),
        ("{}", "precious", "precious holds something else than a generated package"),
    ],
)
def test_invalid_arguments_of_regenerate_are_one_line_errors(
    spec: str | None, output: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "__init__.py").write_text("mine = 1\n")
    (tmp_path / "precious" / "py.typed").touch()
    file = tmp_path / "spec.yaml"
    if spec is not None:
        file.write_text(spec)
    done = regenerate(spec if spec and spec.startswith("http") else file, "--output", tmp_path / output)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("regenerate: ")
    assert done.stderr.count("\n") == 1
    assert message in done.stderr
    assert (tmp_path / "precious" / "__init__.py").read_text() == "mine = 1\n"
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["precious"]

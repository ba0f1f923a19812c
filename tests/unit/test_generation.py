"""The scripts that write the generated package, on copies: repeatable, and every deviation is named."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import check_generated, generate_api

SCRIPT = Path(generate_api.__file__)


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


def test_the_result_does_not_depend_on_where_and_how_it_is_run(package: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "another_name"
    (tmp_path / "pyproject.toml").write_text("[tool.ruff]\nline-length = 40\n")
    environment = {"HOME": str(tmp_path), "PYTHONHASHSEED": "42", "LC_ALL": "C", "TZ": "Asia/Tokyo"}
    done = run("--output", elsewhere, cwd=tmp_path, **environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert check_generated.compare(package, elsewhere) == []


def test_the_repository_holds_what_is_generated(package: Path) -> None:
    assert check_generated.compare(generate_api.OUTPUT, package) == []


def test_every_file_says_where_it_comes_from(package: Path) -> None:
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


def test_deviations_are_named(package: Path, edited: Path) -> None:
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
    ("text", "words"),
    [
        (None, "cannot read the description"),
        ("a: [", "is not valid YAML: .*, line 1"),
        ("", "has no key `openapi`"),
        ("swagger: '2.0'", "has no key `openapi`"),
        ("openapi: 3.1.0\npaths: 3", "the generator refuses the description .*paths"),
        ("openapi: 3.1.0\ninfo: {title: x, version: '1'}\npaths: {/x: {get: {parameters: [3]}}}", "refuses"),
        ("openapi: 3.1.0\ninfo: {title: x, version: '1'}\npaths: {}\ncomponents: 3", "refuses"),
        ("\x00", "is not valid YAML"),
    ],
)
def test_a_bad_description_is_one_sentence_and_changes_nothing(
    text: str | None, words: str, package: Path, edited: Path, tmp_path: Path
) -> None:
    spec = tmp_path / "spec.yaml"
    if text is not None:
        spec.write_text(text)
    done = run(spec, "--output", edited)
    assert done.returncode == 2
    assert done.stderr.startswith("generate_api: ")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert re.search(words, done.stderr)
    assert check_generated.compare(edited, package) == []


def test_a_reference_to_nothing_is_refused(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(generate_api.SPEC.read_text().replace("schemas/Empty", "schemas/Emptied"))
    done = run(spec, "--output", tmp_path / "package")
    assert done.returncode == 2
    assert "Could not find reference" in done.stderr
    assert not (tmp_path / "package").exists()

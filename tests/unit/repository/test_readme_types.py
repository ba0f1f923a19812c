"""The Python code in the READMEs passes mypy --strict and pyright unchanged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documentation.blocks import PAGES, ROOT, in_language
from tests.type_checkers import run_mypy

SOURCES = [str(ROOT / f"packages/{name}/src") for name in ("stepflow-api", "stepflow-client", "stepflow-cli")]
WITH_CODE = [readme for readme in PAGES if readme.endswith("README.md") and in_language(readme, "python")]
SESSION = "packages/stepflow-client/README.md"
"""The README whose blocks form one session with a `client`; blocks of the others are independent."""
HEAD = (
    "from stepflow_client import RetryPolicy, StepflowClient, SyncStepflowClient",
    "async def session(client: StepflowClient, stepflow: SyncStepflowClient) -> None:",
)
"""The lines before a session; they replace the title and the line below it."""


def module(readme: str) -> str:
    """Return the code of a README as a module, keeping line numbers."""
    lines = [""] * len((ROOT / readme).read_text("utf-8").splitlines())
    if readme == SESSION:
        lines[:2] = HEAD
    for block in in_language(readme, "python"):
        if readme != SESSION:
            # Replaces the line that opens the block.
            lines[block.line - 2] = f"async def block_{block.line}() -> None:"
        for number, line in enumerate(block.text.splitlines(), start=block.line):
            lines[number - 1] = f"    {line}".rstrip()
    return "\n".join(lines) + "\n"


# Each test runs a type checker.
pytestmark = pytest.mark.exhaustive


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the code of each README as a module."""
    folder = tmp_path_factory.mktemp("readmes")
    for readme in WITH_CODE:
        name = f"readme_of_{Path(readme).parent.name or 'root'}.py".replace("-", "_")
        (folder / name).write_text(module(readme), "utf-8")
    assert len(list(folder.iterdir())) == len(WITH_CODE) >= 3
    return folder


def test_mistakes_are_found(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(f"{HEAD[0]}\n{HEAD[1]}\n    (await client.run('f.yaml')).nonsense\n")
    assert "nonsense" in run_mypy(tmp_path / "cache", tmp_path / "wrong.py").stdout
    assert "nonsense" in run_pyright(tmp_path)


@pytest.mark.timeout(300)
def test_mypy_accepts_the_code(modules: Path, tmp_path: Path) -> None:
    done = run_mypy(tmp_path / "cache", modules)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.timeout(300)
def test_pyright_accepts_the_code(modules: Path) -> None:
    assert run_pyright(modules) == ""


def run_pyright(folder: Path) -> str:
    settings = {
        "include": ["."],
        "extraPaths": SOURCES,
        "pythonVersion": "3.11",
        "typeCheckingMode": "standard",
    }
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(folder)]
    report = json.loads(subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout)
    assert report["summary"]["filesAnalyzed"] >= 1
    (folder / "pyrightconfig.json").unlink()
    return "".join(
        f"{each['file']}:{each['range']['start']['line'] + 1}: {each['message']}\n"
        for each in report["generalDiagnostics"]
    )

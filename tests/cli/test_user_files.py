"""If a command fails to write a file, the file is unchanged and no temporary file is left."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.cli.command import STEPFLOW, Stepflow

_LONG = f"# {'x' * 100_000}\n"
"""Longer than the size limit, so a file with this comment cannot be rewritten."""
_FLOW = "name: big\ndescription: d\nsteps:\n- id: a\n  component: /builtin/noop\n  input: {$input: $}\n"


@pytest.fixture
def big(stepflow: Stepflow) -> Path:
    """A flow file with one error that `validate --fix` corrects."""
    file = stepflow.folder / "big.yaml"
    file.write_text(f"{_FLOW}ouput: {{$step: a}}\n{_LONG}")
    return file


def run_with_size_limit(stepflow: Stepflow, *args: str) -> str:
    """Run a command with a file size limit of 64 KiB, and return its errors."""
    # The signal is ignored, so writing fails as on a full disk. The limit would also truncate bytecode files.
    line = f"trap '' XFSZ; ulimit -f 64; {shlex.join([str(STEPFLOW), *args])}"
    done = stepflow.shell(line, PYTHONDONTWRITEBYTECODE="1")
    assert done.code == 2, done
    assert "Traceback" not in done.stderr
    return done.stderr


def content(folder: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in folder.iterdir() if each.is_file()}


@pytest.mark.parametrize(
    "line",
    [
        "validate --offline --fix big.yaml",
        "convert big.yaml -O new.json",
        "config set timeout 5",
        # These write their files in the same way.
        pytest.param("infer --offline big.yaml -O big.yaml", marks=pytest.mark.exhaustive),
        pytest.param("convert big.yaml -O old.json", marks=pytest.mark.exhaustive),
        pytest.param("visualize big.yaml -O old.mmd", marks=pytest.mark.exhaustive),
    ],
)
def test_full_disk_leaves_the_file_unchanged(stepflow: Stepflow, big: Path, line: str) -> None:
    steps = "".join(f"- {{id: step{number}, component: /builtin/noop}}\n" for number in range(4_000))
    if "old" in line or "new" in line:
        big.write_text(f"{_FLOW}{steps}output: {{$step: a}}\n")
    for name in ("old.json", "old.mmd"):
        (stepflow.folder / name).write_text("old")
    config = stepflow.folder / "config.toml"
    config.write_text(f'current = "a"\n[profiles.a]\nurl = "http://a"\n{_LONG}')
    stepflow.environment["STEPFLOW_CONFIG_FILE"] = "config.toml"
    before = content(stepflow.folder)
    assert "cannot be written: File too large" in run_with_size_limit(stepflow, *line.split())
    assert content(stepflow.folder) == before


@pytest.mark.usefixtures("server")
def test_full_disk_leaves_the_files_of_a_run_unchanged(stepflow: Stepflow, big: Path) -> None:
    big.write_text(f"{_FLOW}output: {{$step: a}}\n{_LONG}")
    (stepflow.folder / "old.json").write_text("old")
    assert stepflow("run", "big.yaml", "--input", "-", stdin=f'"{_LONG[:-1]}"').code == 0
    before = content(stepflow.folder)
    for line in ("save @last big.yaml", "result @last -O old.json", "result @last -o jsonl -O old.json"):
        assert "cannot be written: File too large" in run_with_size_limit(stepflow, "runs", *line.split())
    assert content(stepflow.folder) == before


@pytest.mark.parametrize("line", ["validate --offline --fix big.yaml", "infer --offline big.yaml -O big.yaml"])
def test_file_that_another_program_writes_is_unchanged(stepflow: Stepflow, big: Path, line: str) -> None:
    before = big.read_text()
    with big.open("a") as opened:
        done = stepflow(*line.split())
        opened.write("# more\n")
    assert done.code == 2
    assert "big.yaml cannot be written: it has changed since it was read, or another program is writing to it" in (
        done.stderr
    )
    assert "run the command again" in done.stderr
    assert big.read_text() == f"{before}# more\n"

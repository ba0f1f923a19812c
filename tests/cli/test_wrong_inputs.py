"""What the command says to wrong inputs. The golden file is there to be read: each message as people see it."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from stepflow_client import StepflowRuntime

from tests.cli.command import Done, Stepflow
from tests.cli.golden import Golden
from tests.cli.wrong_inputs import FILES, ON_A_SERVER, WRONG


@pytest.fixture
def stepflow(tmp_path: Path) -> Stepflow:
    """The command, in a folder with the wrong files."""
    folder, home = tmp_path / "work", tmp_path / "home"
    home.mkdir()
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode("utf-8", "surrogateescape"))
    return Stepflow(folder, home, is_here=True)


def without(done: Done, place: str, advice: str = "") -> str | None:
    """Return what an error lacks: a failing exit code, the place, or what to do; None if it has all of them."""
    lines = [*done.stdout.splitlines(), *done.stderr.splitlines()]
    if done.code not in (1, 2, 3, 4) or not any(line.startswith("stepflow: ") for line in lines):
        return "a failure"
    if place not in "\n".join(lines):
        return f"the place: {place}"
    has_hint = any(line.startswith(("hint: ", "    = ")) for line in lines)
    return None if has_hint or (advice and advice in done.stderr) else "what to do"


def told(done: Done) -> str:
    return f"$ {done.line}\n{done.stdout}{done.stderr}"


def compare(stepflow: Stepflow, golden: Golden, sections: dict[str, list[tuple[str, ...]]]) -> None:
    texts, lacking = [], []
    for title, rows in sections.items():
        texts.append(f"# {title}\n")
        for line, *parts in rows:
            done = stepflow(*shlex.split(line))
            texts.append(told(done))
            if (missing := without(done, *parts)) is not None:
                lacking.append(f"{line}: without {missing}\n{done}")
    golden(*texts)
    assert not lacking, "\n".join(lacking)


def test_messages(stepflow: Stepflow, golden: Golden) -> None:
    compare(stepflow, golden, WRONG)


def test_messages_of_a_server(stepflow: Stepflow, newest_server: StepflowRuntime, golden: Golden) -> None:
    stepflow.environment["STEPFLOW_URL"] = newest_server.url
    compare(stepflow, golden, {"On a server": ON_A_SERVER})


def test_there_are_a_hundred() -> None:
    assert sum(map(len, WRONG.values())) + len(ON_A_SERVER) >= 100

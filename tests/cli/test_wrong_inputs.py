"""Messages about typical user mistakes name the place and what to do. Review the golden files as users see them."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from stepflow_client import StepflowRuntime

from tests.cli.command import CommandResult, Stepflow
from tests.cli.golden import Golden
from tests.cli.wrong_inputs import FILES, ON_A_SERVER, WRONG


@pytest.fixture
def stepflow(tmp_path: Path) -> Stepflow:
    """The command, in a folder with the invalid files."""
    folder, home = tmp_path / "work", tmp_path / "home"
    home.mkdir()
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode("utf-8", "surrogateescape"))
    return Stepflow(folder, home, in_process=True)


def missing_part(done: CommandResult, place: str, advice: str = "") -> str | None:
    """Return the missing part of an error: the failure, the place, or the advice. None if it is complete."""
    lines = [*done.stdout.splitlines(), *done.stderr.splitlines()]
    if done.code not in (1, 2, 3, 4) or not any(line.startswith("stepflow: ") for line in lines):
        return "a failure"
    if place not in "\n".join(lines):
        return f"the place: {place}"
    has_hint = any(line.startswith(("hint: ", "    = ")) for line in lines)
    return None if has_hint or (advice and advice in done.stderr) else "what to do"


def transcript(done: CommandResult) -> str:
    return f"$ {done.line}\n{done.stdout}{done.stderr}"


def check_messages(stepflow: Stepflow, golden: Golden, sections: dict[str, list[tuple[str, ...]]]) -> None:
    texts, incomplete = [], []
    for title, rows in sections.items():
        texts.append(f"# {title}\n")
        for line, *parts in rows:
            done = stepflow(*shlex.split(line))
            texts.append(transcript(done))
            if (missing := missing_part(done, *parts)) is not None:
                incomplete.append(f"{line}: without {missing}\n{done}")
    golden(*texts)
    assert not incomplete, "\n".join(incomplete)


def test_messages(stepflow: Stepflow, golden: Golden) -> None:
    check_messages(stepflow, golden, WRONG)


def test_messages_with_a_server(stepflow: Stepflow, newest_server: StepflowRuntime, golden: Golden) -> None:
    stepflow.environment["STEPFLOW_URL"] = newest_server.url
    check_messages(stepflow, golden, {"On a server": ON_A_SERVER})


def test_at_least_100_mistakes_are_covered() -> None:
    assert sum(map(len, WRONG.values())) + len(ON_A_SERVER) >= 100

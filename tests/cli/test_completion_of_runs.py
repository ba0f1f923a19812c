"""The shell completes run IDs."""

from __future__ import annotations

import shlex
import socket
import time

import pytest

from tests.cli.command import Stepflow
from tests.cli.runs import Start


def complete(stepflow: Stepflow, line: str, **environment: str) -> list[tuple[str, str]]:
    """Return the completions at the end of a line, each with its help text, as zsh receives them."""
    words = shlex.split(line)
    count = len(words) if line.endswith(" ") else len(words) - 1
    variables = {"_STEPFLOW_COMPLETE": "zsh_complete", "COMP_WORDS": line, "COMP_CWORD": str(count)}
    done = stepflow(**variables, **environment)
    assert (done.code, done.stderr) == (0, "")
    lines = [line for line in done.stdout.splitlines() if line]
    return [(value, text) for kind, value, text in zip(*[iter(lines)] * 3, strict=True) if kind == "plain"]


@pytest.mark.parametrize("verb", ["get", "items", "steps", "flow", "result", "cancel", "delete", "watch", "events"])
def test_commands_that_complete_runs(verb: str, stepflow: Stepflow, ada: str) -> None:
    assert (ada, "completed, hello") in complete(stepflow, f"stepflow runs {verb} ")


def test_run_ids_are_filtered_by_prefix(stepflow: Stepflow, ada: str, failed: str, running: str) -> None:
    assert complete(stepflow, f"stepflow runs get {ada[:-1]}") == [(ada, "completed, hello")]
    assert complete(stepflow, "stepflow runs get x") == []
    assert complete(stepflow, f"stepflow runs watch {ada} {failed[:-1]}") == [(failed, "failed, fails")]
    assert complete(stepflow, f"stepflow runs list --root {running[:-1]}") == [(running, "running, long")]


def test_newest_runs_come_first(stepflow: Stepflow, start: Start) -> None:
    ids = [start("echo.yaml", wait=False) for _ in range(51)]
    assert [value for value, _ in complete(stepflow, "stepflow runs get ")] == ids[:0:-1]


def test_server_from_options_and_profiles(stepflow: Stepflow, ada: str) -> None:
    url = stepflow.environment.pop("STEPFLOW_URL")
    assert complete(stepflow, "stepflow runs get ") == []
    assert complete(stepflow, f"stepflow runs get --url {url} {ada[:-1]}") == [(ada, "completed, hello")]
    folder = stepflow.home / ".config" / "stepflow"
    folder.mkdir(parents=True)
    profile = f'[profiles.here]\nurl = "{url}"\n'
    (folder / "config.toml").write_text(profile)
    line = f"stepflow runs get --profile here {ada[:-1]}"
    assert complete(stepflow, line) == [(ada, "completed, hello")]
    # A token command could prompt on the shell's terminal, so it is not run.
    (folder / "config.toml").write_text(f'{profile}token_command = "touch called"\n')
    assert complete(stepflow, line) == []
    assert not (stepflow.folder / "called").exists()


def test_embedded_server_is_not_started(stepflow: Stepflow) -> None:
    for option in ("--local", "--config x.yml"):
        line = f"stepflow run hello.yaml {option} --reuse "
        assert complete(stepflow, line, STEPFLOW_SERVER_BINARY="/bin/false") == []


def test_errors_are_not_printed(stepflow: Stepflow) -> None:
    for url in ("http://127.0.0.1:9", "nonsense://", "http://["):
        assert complete(stepflow, "stepflow runs get ", STEPFLOW_URL=url) == []
    (stepflow.home / "broken.toml").write_text("[")
    assert complete(stepflow, "stepflow runs get ", STEPFLOW_CONFIG_FILE=str(stepflow.home / "broken.toml")) == []


def test_unresponsive_server_does_not_block_the_shell(stepflow: Stepflow) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        assert (
            complete(stepflow, "stepflow runs get ", STEPFLOW_URL=f"http://127.0.0.1:{silent.getsockname()[1]}") == []
        )
        # The limit is 1 s, plus time for a slow machine. The client alone would retry for much longer.
        assert time.monotonic() - began < 25


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_control_characters_in_flow_names_are_not_printed(shell: str, stepflow: Stepflow, start: Start) -> None:
    run_id = start({"name": "evil\x1b[31m\x07\nnext", "steps": [], "output": 1})
    line = f"stepflow runs get {run_id[:-1]}"
    word = run_id[:-1] if shell == "fish" else "3"
    done = stepflow(COMP_WORDS=line, COMP_CWORD=word, _STEPFLOW_COMPLETE=f"{shell}_complete")
    assert run_id in done.stdout
    assert not {"\x1b", "\x07"} & set(done.stdout)
    assert "\nnext" not in done.stdout

"""`run`, `validate` and `test` with `--watch` repeat a round after each change."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import releases
from tests.cli.command import FORKED, Stepflow
from tests.cli.terminal import Terminal
from tests.cli.test_project import _TESTED
from tests.cli.test_validate import _SHOP

_FLOW = """\
name: said
steps: [{id: say, component: /builtin/create_messages, input: {user_prompt: hi}}]
output: {$step: say, path: '$.messages[0].content'}
"""
_WAITS = "Ctrl-C stops\n"


class Watching:
    """A running command with --watch."""

    def __init__(self, stepflow: Stepflow, *args: str) -> None:
        self.process = subprocess.Popen(
            [str(FORKED), *args, "--watch"],
            cwd=stepflow.folder,
            env=stepflow.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._folder = str(stepflow.folder)
        self.text = ""
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.text += line

    def round(self) -> str:
        """Wait for the end of the next round and return its output."""
        self.wait_for(_WAITS)
        text, _, self.text = self.text.partition(_WAITS)
        return text

    def wait_for(self, text: str) -> None:
        """Wait until the command has printed this text."""
        deadline = time.monotonic() + 60
        while text not in self.text:
            assert time.monotonic() < deadline, self.text
            assert self._thread.is_alive(), self.text
            time.sleep(0.01)

    @property
    def servers(self) -> set[str]:
        """The process IDs of the embedded servers."""
        pids = set()
        for each in Path("/proc").iterdir():
            try:
                folder, name = os.readlink(each / "cwd"), (each / "comm").read_text()
            except OSError:
                continue
            if folder == self._folder and name.startswith("stepflow-server"):
                pids.add(each.name)
        return pids

    def interrupt(self) -> int:
        """Press Ctrl-C and return the exit code."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(60)
        self._thread.join(60)
        return code

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._thread.join()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def watching(stepflow: Stepflow) -> Iterator[Callable[..., Watching]]:
    """Start a command with `watching("run", "flow.yaml")`."""
    started: list[Watching] = []

    def start(*args: str) -> Watching:
        started.append(Watching(stepflow, *args))
        return started[-1]

    yield start
    for each in started:
        each.close()


def replace(file: Path, text: str) -> None:
    """Replace a file by renaming a new one, as editors do."""
    temporary = file.with_name(f".{file.name}.tmp")
    temporary.write_text(text)
    temporary.replace(file)


def test_watch_run(stepflow: Stepflow, watching: Callable[..., Watching]) -> None:
    flow = stepflow.folder / "said.yaml"
    flow.write_text(_FLOW)
    run = watching("run", "said.yaml")
    assert run.round() == '"hi"\nstepflow: watching 1 file; '
    servers = run.servers
    assert len(servers) == 1
    replace(flow, _FLOW.replace("prompt: hi", "prompt: ho"))
    assert 'said.yaml changed\n"ho"\n@@ -1 +1 @@\n-"hi"\n+"ho"\nstepflow: watching' in run.round()
    # An invalid file fails only the current round.
    flow.write_text(_FLOW[:40])
    broken = run.round()
    assert "stepflow: said.yaml" in broken
    assert '-"ho"\n+said.yaml' in broken
    flow.write_text(_FLOW + "# comment\n")
    assert '\n+"hi"\n' in run.round()
    flow.write_text(_FLOW)
    assert '"hi"\nstepflow: same result as before\n' in run.round()
    assert run.servers == servers
    assert run.interrupt() == 0
    assert not Path("/proc", servers.pop()).exists()


def test_results_in_a_file_are_not_compared(stepflow: Stepflow, watching: Callable[..., Watching]) -> None:
    flow = stepflow.folder / "said.yaml"
    flow.write_text(_FLOW)
    run = watching("run", "said.yaml", "--output", "said.json")
    run.round()
    replace(flow, _FLOW.replace("prompt: hi", "prompt: ho"))
    assert run.round().endswith("said.yaml changed\nstepflow: watching 1 file; ")
    assert (stepflow.folder / "said.json").read_text() == '"ho"\n'


def test_interrupt_during_a_run(stepflow: Stepflow, watching: Callable[..., Watching]) -> None:
    (stepflow.folder / "long.yaml").write_text(
        "steps: [{id: s, component: /builtin/sleep, input: {duration_ms: 60000}}]\noutput: {$step: s}\n"
    )
    run = watching("run", "long.yaml", "-v")
    run.wait_for("Starting items execution")
    assert run.interrupt() == 0
    # The client may not have received the run's ID yet.
    assert "stepflow: interrupted" in run.text


def test_only_changed_steps_are_executed(stepflow: Stepflow, watching: Callable[..., Watching]) -> None:
    flow = stepflow.folder / "said.yaml"
    two = _FLOW.replace("steps: [", "steps: [{id: x, component: /builtin/noop, input: 1}, ").replace("hi", "{$step: x}")
    two = two.replace("$step: say, path: '$.messages[0].content'", "$step: say")
    flow.write_text(two.replace("{$step: x}", "hi"))
    run = watching("run", "said.yaml", "--reuse", "@last")
    assert "no earlier run of the flow" in run.round()
    replace(flow, two.replace("{$step: x}", "ho"))
    assert "stepflow: keeps no step; executes say\n" in run.round()
    replace(flow, two.replace("{$step: x}", "ho") + "# comment\n")
    assert "stepflow: keeps say; executes no step\n" in run.round()
    assert run.interrupt() == 0


def test_input_and_variable_files_are_watched(stepflow: Stepflow, watching: Callable[..., Watching]) -> None:
    (stepflow.folder / "flow.yaml").write_text("output: [{$input: $}, {$variable: v}]\n")
    input_file, variables = stepflow.folder / "input.json", stepflow.folder / "variables.yaml"
    input_file.write_text("1")
    variables.write_text("v: 2\n")
    run = watching("run", "flow.yaml", "--input", "input.json", "--variables", "variables.yaml", "-o", "yaml")
    assert "output:\n- 1\n- 2\n" in run.round()
    replace(input_file, "5")
    changed = run.round()
    assert "-- 1\n+- 5\n" in changed
    # Run IDs always differ, so they are not shown as changes.
    assert "+run_id" not in changed
    replace(variables, "v: 7\n")
    assert "+- 7\n" in run.round()


def test_change_during_startup_restarts_the_server(stepflow: Stepflow, watching: Callable[..., Watching]) -> None:
    config, started = stepflow.folder / "shop.yml", stepflow.folder / "started"
    config.write_text(_SHOP)
    (stepflow.folder / "tested.yaml").write_text(_TESTED)
    program = stepflow.folder / "server.sh"
    program.write_text(
        f"#!/bin/sh\n[ -e {started} ] || echo '# changed' >> {config}\n"
        f'touch {started}\nexec {releases.binary(releases.NEWEST)} "$@"\n'
    )
    program.chmod(0o700)
    stepflow.environment["STEPFLOW_SERVER_BINARY"] = str(program)
    run = watching("run", "tested.yaml", "--config", "shop.yml", "--input-json", '{"sku": "tea"}')
    assert '"eur": 3' in run.round()
    before = run.servers
    assert "shop.yml changed\n" in run.round()
    assert (len(run.servers), before & run.servers) == (1, set())


def test_server_is_restarted_when_its_configuration_changes(
    stepflow: Stepflow, watching: Callable[..., Watching]
) -> None:
    config = stepflow.folder / "server" / "shop.yml"
    config.parent.mkdir()
    config.write_text(_SHOP)
    (stepflow.folder / "stepflow.toml").write_text('config = "server/shop.yml"\n')
    (stepflow.folder / "tested.yaml").write_text(_TESTED)
    run = watching("run", "tested.yaml", "--input-json", '{"sku": "tea"}')
    assert '"eur": 3' in run.round()
    before = run.servers
    replace(config, _SHOP.replace("eur: 3", "eur: 5"))
    changed = run.round()
    assert '-  "eur": 3\n+  "eur": 5\n' in changed
    assert "the embedded server uses configuration server/shop.yml" in changed
    after = run.servers
    assert (len(after), before & after) == (1, set())
    (stepflow.folder / "other.yml").write_text(_SHOP.replace("eur: 3", "eur: 8"))
    replace(stepflow.folder / "stepflow.toml", 'config = "other.yml"\n')
    assert '+  "eur": 8\n' in run.round()
    # A server that does not start fails only the current round.
    replace(stepflow.folder / "other.yml", "plugins: {builtin: {type: nonsense}}\n")
    assert "stepflow: " in run.round()
    assert run.servers == set()
    replace(stepflow.folder / "other.yml", _SHOP.replace("eur: 3", "eur: 9"))
    assert '"eur": 9\n' in run.round()
    replace(stepflow.folder / "stepflow.toml", 'confog = "other.yml"\n')
    assert "did you mean 'config'?" in run.round()
    replace(stepflow.folder / "stepflow.toml", 'config = "other.yml"\n')
    assert '"eur": 9' in run.round()
    assert run.interrupt() == 0


@pytest.mark.parametrize("config", ["flows/stepflow-config.yml", "stepflow_config.yaml"])
def test_new_configuration_restarts_the_server(
    stepflow: Stepflow, watching: Callable[..., Watching], config: str
) -> None:
    (stepflow.folder / "flows").mkdir()
    (stepflow.folder / "flows/tested.yaml").write_text(_TESTED)
    run = watching("run", "flows/tested.yaml", "--input-json", '{"sku": "tea"}', "--no-check")
    assert '"eur": 3' not in run.round()
    replace(stepflow.folder / config, _SHOP)
    assert '"eur": 3' in run.round()


def test_killed_server_is_restarted(stepflow: Stepflow, watching: Callable[..., Watching]) -> None:
    flow = stepflow.folder / "said.yaml"
    flow.write_text(_FLOW)
    run = watching("run", "said.yaml")
    run.round()
    (server,) = run.servers
    subprocess.run(["kill", "-9", server], check=True)
    while server in run.servers:
        time.sleep(0.01)
    replace(flow, _FLOW + "# again\n")
    assert '"hi"\nstepflow: same result as before\n' in run.round()


def test_watch_validate(stepflow: Stepflow, watching: Callable[..., Watching]) -> None:
    flows = stepflow.folder / "flows"
    flows.mkdir()
    (flows / "said.yaml").write_text(_FLOW)
    check = watching("validate", "--offline", "flows")
    assert check.round().startswith("flows/said.yaml is valid\n")
    replace(flows / "new.yaml", _FLOW.replace("$step: say", "$step: sya"))
    output = check.round()
    assert "flows/new.yaml changed\n" in output
    assert "+flows/new.yaml:3:17: " in output
    (flows / "new.yaml").unlink()
    assert "-flows/new.yaml:3:17: " in check.round()
    (stepflow.folder / "flows" / "stepflow.toml").write_text('[validate]\nselect = ["no-output"]\n')
    assert "flows/stepflow.toml changed\n" in check.round()
    assert check.interrupt() == 0


def test_watch_validate_with_a_server(stepflow: Stepflow, watching: Callable[..., Watching]) -> None:
    flow = stepflow.folder / "tested.yaml"
    flow.write_text(_TESTED)
    (stepflow.folder / "shop.yml").write_text(_SHOP)
    check = watching("validate", "tested.yaml", "--config", "shop.yml")
    assert "tested.yaml is valid: 1 warning\n" in check.round()
    servers = check.servers
    replace(flow, _TESTED.replace("$.sku}", "$.sku}, n: 1").replace("{sku:", "{suk:", 1))
    assert "component-input" in check.round()
    assert check.servers == servers


def test_each_round_prints_the_server_of_its_own_errors(stepflow: Stepflow, watching: Callable[..., Watching]) -> None:
    file = stepflow.folder / "said.yaml"
    file.write_text(_FLOW)
    process = watching("validate", "said.yaml", "--url", "http://127.0.0.1:9")
    assert "refused\nserver http://127.0.0.1:9 (from --url)\nhint: " in process.round()
    # A round that uses no server must not print that of the previous round.
    file.write_text("steps: [\n")
    text = process.round()
    assert "said.yaml is invalid" in text
    assert "127.0.0.1:9 (" not in text


def test_watch_test(stepflow: Stepflow, watching: Callable[..., Watching]) -> None:
    flow, config = stepflow.folder / "tested.yaml", stepflow.folder / "stepflow-config.test.yml"
    flow.write_text(_TESTED)
    config.write_text(_SHOP)
    test = watching("test", "tested.yaml")
    assert "1 passed" in test.round()
    servers = test.servers
    flow.write_text(_TESTED + "\n")
    # Durations of cases are not shown as changes.
    assert "same result as before\n" in test.round()
    assert test.servers == servers
    replace(config, _SHOP.replace("eur: 3", "eur: 4"))
    assert "stepflow: 1 of 1 test case failed\n" in test.round()
    assert test.servers
    assert not test.servers & servers
    replace(flow, _TESTED.replace("eur: 3", "eur: 4"))
    assert "1 passed" in test.round()
    assert test.interrupt() == 0


@pytest.mark.parametrize(
    ("command_line", "message"),
    [
        ("run - --watch", "--watch needs files, because standard input can be read only once"),
        ("run hello.yaml --input - --watch", "--watch needs files"),
        ("run hello.yaml --detach --watch", "--watch and --detach cannot be used together"),
        ("validate - --watch", "--watch needs files"),
        ("validate hello.yaml --fix --watch", "--watch and --fix cannot be used together"),
        ("test hello.yaml --update --watch", "--watch and --update cannot be used together"),
        ("test hello.yaml --record r.json --watch", "--watch and --record cannot be used together"),
    ],
)
def test_conflicting_options_are_refused(command_line: str, message: str, stepflow: Stepflow) -> None:
    done = stepflow(*command_line.split())
    assert (done.code, message in done.stderr) == (2, True), done


def test_on_a_terminal(stepflow: Stepflow, terminal: Callable[..., Terminal]) -> None:
    flow = stepflow.folder / "said.yaml"
    flow.write_text(_FLOW)
    shown = terminal("run", "said.yaml", "--watch", width=80)
    shown.wait_for("Ctrl-C stops")
    replace(flow, _FLOW.replace("prompt: hi", "prompt: ho"))
    shown.wait_for('+"ho"')
    shown.interrupt()
    assert shown.end() == 0
    assert b'\x1b[32m+"ho"' in shown.raw


def test_watch_last_failed_cases(stepflow: Stepflow, watching: Callable[..., Watching]) -> None:
    flow = stepflow.folder / "said.yaml"
    case = "    - {name: %s, input: 1, output: {outcome: success, result: %s}}\n"
    both = _FLOW + "test:\n  cases:\n" + case % ("fine", "hi") + case % ("wrong", "hello")
    flow.write_text(both)
    watch = watching("test", "said.yaml", "--last-failed", "-k", "fine or wrong")
    first = watch.round()
    assert "running all" in first
    assert "1 passed, 1 failed" in first
    flow.write_text(both.replace("result: hello", "result: bye"))
    assert "said.yaml: 1 failed" in watch.round()
    # A round without matching cases does not stop the watch.
    flow.write_text(both.replace("name: wrong", "name: other").replace("name: fine", "name: next"))
    assert "no test case matches -k 'fine or wrong'" in watch.round()
    flow.write_text(both.replace("result: hello", "result: hi"))
    assert "said.yaml: 1 passed" in watch.round()
    flow.write_text(both.replace("result: hello", "result: 'hi'"))
    last = watch.round()
    assert "running all" in last
    assert "said.yaml: 2 passed" in last


def test_watch_a_flow_in_python(stepflow: Stepflow, watching: Callable[..., Watching]) -> None:
    (stepflow.folder / "parts.py").write_text("NAME = 'first'\n")
    (stepflow.folder / "shop.py").write_text("from parts import NAME\nflow = {'name': NAME, 'output': 1}\n")
    run = watching("run", "shop:flow")
    assert run.round().startswith("1\nstepflow: watching ")
    replace(stepflow.folder / "shop.py", "from parts import NAME\nflow = {'name': NAME, 'output': NAME}\n")
    assert '-1\n+"first"\n' in run.round()
    # Change the imported module to a text of the same length.
    replace(stepflow.folder / "parts.py", "NAME = 'other'\n")
    assert '+"other"\n' in run.round()
    replace(stepflow.folder / "parts.py", "NAME = \n")
    assert "shop cannot be imported: SyntaxError: invalid syntax (parts.py:1)" in run.round()
    replace(stepflow.folder / "parts.py", "NAME = 'again'\n")
    assert '"again"\n' in run.round()
    assert run.interrupt() == 0

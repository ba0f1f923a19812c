"""In each situation, all commands choose the same server and the same `@last` run, and print their choice."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from stepflow_client import LogConfig, StepflowRuntime

from tests import releases
from tests.cli.command import Stepflow

_FLOW = """\
name: {name}
steps: [{{id: say, component: /builtin/noop, input: {name}}}]
output: {{$step: say}}
test: {{cases: [{{name: one, input: {{}}, output: {{outcome: success, result: {name}}}}}]}}
"""
_CONFIG = "plugins: {builtin: {type: builtin}}\nroutes: {/builtin: [{plugin: builtin}]}\n"
_PROFILES = """\
[profiles.pa]
url = "{a}"
[profiles.pb]
url = "{b}"
"""
CHOOSING = {
    "run": "run on_a.yaml --dry-run",
    "submit": "submit on_a.yaml --dry-run",
    "validate": "validate on_a.yaml",
    "doctor": "doctor --no-run",
    "test": "test on_a.yaml",
    "eval": "eval on_a.yaml --score exact",
}
"""Commands without a run. All except `submit` use an embedded server by default."""
USING = (
    *("get {run}", "result {run}", "steps {run} -o yaml", "items {run} -o yaml", "flow {run}", "watch {run}"),
    *("eval {run} '{{$step: say}}'", "rerun {run} --dry-run", "save {run} --dry-run", "logs {run}", "cancel {run} -y"),
)
"""The commands of `stepflow runs` with a run."""
SAMPLE = ("run", "submit", "get", "rerun")
"""Commands to try in all situations. The others use the same function, so they are tried only in those below."""
ALL_CHOOSING = ("nothing", "the named server is down", "project")
ALL_USING = ("last on another server", "embedded")
KNOWN_WITHOUT_SERVER = ("get", "result", "logs")
"""Commands that work with recorded data after the run's embedded server has stopped."""


class Situation(NamedTuple):
    """Earlier runs, the options and variables that choose a server, and the expected choice."""

    ran: str
    """Earlier runs in their order: on server a or b, or e for an embedded server."""
    options: str
    environment: dict[str, str]
    chosen: str
    """The server of commands without a run."""
    of_run: str
    """The server of `@last`, or `stopped` or `none`."""
    last: str = ""
    """The server of the run that `@last` refers to."""


_EMBEDDED = "embedded server (default) with "
SITUATIONS = {
    "nothing": Situation("", "", {}, f"{_EMBEDDED}the builtin components", "none"),
    "environment": Situation(
        "a", "", {"STEPFLOW_URL": "{a}"}, "{a} (from STEPFLOW_URL)", "{a} (from STEPFLOW_URL)", "a"
    ),
    "profile of the environment": Situation(
        "a", "", {"STEPFLOW_PROFILE": "pa"}, "{a} (from profile pa)", "{a} (from profile pa)", "a"
    ),
    "option": Situation("a", "--url {a}", {}, "{a} (from --url)", "{a} (from --url)", "a"),
    "option against environment": Situation(
        "b a", "--url {b}", {"STEPFLOW_URL": "{a}"}, "{b} (from --url)", "{b} (from --url)", "b"
    ),
    "profile of an option": Situation("a b", "--profile pa", {}, "{a} (from profile pa)", "{a} (from profile pa)", "a"),
    "last on another server": Situation(
        "a b", "", {"STEPFLOW_URL": "{a}"}, "{a} (from STEPFLOW_URL)", "{b} (from @last)", "b"
    ),
    "last on another server than the profile": Situation(
        "b a", "", {"STEPFLOW_PROFILE": "pb"}, "{b} (from profile pb)", "{a} (from @last)", "a"
    ),
    "a server without a profile": Situation(
        "b a",
        "",
        {"STEPFLOW_URL": "{b}", "STEPFLOW_CONFIG_FILE": "/dev/null"},
        "{b} (from STEPFLOW_URL)",
        "{a} (from @last)",
        "a",
    ),
    "the named server is down": Situation(
        "a",
        "",
        {"STEPFLOW_URL": "http://127.0.0.1:9"},
        "http://127.0.0.1:9 (from STEPFLOW_URL)",
        "{a} (from @last)",
        "a",
    ),
    "embedded": Situation("e", "", {}, f"{_EMBEDDED}the builtin components", "stopped", "e"),
    "embedded after a server": Situation("a e", "", {"STEPFLOW_URL": "{a}"}, "{a} (from STEPFLOW_URL)", "stopped", "e"),
    "a server after embedded": Situation("e a", "", {}, f"{_EMBEDDED}the builtin components", "{a} (from @last)", "a"),
    "project": Situation("e", "", {}, f"{_EMBEDDED}server/config.yml (from stepflow.toml)", "stopped", "e"),
    "folder": Situation("e", "", {}, f"{_EMBEDDED}stepflow-config.yml (from the working folder)", "stopped", "e"),
}

COVERED = ("environment", "profile of the environment", "option", "embedded after a server")
"""Situations whose aspects are also covered by others, so they are only in the exhaustive tests."""


@pytest.fixture(scope="module")
def other_server() -> Iterator[StepflowRuntime]:
    """A second server."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("STEPFLOW_SERVER_BINARY", str(releases.binary(releases.NEWEST)))
        started = StepflowRuntime.start(log_config=LogConfig(level="warn"))
    with started as server:
        yield server


@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=pytest.mark.exhaustive) if each in COVERED else each for each in SITUATIONS]
)
def test_all_commands_choose_the_same_server_and_run(
    name: str, stepflow: Stepflow, newest_server: StepflowRuntime, other_server: StepflowRuntime
) -> None:
    urls = {"a": newest_server.url, "b": other_server.url}
    situation = SITUATIONS[name]
    environment = {key: each.format(**urls) for key, each in situation.environment.items()}
    config = stepflow.home / ".config" / "stepflow" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(_PROFILES.format(**urls))
    ids: dict[str, str] = {}
    for each in "abe":
        (stepflow.folder / f"on_{each}.yaml").write_text(_FLOW.format(name=f"on_{each}"))
    for each in situation.ran.split():
        server = "--local" if each == "e" else f"--url {urls[each]}"
        done = stepflow(*f"run on_{each}.yaml {server} -o json".split())
        assert done.code == 0, done
        ids[each] = json.loads(done.stdout)["run_id"]
    if name == "project":
        (stepflow.folder / "server").mkdir()
        (stepflow.folder / "server" / "config.yml").write_text(_CONFIG)
        (stepflow.folder / "stepflow.toml").write_text('config = "server/config.yml"\n')
    if name == "folder":
        (stepflow.folder / "stepflow-config.yml").write_text(_CONFIG)

    options = situation.options.format(**urls)
    is_embedded = situation.chosen.startswith("embedded")
    for command, line in CHOOSING.items():
        if name not in ALL_CHOOSING and command not in SAMPLE:
            continue
        # Otherwise the runs of an evaluation would become `@last`.
        history = {"STEPFLOW_HISTORY": "off"} if command in ("test", "eval") else {}
        done = stepflow(*shlex.split(f"{line} -v {options}"), **environment, **history)
        chosen = situation.chosen.format(**urls) if is_embedded else f"server {situation.chosen.format(**urls)}"
        if command == "submit" and is_embedded:
            chosen = "server http://localhost:7837 (default)"
            # `submit` reports the configuration that it does not use.
            configs = {"project": "server/config.yml (from stepflow.toml)"}
            configs["folder"] = "stepflow-config.yml (from the working folder)"
            assert [line for line in done.stderr.splitlines() if "is not used" in line] == [
                f"stepflow: {configs[each]} is not used: it configures an embedded server, and http://localhost:7837 "
                "has its own"
                for each in configs
                if each == name
            ]
        if command == "validate" and name == "project":
            # `validate` does not start programs from a project's configuration.
            chosen = f"{_EMBEDDED}the builtin components"
        if command == "test" and is_embedded:
            # Each tested flow may configure its own embedded server, so no configuration is printed.
            assert done.code == 0, done
            assert "stepflow: embedded server (default)\n" in done.stderr, done
            continue
        if command in ("doctor", "test", "eval"):
            assert done.code == (4 if "is down" in name else 0), done
        if command != "doctor" or "is down" not in name:
            assert f"stepflow: {chosen}\n" in done.stderr, done

    stopped = {}
    for line in USING:
        command = line.split()[0]
        if name not in ALL_USING and command not in SAMPLE:
            continue
        more = options if command != "logs" else ""
        done = stepflow(*shlex.split(f"runs {line.format(run='@last')} -v {more}"), **environment)
        printed = done.stdout + done.stderr
        if situation.of_run == "none":
            assert (done.code, "the history has no run @last" in printed) == (1, True), done
            continue
        # `logs` uses no server, so it has no such option and shows the last run on any server.
        last = situation.ran.split()[-1] if command == "logs" else situation.last
        mentioned = {each for each, run_id in ids.items() if run_id in printed or f"on_{each}" in printed}
        assert mentioned == {last}, done
        if command == "logs":
            continue
        if situation.of_run == "stopped":
            stopped[command] = done.code
            assert "on an embedded server, which has stopped" in done.stderr, done
        else:
            assert f"stepflow: server {situation.of_run.format(**urls)}\n" in done.stderr, done
            assert (done.code, "already completed" in printed) == ((1, True) if command == "cancel" else (0, False)), (
                done
            )
    assert stopped == {command: 0 if command in KNOWN_WITHOUT_SERVER else 4 for command in stopped}

"""The complete output of `stepflow run` and `stepflow submit` for every outcome."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.cli.command import Stepflow
from tests.cli.golden import Golden
from tests.cli.terminal import Terminal

INPUT = ("--input-json", '{"name": "Ada"}')


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("command", ["run", "submit"])
def test_success(command: str, stepflow: Stepflow, golden: Golden) -> None:
    golden(
        stepflow(command, "hello.yaml", *INPUT),
        *(stepflow(command, "hello.yaml", *INPUT, "-o", form) for form in ("table", "json", "jsonl", "yaml", "name")),
    )


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("command", ["run", "submit"])
def test_failure(command: str, stepflow: Stepflow, golden: Golden) -> None:
    arguments = (command, "fails.yaml", "--input-json", '{"nam": "Ada"}')
    golden(
        stepflow(*arguments),
        *(stepflow(*arguments, "-o", form) for form in ("table", "json", "jsonl", "yaml", "name")),
    )


@pytest.mark.parametrize("width", [60, 120])
def test_on_a_terminal(width: int, terminal: Callable[..., Terminal], server: str, golden: Golden) -> None:
    fails = ("run", "fails.yaml", "--input-json", '{"nam": "Ada"}')
    golden(
        terminal("run", "hello.yaml", *INPUT, width=width),
        terminal("run", "hello.yaml", *INPUT, "-o", "table", width=width),
        terminal(*fails, width=width),
        terminal(*fails, "-o", "table", width=width),
        terminal("run", "helo.yaml", width=width),
    )


@pytest.mark.usefixtures("server")
def test_values(stepflow: Stepflow, golden: Golden) -> None:
    golden(
        stepflow("run", "hello.yaml", "--example", "ada"),
        stepflow("run", "--flow", "hello.yaml", "--example", "grace"),
        stepflow("run", "hello.yaml", "--stdin-format", "json", stdin='{"name": "in"}'),
        stepflow("run", "hello.yaml", *INPUT, "--set", "greeting.input.text=[1, 2]"),
        # Overrides are merged in the order of the command line, whatever their options.
        stepflow(
            *("run", "hello.yaml", *INPUT, "--overrides-yaml", "greeting: {input: {text: 1}}"),
            *("--set", "greeting.input.text=2", "--overrides-json", '{"greeting": {"input": {"text": 3}}}'),
        ),
        stepflow(
            *("run", "hello.yaml", *INPUT, "--overrides-json", '{"greeting": {"input": {"text": 1}}}'),
            *("--overrides-yaml", "greeting: {input: {text: 2}}", "--set", "greeting.input.text=last: one"),
        ),
        stepflow("run", "variables.yaml", "--var", "version=1.10"),
        stepflow("run", "variables.yaml", "--variables-json", '{"version": "a"}', "--var", "version=b"),
        stepflow("run", "variables.yaml", "--variables-from-env", STEPFLOW_VAR_VERSION="1.11"),
        stepflow("run", "-", "--input-json", "1", stdin="{steps: [], output: {$input: $}}"),
    )


@pytest.mark.usefixtures("server")
@pytest.mark.in_process
def test_invalid_arguments(stepflow: Stepflow, golden: Golden) -> None:
    (stepflow.folder / "list.json").write_text("[1]")
    golden(
        stepflow("run"),
        stepflow("run", "helo.yaml"),
        stepflow("run", "helo.yaml", "-o", "json"),
        stepflow("run", "list.json"),
        stepflow("run", "hello.yaml", "--example", "gracie"),
        stepflow("run", "hello.yaml", "--example", "ada", "--input-json", "1"),
        stepflow("run", "-", "--input", "-", stdin="{}"),
        stepflow("run", "hello.yaml", "--input-json", "{"),
        stepflow("run", "hello.yaml", "--var", "version"),
        stepflow("run", "hello.yaml", "--variables-json", "[]"),
        stepflow("run", "hello.yaml", "--set", "greeting=1"),
        stepflow("run", "hello.yaml", "--set", "greting.input.text=1"),
        stepflow("run", "hello.yaml", "--overrides-json", "[]"),
        stepflow("run", "hello.yaml", "--timeout", "0"),
        stepflow("run", "hello.yaml", "--output", "no/such/folder.json"),
        stepflow("submit", "hello.yaml", "--max-concurrency", "0"),
    )


def test_rejected_flows(stepflow: Stepflow, server: str, golden: Golden) -> None:
    golden(
        stepflow("run", "refused.yaml"),
        stepflow("submit", "refused.yaml", "-o", "json"),
        stepflow("run", "variables.yaml"),
        stepflow("run", "hello.yaml", *INPUT, "--overrides-json", '{"nosuch": {"input": {}}}'),
    )


def test_no_server(stepflow: Stepflow, golden: Golden) -> None:
    golden(
        stepflow("submit", "hello.yaml", *INPUT),
        stepflow("submit", "hello.yaml", *INPUT, "-o", "json"),
        stepflow("run", "hello.yaml", *INPUT, "--url", "http://127.0.0.1:9"),
    )


def test_configuration_of_an_embedded_server(stepflow: Stepflow, golden: Golden) -> None:
    (stepflow.folder / "sub").mkdir()
    (stepflow.folder / "hello.yaml").rename(stepflow.folder / "sub" / "hello.yaml")
    config = "plugins: {mine: {type: builtin}}\nroutes: {/builtin: [{plugin: mine}]}\n"
    (stepflow.folder / "stepflow-config.yml").write_text("nonsense: [")
    (stepflow.folder / "sub" / "stepflow_config.yaml").write_text(config)
    with_underscore = stepflow("run", "sub/hello.yaml", *INPUT)
    (stepflow.folder / "sub" / "stepflow-config.yml").write_text(config)
    golden(
        with_underscore,
        stepflow("run", "sub/hello.yaml", *INPUT),
        stepflow("run", "sub/hello.yaml", *INPUT, "--config", "sub/stepflow_config.yaml"),
        stepflow("run", "sub/hello.yaml", *INPUT, "--config", "none.yml"),
    )


@pytest.mark.usefixtures("server")
def test_output_file(stepflow: Stepflow) -> None:
    for name, text in (
        ("a.json", '{\n  "hello": "Ada"\n}\n'),
        ("a.yaml", "hello: Ada\n"),
        ("a.jsonl", '{"hello": "Ada"}\n'),
    ):
        done = stepflow("run", "hello.yaml", *INPUT, "--output", name)
        assert (done.code, done.stdout, done.stderr) == (0, "", "")
        assert (stepflow.folder / name).read_text() == text
    assert stepflow("run", "hello.yaml", *INPUT, "--output", "-").stdout == '{\n  "hello": "Ada"\n}\n'


@pytest.mark.usefixtures("server")
def test_batch(stepflow: Stepflow, golden: Golden) -> None:
    lines = [{"nam": "Ada"}, {"name": "Ada"}, {}]
    (stepflow.folder / "in.jsonl").write_text("\n\n".join(map(json.dumps, lines)) + "\n")
    (stepflow.folder / "in.yaml").write_text("[1, [2], null]")
    (stepflow.folder / "bad.jsonl").write_text('{"a": 1}\n\n{"a":\n')
    (stepflow.folder / "empty.jsonl").write_text("\n")
    golden(
        stepflow("batch", "fails.yaml", "in.jsonl"),
        stepflow("batch", "echo.yaml", "in.yaml", "--max-concurrency", "1"),
        stepflow("batch", "echo.yaml", "in.yaml", "-o", "table"),
        stepflow("batch", "echo.yaml", "-", stdin='"\u2028"\n2\n'),
        stepflow("batch", "echo.yaml", "in.yaml", "--detach"),
        stepflow("batch", "echo.yaml", "in.yaml", "-o", "json"),
        stepflow("batch", "echo.yaml", "in.yaml", "-o", "name"),
        stepflow("batch", "echo.yaml", "empty.jsonl"),
        stepflow("batch", "echo.yaml", "bad.jsonl"),
        stepflow("batch", "echo.yaml", "bad.jsonl", "-o", "json"),
        stepflow("run", "echo.yaml", "--inputs", "in.jsonl", "--input-json", "1"),
        stepflow("batch", "echo.yaml"),
        stepflow("batch", "echo.yaml", "none.jsonl"),
        stepflow("batch", "echo.yaml", "hello.yaml"),
    )


def test_timeout_and_detach(stepflow: Stepflow, server: str, golden: Golden) -> None:
    golden(
        stepflow("submit", "slow.yaml", "--timeout", "0.3"),
        stepflow("submit", "slow.yaml", "--timeout", "0.3", "-o", "json", "--url", server, STEPFLOW_URL=""),
        stepflow("run", "slow.yaml", "--timeout", "0.3", "--local"),
        stepflow("submit", "slow.yaml", "--detach"),
        stepflow("submit", "slow.yaml", "--detach", "-o", "json"),
    )


@pytest.mark.parametrize("case", ["detach", "cancel", "embedded"])
def test_interrupt(case: str, terminal: Callable[..., Terminal], server: str, golden: Golden) -> None:
    option = {"detach": (), "cancel": ("--on-interrupt", "cancel"), "embedded": ("--local",)}[case]
    shown = terminal("run", "slow.yaml", *option)
    # The steps are shown only after one second.
    shown.wait_for("running  1.")
    shown.interrupt()
    golden(shown)


@pytest.mark.usefixtures("server")
def test_pipelines(stepflow: Stepflow) -> None:
    failing = 'stepflow run fails.yaml --input-json \'{"path": "/no"}\''
    done = stepflow.shell(f"{failing} -o json | python -c 'import json, sys; print(json.load(sys.stdin)[\"status\"])'")
    assert (done.code, done.stdout) == (1, "failed\n")
    assert json.loads(done.stderr)["kind"] == "run_failed"
    (stepflow.folder / "in.json").write_text(json.dumps(list(range(20_000))))
    for form in ("", "-o json", "-o yaml", "-o table"):
        done = stepflow.shell(f"stepflow run echo.yaml --input in.json {form} | head -1")
        assert (done.code, done.stderr) == (0, "")
    assert stepflow.shell("stepflow --help | head -1").stderr == ""


def test_unexpected_error(stepflow: Stepflow) -> None:
    stepflow.at_start(
        "import stepflow_cli.runs.run_dispatch\n"
        "def broken(*args, **more):\n"
        "    raise LookupError('out of order')\n"
        "stepflow_cli.runs.run_dispatch.read_job_from_options = broken\n"
    )
    done = stepflow("run", "hello.yaml")
    assert (done.code, done.stdout) == (1, "")
    assert done.stderr == "stepflow: unexpected LookupError: out of order\nhint: to see the traceback, use -vv\n"
    assert "Traceback" in stepflow("run", "hello.yaml", "-vv").stderr


@pytest.mark.usefixtures("server")
def test_log_file(stepflow: Stepflow) -> None:
    done = stepflow("--log-level", "debug", "--log-file", "log.txt", "run", "hello.yaml", *INPUT)
    assert (done.code, done.stderr) == (0, "")
    assert "DEBUG stepflow.client" in (stepflow.folder / "log.txt").read_text()
    assert "DEBUG stepflow.client" in stepflow("run", "hello.yaml", *INPUT, "-vv").stderr


@pytest.mark.usefixtures("server")
def test_log_options_have_precedence_over_the_environment(stepflow: Stepflow) -> None:
    run = ("run", "hello.yaml", *INPUT)
    assert "DEBUG stepflow.client" in stepflow(*run, STEPFLOW_LOG="debug").stderr
    wrong = stepflow(*run, STEPFLOW_LOG="wran")
    assert (wrong.code, wrong.stdout) == (2, "")
    assert "not 'wran'\nhint: did you mean warn?" in wrong.stderr
    assert stepflow(*run, "--log-level", "off", STEPFLOW_LOG="debug").stderr == ""
    for environment in ({"STEPFLOW_LOG": "debug"}, {"STEPFLOW_LOG_LEVEL": "debug"}):
        lines = [line for line in stepflow(*run, "-vv", **environment).stderr.splitlines() if "POST /flows" in line]
        assert len(lines) == 1, environment
    # Other commands import the client earlier.
    assert stepflow("blobs", "get", "0" * 64, STEPFLOW_LOG="debug").stderr.count("stepflow.client: GET /blobs") == 1
    stepflow(*run, STEPFLOW_LOG_LEVEL="debug", STEPFLOW_LOG_FILE="here.txt")
    assert "DEBUG stepflow.client" in (stepflow.folder / "here.txt").read_text()

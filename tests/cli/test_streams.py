"""Closed, full and unread standard streams are handled without tracebacks or lost results."""

from __future__ import annotations

import json

import pytest

from tests.cli.command import Stepflow

FULL = "stepflow: standard output cannot be written: No space left on device\n"


@pytest.mark.parametrize(
    ("line", "unbuffered"),
    [
        *[(line, "") for line in ("--version", "--help", "run --help", "config list -o json --fields name")],
        ("--version", "1"),
        ("config list -o json --fields name", "1"),
    ],
)
def test_unwritable_output_is_an_error(stepflow: Stepflow, line: str, unbuffered: str) -> None:
    done = stepflow.shell(f"stepflow {line} > /dev/full", PYTHONUNBUFFERED=unbuffered)
    problem = FULL if "json" not in line else '{"kind": "usage", "message": "' + FULL[10:-1]
    assert (done.code, done.stderr[: len(problem)]) == (2, problem)


def test_unread_output_is_not_an_error(stepflow: Stepflow) -> None:
    assert stepflow.shell("stepflow --help | true; exit ${PIPESTATUS[0]}").code == 0


def test_diagnostics_are_printed_before_the_summary(stepflow: Stepflow) -> None:
    done = stepflow.shell("stepflow validate --offline refused.yaml 2>&1", PYTHONUNBUFFERED="")
    assert done.code == 3
    assert done.stdout.startswith("refused.yaml:")
    assert done.stdout.splitlines()[-1].startswith("stepflow: refused.yaml is invalid")


@pytest.mark.parametrize("redirection", ["2> /dev/full", "2>&-", "2> >(true)"])
def test_unwritable_messages_do_not_affect_the_result(stepflow: Stepflow, server: str, redirection: str) -> None:
    assert stepflow.shell(f"stepflow validate clean.yaml {redirection}").code == 0
    assert stepflow.shell(f"stepflow validate refused.yaml -o name {redirection}").code == 3
    done = stepflow.shell(f"stepflow run echo.yaml --input-json 1 {redirection}")
    assert (done.code, done.stdout) == (0, "1\n")


@pytest.mark.parametrize(
    "closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", pytest.param(">&- 2>&-", marks=pytest.mark.exhaustive)]
)
def test_closed_streams(stepflow: Stepflow, server: str, closed: str) -> None:
    is_lost, is_silent = ">&-" in closed.split(), "2>&-" in closed.split()
    done = stepflow.shell(f"stepflow run echo.yaml --input-json 1 {closed}")
    # With standard output closed, the result is lost, so the error says how to get it.
    assert (done.code, done.stdout) == ((2, "") if is_lost else (0, "1\n"))
    assert ("standard output cannot be written: it is closed" in done.stderr) == (is_lost and not is_silent)
    assert ("stepflow runs result " in done.stderr) == (is_lost and not is_silent)
    done = stepflow.shell(f"stepflow run fails.yaml --input-json {{}} -o json {closed}")
    assert done.code == (2 if is_lost else 1)
    assert "Traceback" not in done.stderr
    assert ("run_failed" in done.stderr) == (not is_lost and not is_silent)


@pytest.mark.parametrize("size", [10, 1_000_000])
def test_unwritable_bytes_are_an_error(stepflow: Stepflow, server: str, size: int) -> None:
    stepflow.folder.joinpath("some.bin").write_bytes(bytes(size))
    blob_id = stepflow("blobs", "put", "some.bin", "-o", "name").stdout.strip()
    done = stepflow.shell(f"stepflow blobs get {blob_id} > /dev/full")
    assert (done.code, done.stderr) == (2, FULL)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("stepflow run /dev/zero", "/dev/zero"),
        ("cat /dev/zero | stepflow run echo.yaml --stdin-format json", "standard input"),
        pytest.param("stepflow batch echo.yaml endless.jsonl", "endless.jsonl", marks=pytest.mark.exhaustive),
        pytest.param("stepflow serve --port 0 --config /dev/zero", "/dev/zero", marks=pytest.mark.exhaustive),
        ("stepflow blobs put - < /dev/zero", "standard input"),
    ],
)
def test_endless_input_is_refused(stepflow: Stepflow, server: str, line: str, name: str) -> None:
    stepflow.folder.joinpath("endless.jsonl").symlink_to("/dev/zero")
    done = stepflow.shell(f"{line}; exit $?")
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr == f"stepflow: {name} is larger than 256 MiB, the maximum\n"


def test_flow_from_a_pipe(stepflow: Stepflow, server: str) -> None:
    done = stepflow.shell("stepflow run <(sleep 0.3; cat echo.yaml) --input <(echo 5)")
    assert (done.code, done.stdout, done.stderr) == (0, "5\n", "")


CONFIG = """cat <<'end'
plugins: {builtin: {type: builtin}}
routes: {"/builtin": [{plugin: builtin}]}
end
"""


def test_configuration_from_a_pipe(stepflow: Stepflow) -> None:
    for config in (f"<({CONFIG})", f"/dev/stdin < <({CONFIG})"):
        done = stepflow.shell(f'stepflow run hello.yaml --input-json \'{{"name": "Ada"}}\' --config {config}')
        assert (done.code, json.loads(done.stdout)) == (0, {"hello": "Ada"}), done
    # A pipe can be read only once, so the cache cannot identify the configuration.
    done = stepflow.shell(f"stepflow run hello.yaml --input-json {{}} --cache --config <({CONFIG})")
    assert (done.code, "--cache needs a configuration that can be read twice" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("serve --config x.yml", "the configuration file x.yml cannot be found: the working folder was deleted"),
        ("serve --port 0", "the server cannot start: the working folder was deleted"),
        ("batch FLOWS/hello.yaml FLOWS/ms.jsonl --output x.jsonl", "the working folder was deleted"),
        *(
            pytest.param(line, "the working folder was deleted", marks=pytest.mark.exhaustive)
            for line in ("codegen FLOWS/hello.yaml --output -", "runs report @last --output x.html")
        ),
        ("run hello.yaml", "hello.yaml does not exist"),
    ],
)
def test_deleted_working_folder_is_reported(stepflow: Stepflow, args: str, message: str) -> None:
    line = args.replace("FLOWS", str(stepflow.folder))
    done = stepflow.shell(f"mkdir gone && cd gone && rmdir ../gone && stepflow {line}")
    assert done.code == (4 if message.startswith("the server") else 2), done
    assert done.stderr.splitlines()[0] == f"stepflow: {message}"
    assert len(done.stderr.splitlines()) <= 2


def test_standard_input_is_utf_8(stepflow: Stepflow, server: str) -> None:
    flow = "printf 'steps: []\noutput: grüße\n'"
    done = stepflow.shell(f"{flow} | stepflow run - --output out.json && cat out.json", PYTHONIOENCODING="latin-1")
    assert (done.code, done.stdout, done.stderr) == (0, '"grüße"\n', "")
    done = stepflow.shell(r"printf 'output: \xff' | stepflow run -")
    assert (done.code, done.stderr) == (
        2,
        "stepflow: standard input is not UTF-8 text (byte 8)\nhint: save it as UTF-8\n",
    )


@pytest.mark.parametrize("input_option", ['--input-json \'{"name": "é"}\'', "--input-yaml 'name: é'"])
def test_values_on_the_command_line_are_utf_8_in_the_c_locale(
    stepflow: Stepflow, server: str, input_option: str
) -> None:
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = stepflow.shell(f"stepflow run hello.yaml {input_option}", **ascii_only)
    assert (done.code, json.loads(done.stdout)) == (0, {"hello": "é"}), done


def test_interrupt_during_startup_prints_no_traceback(stepflow: Stepflow) -> None:
    (stepflow.home / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "class Interrupting:\n"
        "    @staticmethod\n"
        "    def find_spec(name, path=None, target=None):\n"
        "        if name == 'stepflow_cli.main':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupting)\n"
    )
    paths = [str(stepflow.home), *stepflow.environment.get("PYTHONPATH", "").split(":")]
    done = stepflow("--help", PYTHONPATH=":".join(paths).rstrip(":"))
    assert (done.code, done.stdout, done.stderr) == (130, "", "stepflow: interrupted\n")


def test_unwritable_log_does_not_affect_the_result(stepflow: Stepflow, server: str) -> None:
    done = stepflow("-v", "run", "echo.yaml", "--input-json", "1", "--log-file", "/dev/full")
    assert (done.code, done.stdout, done.stderr) == (0, "1\n", f"stepflow: server {server} (from STEPFLOW_URL)\n")


def test_error_about_an_unwritable_result_has_the_run_id(stepflow: Stepflow, server: str) -> None:
    for command in ("run echo.yaml --input-json 1", "submit --detach echo.yaml", "batch echo.yaml ms.jsonl"):
        before = set(stepflow("runs", "list", "--all", "-o", "name").stdout.split())
        done = stepflow.shell(f"stepflow {command} -o json > /dev/full")
        (run_id,) = set(stepflow("runs", "list", "--all", "-o", "name").stdout.split()) - before
        problem = json.loads(done.stderr)
        assert (done.code, problem["run_id"]) == (2, run_id)
        assert problem["hint"] == f"run {run_id} was created: stepflow runs result {run_id}"

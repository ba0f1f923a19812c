"""Standard streams that are closed, full, or read by nobody."""

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
def test_output_that_cannot_be_written_is_a_problem(stepflow: Stepflow, line: str, unbuffered: str) -> None:
    done = stepflow.shell(f"stepflow {line} > /dev/full", PYTHONUNBUFFERED=unbuffered)
    problem = FULL if "json" not in line else '{"kind": "usage", "message": "' + FULL[10:-1]
    assert (done.code, done.stderr[: len(problem)]) == (2, problem)


def test_output_that_nobody_reads_is_none(stepflow: Stepflow) -> None:
    assert stepflow.shell("stepflow --help | true; exit ${PIPESTATUS[0]}").code == 0


def test_findings_come_before_the_message_that_sums_them_up(stepflow: Stepflow) -> None:
    done = stepflow.shell("stepflow validate --offline refused.yaml 2>&1", PYTHONUNBUFFERED="")
    assert done.code == 3
    assert done.stdout.startswith("refused.yaml:")
    assert done.stdout.splitlines()[-1].startswith("stepflow: refused.yaml is invalid")


@pytest.mark.parametrize("where", ["2> /dev/full", "2>&-", "2> >(true)"])
def test_messages_that_cannot_be_written_change_nothing(stepflow: Stepflow, server: str, where: str) -> None:
    assert stepflow.shell(f"stepflow validate clean.yaml {where}").code == 0
    assert stepflow.shell(f"stepflow validate refused.yaml -o name {where}").code == 3
    done = stepflow.shell(f"stepflow run echo.yaml --input-json 1 {where}")
    assert (done.code, done.stdout) == (0, "1\n")


@pytest.mark.parametrize(
    "closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", pytest.param(">&- 2>&-", marks=pytest.mark.exhaustive)]
)
def test_closed_streams(stepflow: Stepflow, server: str, closed: str) -> None:
    lost, silent = ">&-" in closed.split(), "2>&-" in closed.split()
    done = stepflow.shell(f"stepflow run echo.yaml --input-json 1 {closed}")
    # Somebody who closes standard output loses what the run gives: that is told, and how to get it.
    assert (done.code, done.stdout) == ((2, "") if lost else (0, "1\n"))
    assert ("standard output cannot be written: it is closed" in done.stderr) == (lost and not silent)
    assert ("stepflow runs result " in done.stderr) == (lost and not silent)
    done = stepflow.shell(f"stepflow run fails.yaml --input-json {{}} -o json {closed}")
    assert done.code == (2 if lost else 1)
    assert "Traceback" not in done.stderr
    assert ("run_failed" in done.stderr) == (not lost and not silent)


@pytest.mark.parametrize("size", [10, 1_000_000])
def test_bytes_that_cannot_be_written_are_a_problem(stepflow: Stepflow, server: str, size: int) -> None:
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
def test_what_does_not_end_is_not_read_to_its_end(stepflow: Stepflow, server: str, line: str, name: str) -> None:
    stepflow.folder.joinpath("endless.jsonl").symlink_to("/dev/zero")
    done = stepflow.shell(f"{line}; exit $?")
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr == f"stepflow: {name} is larger than 256 MiB, the maximum\n"


def test_a_flow_may_come_through_a_pipe(stepflow: Stepflow, server: str) -> None:
    done = stepflow.shell("stepflow run <(sleep 0.3; cat echo.yaml) --input <(echo 5)")
    assert (done.code, done.stdout, done.stderr) == (0, "5\n", "")


CONFIG = """cat <<'end'
plugins: {builtin: {type: builtin}}
routes: {"/builtin": [{plugin: builtin}]}
end
"""


def test_a_configuration_may_come_through_a_pipe(stepflow: Stepflow) -> None:
    for config in (f"<({CONFIG})", f"/dev/stdin < <({CONFIG})"):
        done = stepflow.shell(f'stepflow run hello.yaml --input-json \'{{"name": "Ada"}}\' --config {config}')
        assert (done.code, json.loads(done.stdout)) == (0, {"hello": "Ada"}), done
    # The cache could not tell two configurations of one descriptor apart.
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
def test_a_deleted_working_folder_is_told(stepflow: Stepflow, args: str, message: str) -> None:
    line = args.replace("FLOWS", str(stepflow.folder))
    done = stepflow.shell(f"mkdir gone && cd gone && rmdir ../gone && stepflow {line}")
    assert done.code == (4 if message.startswith("the server") else 2), done
    assert done.stderr.splitlines()[0] == f"stepflow: {message}"
    assert len(done.stderr.splitlines()) <= 2


def test_a_flow_on_standard_input_is_utf_8(stepflow: Stepflow, server: str) -> None:
    flow = "printf 'steps: []\noutput: grüße\n'"
    done = stepflow.shell(f"{flow} | stepflow run - --output out.json && cat out.json", PYTHONIOENCODING="latin-1")
    assert (done.code, done.stdout, done.stderr) == (0, '"grüße"\n', "")
    done = stepflow.shell(r"printf 'output: \xff' | stepflow run -")
    assert (done.code, done.stderr) == (
        2,
        "stepflow: standard input is not UTF-8 text (byte 8)\nhint: save it as UTF-8\n",
    )


@pytest.mark.parametrize("given", ['--input-json \'{"name": "é"}\'', "--input-yaml 'name: é'"])
def test_values_on_the_command_line_are_utf_8_in_the_c_locale(stepflow: Stepflow, server: str, given: str) -> None:
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = stepflow.shell(f"stepflow run hello.yaml {given}", **ascii_only)
    assert (done.code, json.loads(done.stdout)) == (0, {"hello": "é"}), done


def test_an_interrupt_while_the_command_starts_is_no_traceback(stepflow: Stepflow) -> None:
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


def test_a_log_that_cannot_be_written_changes_nothing(stepflow: Stepflow, server: str) -> None:
    done = stepflow("-v", "run", "echo.yaml", "--input-json", "1", "--log-file", "/dev/full")
    assert (done.code, done.stdout, done.stderr) == (0, "1\n", f"stepflow: server {server} (from STEPFLOW_URL)\n")


def test_a_run_is_named_though_its_result_cannot_be_written(stepflow: Stepflow, server: str) -> None:
    for command in ("run echo.yaml --input-json 1", "submit --detach echo.yaml", "batch echo.yaml ms.jsonl"):
        before = set(stepflow("runs", "list", "--all", "-o", "name").stdout.split())
        done = stepflow.shell(f"stepflow {command} -o json > /dev/full")
        (run_id,) = set(stepflow("runs", "list", "--all", "-o", "name").stdout.split()) - before
        problem = json.loads(done.stderr)
        assert (done.code, problem["run_id"]) == (2, run_id)
        assert problem["hint"] == f"run {run_id} was created: stepflow runs result {run_id}"

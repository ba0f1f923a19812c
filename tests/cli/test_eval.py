"""`stepflow eval` evaluates and compares variants of a flow."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from stepflow_client import StepflowRuntime
from stepflow_client.evaluation import EvaluationCase
from stepflow_client.evaluation.store import EvaluationStore

from tests.cli.command import STEPFLOW, CommandResult, Stepflow, new_process_environment
from tests.cli.gateway import Gateway, make_certificate
from tests.cli.golden import Golden
from tests.cli.terminal import Terminal

pytestmark = pytest.mark.in_process

TOPICS = ("billing", "refund", "login")
FLOW: dict[str, Any] = {
    "name": "ticket",
    "schemas": {
        "type": "object",
        "properties": {
            "input": {
                "type": "object",
                "properties": {"id": {"type": "string"}, "subject": {"type": "string"}},
                "required": ["subject"],
            },
            "variables": {
                "type": "object",
                "properties": {
                    "tone": {"type": "string", "default": "plain"},
                    "token": {"type": "string", "default": "", "is_secret": True},
                },
            },
        },
    },
    "steps": [
        {
            "id": "classify",
            "component": "/builtin/noop",
            "input": {"category": {"$input": "subject"}, "tone": {"$variable": "tone"}, "key": {"$variable": "token"}},
        }
    ],
    "output": {
        "category": {"$step": "classify", "path": "category"},
        "tone": {"$step": "classify", "path": "tone"},
    },
}
SCORES = """
def polite(output):
    return output["tone"] == "friendly"


def length(output):
    return {"tone": len(output["tone"])}


def broken(input):
    raise ValueError("no judge today")


def _helper(output):
    return 1
"""


@pytest.fixture(autouse=True)
def files(stepflow: Stepflow) -> None:
    """A flow, a second one that calls everything `billing`, 30 cases, and scores."""
    folder = stepflow.folder
    (folder / "ticket.yaml").write_text(yaml.safe_dump(FLOW, sort_keys=False))
    other = json.loads(json.dumps(FLOW))
    other["steps"][0]["input"]["category"] = "billing"
    (folder / "v2.yaml").write_text(yaml.safe_dump(other, sort_keys=False))
    rows = [f"T{number},{TOPICS[number % 3]},{TOPICS[number % 3]}" for number in range(30)]
    (folder / "tickets.csv").write_text("\n".join(["id,subject,expected", *rows]) + "\n")
    (folder / "scores.py").write_text(SCORES)


def evaluate(stepflow: Stepflow, *more: str, **environment: str) -> CommandResult:
    return stepflow("eval", "ticket.yaml", "--cases", "tickets.csv", "--score", "exact:category", *more, **environment)


def test_invalid_options(stepflow: Stepflow, golden: Golden) -> None:
    (stepflow.folder / "full").mkdir()
    (stepflow.folder / "full" / "notes.txt").write_text("mine")
    option_lists = (
        ("--variant", "a:tnoe=x"),
        ("--score", "exct:category"),
        ("--fail-below", "exact=0.9"),
        ("--output", "worst.jsonl"),
        ("--output", "tickets.csv"),
        ("--output", "full"),
        ("--output", "a", "--output", "b"),
        ("--resume",),
        ("--baseline", "nowhere"),
    )
    golden(
        *(evaluate(stepflow, *options) for options in option_lists),
        stepflow("eval", "full"),
        stepflow("eval", "ticket.yaml"),
        stepflow("eval", "ticket.yaml", "--cases", "tikets.csv"),
    )


@pytest.mark.usefixtures("server")
def test_variants_are_compared_and_stored(stepflow: Stepflow) -> None:
    options = ("--variant", "now", "--variant", "friendly:tone=friendly", "--variant", "v2=v2.yaml")
    files = ("--output", "eval/", "--output", "page.html", "--output", "junit.xml", "--output", "report.json")
    done = evaluate(stepflow, *options, "--score", "scores.py", *files)

    assert done.code == 0, done
    assert "eval: 30 cases, 3 variants" in done.stdout
    assert (
        "broken failed for some items (30 of now, 30 of friendly, 30 of v2): ValueError: no judge today" in done.stdout
    )
    report = json.loads((stepflow.folder / "report.json").read_text())
    means = {(each["score"], each["variant"]): each["mean"] for each in report["means"]}
    assert means["exact.category", "now"] == means["polite", "friendly"] == 1
    assert means["exact.category", "v2"] == pytest.approx(1 / 3)
    assert means["length.tone", "friendly"] == 8
    verdicts = {
        (each["after"], score["score"]): score["verdict"] for each in report["comparisons"] for score in each["scores"]
    }
    assert verdicts["v2", "exact.category"] == "worse"
    assert verdicts["friendly", "polite"] == "better"
    assert verdicts["friendly", "exact.category"] == "equal"
    for page in ("page.html", "eval/report.html"):
        assert "exact.category" in (stepflow.folder / page).read_text()
    assert (stepflow.folder / "junit.xml").read_text().count("<testcase") == 3

    shown = stepflow("eval", "eval", "-o", "json")
    assert json.loads(shown.stdout) == report
    assert stepflow("eval", "eval", "-o", "name").stdout == "eval\n"
    assert stepflow("eval", "eval", "-o", "name", "--output", "-").stdout == "eval\n"
    again = evaluate(stepflow, *options, "--output", "eval")
    assert (again.code, again.stderr.splitlines()[0]) == (2, "stepflow: eval already has an evaluation")


@pytest.mark.usefixtures("server")
def test_overrides_apply_to_all_variants(stepflow: Stepflow) -> None:
    options = ("--variant", "now", "--variant", "chosen:classify.input.tone=friendly", "--score", "scores.py:polite")
    done = evaluate(stepflow, *options, "--set", "classify.input.category=refund", "--output", "report.json")
    assert done.code == 0, done
    report = json.loads((stepflow.folder / "report.json").read_text())
    means = {(each["score"], each["variant"]): each["mean"] for each in report["means"]}
    assert means["exact.category", "now"] == means["exact.category", "chosen"] == pytest.approx(1 / 3)
    assert (means["polite", "now"], means["polite", "chosen"]) == (0, 1)


@pytest.mark.usefixtures("server")
def test_limits_decide_the_exit_code(stepflow: Stepflow) -> None:
    assert evaluate(stepflow, "--output", "main").code == 0
    below = evaluate(stepflow, "--variant", "v2=v2.yaml", "--fail-below", "exact.category=0.9", "--output", "now")
    assert (below.code, below.stderr) == (1, "stepflow: exact.category of v2 is 0.3333, below 0.9\n")
    assert stepflow("eval", "now", "--fail-below", "exact.category=0.3", "--fail-below", "failed=0").code == 0

    worse = stepflow("eval", "now", "--baseline", "main")
    assert (worse.code, worse.stderr) == (1, "stepflow: exact.category of v2 is worse than baseline: 1 -> 0.3333\n")
    assert "exact.category of v2 is not worse than baseline  failed" in worse.stdout
    assert "Changes are relative to baseline" in worse.stdout
    assert stepflow("eval", "now", "--baseline", "main", "--tolerance", "exact.category=0.9").code == 0
    named = evaluate(stepflow, "--variant", "baseline", "--baseline", "main", "-o", "json")
    assert (named.code, json.loads(named.stdout)["variants"]) == (0, ["earlier", "baseline"]), named
    trend = stepflow("eval", ".", "--output", "trend.html")
    assert trend.stdout.splitlines()[0].split()[:3] == ["SCORE", "VARIANT", "EVALUATION"]
    assert trend.stdout.splitlines()[1].split()[:3] == ["exact.category", "flow", "main"]
    assert "exact.category" in (stepflow.folder / "trend.html").read_text()
    assert [each["name"] for each in json.loads(stepflow("eval", ".", "-o", "json").stdout)] == ["main", "now"]
    for options in (
        ["--fail-below", "exact.category=0.9"],
        ["--baseline", "main"],
        ["--output", "t.xml"],
        ["-o", "junit"],
    ):
        refused = stepflow("eval", ".", *options)
        assert (refused.code, refused.stdout) == (2, "")
        assert "needs a single one" in refused.stderr
    assert evaluate(stepflow, "--output", "main/later").code == 0
    assert stepflow("eval", "main").stdout.startswith("main: 30 cases")
    error = json.loads(stepflow("eval", "now", "--baseline", "main", "-o", "json").stderr)
    assert (error["kind"], error["exit_code"]) == ("evaluation_failed", 1)


def test_evaluation_without_finished_items(stepflow: Stepflow) -> None:
    with EvaluationStore(stepflow.folder / "eval", is_new=True) as store:
        variants = {"now": "settings", "friendly": "settings"}
        store.store_or_check_settings([EvaluationCase("T1", "cat")], 1, variants, scores=["exact"])
    shown = stepflow("eval", "eval", "--output", "page.html")
    assert "No items yet: no case has ended." in shown.stdout
    assert "No items yet" in (stepflow.folder / "page.html").read_text()
    assert (shown.code, shown.stderr) == (1, "stepflow: no item of now has ended; no item of friendly has ended\n")
    assert json.loads(stepflow("eval", "eval", "-o", "json").stdout)["cases"] == 0


@pytest.mark.exhaustive
@pytest.mark.usefixtures("server")
def test_failures_are_counted_and_fail_if_nothing_completes(stepflow: Stepflow) -> None:
    (stepflow.folder / "tickets.csv").write_text("id,expected\na,b\n")
    done = evaluate(stepflow)
    assert (done.code, done.stderr) == (1, "stepflow: all items of flow failed\n")
    assert "'subject' is missing" in done.stdout

    (stepflow.folder / "tickets.csv").write_text("id,subject\na,b\n")
    done = evaluate(stepflow)
    assert done.code == 0
    assert done.stderr.startswith("stepflow: exact.category has no value: no case has an expected output")

    (stepflow.folder / "tickets.csv").write_text("id,subject\n")
    done = evaluate(stepflow, "--output", "eval")
    assert (done.code, done.stderr) == (2, "stepflow: there are no cases to evaluate\n")
    (stepflow.folder / "tickets.csv").write_text("id,subject,expected\na,b\n")
    done = evaluate(stepflow, "--output", "eval")
    assert (done.code, done.stderr) == (
        2,
        "stepflow: tickets.csv, line 2, cannot be read: it has 2 fields, but the header has 3\n",
    )
    (stepflow.folder / "tickets.csv").write_text("id,subject,expected\na,b,b\n")
    # No run has started yet, so the folder can be used.
    flow = (stepflow.folder / "ticket.yaml").read_text()
    (stepflow.folder / "ticket.yaml").write_text(flow.replace("$step: classify", "$step: nobody"))
    assert evaluate(stepflow, "--output", "eval").code == 3
    (stepflow.folder / "ticket.yaml").write_text(flow)
    assert evaluate(stepflow, "--output", "eval").code == 0
    assert evaluate(stepflow, "--output", "eval").code == 2


@pytest.mark.exhaustive
def test_worst_cases_can_become_tests_and_cases(stepflow: Stepflow, server: str) -> None:
    options = ("--variant", "now", "--variant", "v2=v2.yaml", "--url", server)
    done = evaluate(stepflow, *options, "--worst", "2", "--output", "worst.jsonl", "--output", "eval")
    lines = [json.loads(line) for line in (stepflow.folder / "worst.jsonl").read_text().splitlines()]
    assert [each["name"] for each in lines] == ["T1", "T2"]
    assert lines[0]["input"] == {"id": "T1", "subject": "refund"}
    assert lines[0]["expected"] == "refund"

    command = shlex.split(done.stdout.splitlines()[-1])
    assert command[:3] == ["stepflow", "runs", "save"]
    assert stepflow(*command[1:]).code == 0
    case = yaml.safe_load((stepflow.folder / "v2.yaml").read_text())["test"]["cases"][0]
    assert (case["name"], case["input"]) == ("T2", {"id": "T2", "subject": "login"})

    again = stepflow("eval", "v2.yaml", "--cases", "worst.jsonl", "--score", "exact:category", "-o", "json")
    (mean,) = json.loads(again.stdout)["means"]
    assert (mean["cases"], mean["mean"]) == (2, 0)
    assert "No case is worse." in stepflow("eval", "eval", "--worst", "exact.category=1", "--baseline", "eval").stdout


# A process imports the scores only once.
@pytest.mark.in_process(False)
@pytest.mark.exhaustive
@pytest.mark.usefixtures("server")
def test_scores_with_a_new_version_are_recomputed(stepflow: Stepflow) -> None:
    path = stepflow.folder / "scores.py"
    path.write_text('def ok(output):\n    print("called")\n    return True\n')
    options = ("--score", "scores.py", "--output", "eval")
    assert evaluate(stepflow, *options).stderr.count("called") == 30
    assert evaluate(stepflow, *options, "--resume").stderr.count("called") == 0
    changed = 'def ok(output):\n    print("called")\n    return False\n'
    path.write_text(changed)
    for server_options in ((), ("--local",)):
        again = evaluate(stepflow, *options, "--resume", *server_options).stderr
        assert again.count("called") == 0
        assert again.count("stepflow: score 'ok' has changed but its version has not") == 1
    path.write_text(f'{changed}ok.version = "2"\n')
    done = evaluate(stepflow, *options, "--resume", "-o", "json")
    assert done.stderr.count("called") == 30
    means = {each["score"]: each["mean"] for each in json.loads(done.stdout)["means"]}
    assert means == {"exact.category": 1, "ok": 0}


@pytest.mark.usefixtures("server")
def test_secrets_are_not_stored(stepflow: Stepflow) -> None:
    options = ("--variant", "now:token=hunter2-zz", "--variant", "v2=v2.yaml", "--variant", "v2:token=hunter3-zz")
    done = evaluate(stepflow, *options, "--output", "eval", "--output", "report.json", "-vv")
    assert done.code == 0, done
    files = [path for path in stepflow.folder.rglob("*") if path.is_file()]
    assert stepflow.folder / "eval" / "evaluation.db" in files
    for path in files:
        assert b"hunter" not in path.read_bytes(), path
    assert "hunter" not in done.stdout + done.stderr

    # Even if the flow returns a secret, it is masked.
    (stepflow.folder / "ticket.yaml").write_text(yaml.safe_dump(FLOW | {"output": {"$variable": "token"}}))
    options = ("--variant", "now:token=hunter4-zz", "--score", "regex::x", "-n", "2", "--worst", "1")
    done = stepflow("eval", "ticket.yaml", "--cases", "tickets.csv", *options, "--output", "page.html", "-o", "json")
    assert json.loads(done.stdout)["worst"][0]["item"]["output"] == "***"
    assert "hunter" not in (stepflow.folder / "page.html").read_text()


@pytest.mark.exhaustive
@pytest.mark.usefixtures("server")
def test_table_fits_the_terminal(stepflow: Stepflow, terminal: Callable[..., Terminal]) -> None:
    evaluate(stepflow, "--variant", "now", "--variant", "v2=v2.yaml", "--output", "eval")
    heads = {
        60: "SCORE           VARIANT   MEAN  CHANGE  VERDICT",
        80: "SCORE           VARIANT   MEAN  CHANGE  95% INTERVAL      VERDICT",
    }
    for width, head in heads.items():
        shown = terminal("eval", "eval", "--worst", "1", width=width)
        assert shown.end() == 0
        assert head in shown.screen.splitlines()
    assert "worse    0/10/20" in stepflow("eval", "eval").stdout


@pytest.mark.exhaustive
@pytest.mark.usefixtures("server")
def test_flow_as_a_score(stepflow: Stepflow) -> None:
    judge = {
        "steps": [
            {"id": "judge", "component": "/builtin/noop", "input": {"$input": "$.output.category"}},
        ],
        "output": {"topic": {"$step": "judge"}, "note": 0.5},
    }
    (stepflow.folder / "judge.yaml").write_text(yaml.safe_dump(judge, sort_keys=False))
    done = evaluate(stepflow, "--score", "opinion=judge.yaml", "-n", "6", "--repeat", "2", "-o", "json")
    means = {each["score"]: each["mean"] for each in json.loads(done.stdout)["means"]}
    assert means["opinion.note"] == 0.5
    assert json.loads(done.stdout)["cases"] == 6
    assert json.loads(done.stdout)["repeats"] == 2


JUDGE = """
import pathlib
import time


def judge(item):
    time.sleep(0.02)
    with open(pathlib.Path(__file__).with_name("calls.txt"), "a") as file:
        file.write(f"{item.case} {item.variant} {item.repeat}\\n")
    return True
"""


@pytest.mark.usefixtures("server")
def test_runs_in_the_history_can_be_cases(stepflow: Stepflow) -> None:
    for customer, subject in (("42", "billing"), ("42", "refund"), ("7", "login")):
        options = ("--label", f"customer={customer}", "--input-json", json.dumps({"subject": subject}))
        assert stepflow("run", "ticket.yaml", *options).code == 0

    def evaluate_history(query: str) -> CommandResult:
        return stepflow("eval", "ticket.yaml", "--cases", f"history:{query}", "--variant", "v2=v2.yaml", "-o", "json")

    by_label = evaluate_history("customer=42 since:2h")
    assert by_label.code == 0, by_label
    (scored,) = [each for each in json.loads(by_label.stdout)["means"] if each["score"] == "exact"]
    assert (scored["cases"], scored["mean"]) == (2, 0.5)
    # The history may have recorded one server under several URLs.
    url = stepflow.environment["STEPFLOW_URL"]
    alias = url.replace("127.0.0.1", "localhost") if "127.0.0.1" in url else url.replace("localhost", "127.0.0.1")
    options = ("--label", "customer=42", "--input-json", '{"subject": "alias"}')
    assert stepflow("run", "ticket.yaml", *options, "--url", alias).code == 0
    assert json.loads(evaluate_history("customer=42").stdout)["cases"] == 3
    assert "finds no completed runs" in evaluate_history("until:yesterday").stderr
    assert "last-friday" in evaluate_history("since:last-friday").stderr
    assert "status:done is not a status" in evaluate_history("status:done").stderr


def test_runs_in_the_history_of_a_server_with_a_profile(stepflow: Stepflow, server: str, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path / "tls")
    del stepflow.environment["STEPFLOW_URL"]
    with Gateway(server, certificate=certificate) as gateway:
        for key, value in {"url": gateway.url, "ca_file": str(certificate)}.items():
            assert stepflow("config", "set", f"profiles.tls.{key}", value).code == 0
        done = stepflow("run", "ticket.yaml", "--profile", "tls", "--input-json", '{"subject": "billing"}')
        assert done.code == 0, done
        # The server of the evaluation, and another one that a profile describes.
        for options in (("--profile", "tls"), ("--url", server)):
            found = stepflow("eval", "ticket.yaml", "--cases", "history:flow:ticket", *options, "-o", "json")
            assert (found.code, json.loads(found.stdout or "{}").get("cases")) == (0, 1), found


def test_history_of_an_embedded_server(stepflow: Stepflow) -> None:
    done = evaluate(stepflow, "-n", "2", "--variables-from-env", STEPFLOW_VAR_TONE="friendly")
    assert done.code == 0, done
    # The server has stopped, so this prints what the history has.
    shown = stepflow("runs", "get", "@last", "-o", "json")
    assert shown.code == 0, shown
    recorded = json.loads(shown.stdout)
    assert (recorded["variables"], recorded["labels"]["variant"]) == ({"tone": "friendly"}, "flow")


@pytest.mark.usefixtures("server")
def test_limit_applies_to_the_cases_in_the_flow(stepflow: Stepflow) -> None:
    cases = [{"name": topic, "input": {"subject": topic}} for topic in TOPICS]
    (stepflow.folder / "tested.yaml").write_text(yaml.safe_dump({**FLOW, "test": {"cases": cases}}))
    evaluated = stepflow("eval", "tested.yaml", "-n", "2", "-o", "json")
    assert (evaluated.code, json.loads(evaluated.stdout)["cases"]) == (0, 2), evaluated


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    "more", [{}, {"variables": {"tone": "warm"}}, {"mocks": {"draft": {"outcome": "success", "result": {}}}}]
)
def test_ignored_parts_of_cases_in_the_flow_cause_a_warning(stepflow: Stepflow, more: dict[str, Any]) -> None:
    cases = [{"name": "one", "input": {"subject": "a"}, **more}]
    (stepflow.folder / "tested.yaml").write_text(yaml.safe_dump({**FLOW, "test": {"cases": cases}}))
    evaluated = stepflow("eval", "tested.yaml")
    warned = [key for key in ("variables", "mocks") if f"warning: the {key} of test cases" in evaluated.stderr]
    assert (evaluated.code, warned) == (0, list(more))


@pytest.mark.exhaustive
def test_killed_evaluation_is_resumed(stepflow: Stepflow, server: str, newest_server: StepflowRuntime) -> None:
    flow = json.loads(json.dumps(FLOW)) | {"name": "interrupted"}
    flow["steps"].append({"id": "wait", "component": "/builtin/sleep", "input": {"duration_ms": 100}})
    flow["output"]["waited"] = {"$step": "wait"}
    (stepflow.folder / "ticket.yaml").write_text(yaml.safe_dump(flow, sort_keys=False))
    (stepflow.folder / "judge.py").write_text(JUDGE)
    calls = stepflow.folder / "calls.txt"
    calls.touch()
    variants = ("--variant", "now", "--variant", "b:tone=b", "--repeat", "2", "--max-concurrency", "4")
    options = ("eval", "ticket.yaml", "--cases", "tickets.csv", *variants, "--score", "judge.py", "--output", "eval")

    def runs() -> list[Any]:
        return [each for each in newest_server.sync_client.iter_runs() if each.flow_name == "interrupted"]

    def run_until(ready: Callable[[], object], signal_number: int, *more: str) -> tuple[int, str]:
        """Start the command, send a signal once `ready()` is true, and return the exit code and messages."""
        process = subprocess.Popen(
            [str(STEPFLOW), *options, *more],
            cwd=stepflow.folder,
            env=new_process_environment(stepflow.environment),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            end = time.monotonic() + 60
            while not ready():
                assert time.monotonic() < end
                assert process.poll() is None
                time.sleep(0.02)
            process.send_signal(signal_number)
            _, messages = process.communicate(timeout=60)
        finally:
            process.kill()
        return process.returncode, messages

    code, messages = run_until(runs, signal.SIGINT)
    assert (code, messages.splitlines()[1]) == (130, "hint: to continue, run the same command with --resume")
    for count in (5, 30):
        assert (
            run_until(lambda count=count: len(calls.read_text().splitlines()) > count, signal.SIGKILL, "--resume")[0]
            == -9
        )
    done = stepflow(*options, "--resume")
    assert done.code == 0, done
    scored = calls.read_text().splitlines()
    # Calls that were in progress when the process was killed are repeated (at most 8 per kill).
    assert len(set(scored)) == 120 <= len(scored) <= 120 + 2 * 8
    assert sum(each.items.total for each in runs()) == 120

"""`stepflow test` runs test cases, and updates, records and replays them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.cli.command import Stepflow
from tests.cli.golden import Golden
from tests.cli.terminal import Terminal

pytestmark = pytest.mark.in_process

FLOWS = Path(__file__).with_name("tested_flows")


@pytest.fixture(autouse=True)
def flows(stepflow: Stepflow) -> Path:
    folder = stepflow.folder / "tests"
    shutil.copytree(FLOWS, folder)
    return folder


@pytest.mark.usefixtures("server")
def test_results(stepflow: Stepflow, golden: Golden) -> None:
    golden(
        stepflow("test", "tests"),
        stepflow("test", "tests/tested.yaml", "--diff", "--case", "d*"),
        stepflow("test", "tests", "--tag", "quick", "--case", "*s"),
        stepflow("test", "tests", "-o", "github"),
        stepflow("test", "tests", "--case", "differs", "-o", "json"),
        stepflow("test", "tests", "--case", "passes", "--repeat", "3"),
        stepflow("test", "tests", "--case", "passes", "-o", "jsonl", "--fields", "case,verdict"),
    )


@pytest.mark.usefixtures("server")
def test_on_a_terminal(terminal: Callable[..., Terminal], stepflow: Stepflow, golden: Golden) -> None:
    golden(terminal("test", "tests", width=60, STEPFLOW_URL=stepflow.environment["STEPFLOW_URL"]))


def test_invalid_arguments(stepflow: Stepflow, flows: Path, golden: Golden) -> None:
    (flows / "broken.yaml").write_text("test: {cases: [{name: a}]}\nsteps: []\n")
    (flows / "matcher.yaml").write_text(
        "test: {cases: [{name: a, input: 1, output: {outcome: success, result: {$type: int}}}]}\nsteps: []\n"
    )
    golden(
        stepflow("test"),
        stepflow("test", "nowhere"),
        stepflow("test", "hello.yaml"),
        stepflow("test", "tests/tested.yaml", "--case", "pases"),
        stepflow("test", "tests/tested.yaml", "--tag", "quik"),
        stepflow("test", "tests/tested.yaml", "--tag", "quick", "--case", "fails"),
        stepflow("test", "tests/broken.yaml"),
        stepflow("test", "tests/matcher.yaml"),
        stepflow("test", "tests/tested.yaml", "--update", "--repeat", "2"),
        stepflow("test", "tests/tested.yaml", "--replay", "hello.yaml"),
        stepflow("test", "tests/tested.yaml", "--config", "nowhere.yml"),
        stepflow("test", "--help"),
    )


@pytest.mark.usefixtures("server")
def test_update_changes_only_expected_outputs(stepflow: Stepflow, flows: Path) -> None:
    file = flows / "tested.yaml"
    before = file.read_bytes().splitlines()
    done = stepflow("test", "tests", "--update")
    assert done.code == 0, str(done)
    after = file.read_bytes().splitlines()
    assert [line for line in before if line not in after] == [b"          who: Alice   # kept"]
    assert [line for line in after if line not in before] == [
        b"          who: Eve   # kept",
        b"          who: Ann",
        b"          text: Ann",
    ]
    assert stepflow("test", "tests").code == 0
    again = file.read_bytes()
    assert stepflow("test", "tests", "--update").code == 0
    assert file.read_bytes() == again


@pytest.mark.usefixtures("server")
def test_junit(stepflow: Stepflow) -> None:
    assert stepflow("test", "tests", "--junit", "report.xml").code == 1
    suite = ElementTree.parse(stepflow.folder / "report.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("4", "1", "1")
    failures = [case.find("failure") for case in suite if case.get("name") == "differs"]
    assert failures[0] is not None
    difference, output = str(failures[0].text).splitlines()
    assert (difference, failures[0].get("message")) == ('$.result.who: expected "Alice", got "Eve"', difference)
    assert output.startswith("the output was")


def recorded_step(recording: dict[str, Any], case: str, step: str) -> Any:
    """Return the recorded outcome of a step, which must be the only one."""
    (outcome,) = recording["flows"]["tests/tested.yaml"][case][step].values()
    return outcome


@pytest.mark.usefixtures("server")
def test_recorded_steps_are_replayed_instead_of_executed(stepflow: Stepflow, flows: Path) -> None:
    assert stepflow("test", "tests", "--case", "passes", "--record", "rec.json", "--record-step", "mod*").code == 0
    path = stepflow.folder / "rec.json"
    recording = json.loads(path.read_text())
    recorded_step(recording, "passes", "model")["result"]["messages"][0]["content"] = "recorded"
    path.write_text(json.dumps(recording))
    # With a component that no server has, the step could not run.
    text = (flows / "tested.yaml").read_text()
    (flows / "tested.yaml").write_text(text.replace("/builtin/create_messages", "/model/paid"))
    done = stepflow("test", "tests", "--case", "passes", "--replay", "rec.json", "-o", "json")
    assert done.code == 0, str(done)
    assert json.loads(done.stdout)[0]["output"] == {"who": "Bob", "text": "recorded"}
    assert stepflow("test", "tests", "--case", "passes").code == 1


@pytest.mark.usefixtures("server")
def test_recorded_step_with_a_different_input_is_not_replayed(stepflow: Stepflow, flows: Path) -> None:
    record = ("test", "tests", "--case", "passes", "--record", "rec.json")
    replay = ("test", "tests", "--case", "passes", "--replay", "rec.json", "-o", "json")
    assert stepflow(*record).code == 0
    text = (flows / "tested.yaml").read_text()
    (flows / "tested.yaml").write_text(text.replace("{user_prompt: {$input: $.who}}", '{user_prompt: "Hello"}'))
    done = stepflow(*replay)
    assert done.code == 1
    (case,) = json.loads(done.stdout)
    assert case["verdict"] == "error"
    assert case["message"] == (
        'rec.json has no outcome for step \'model\' with the input {"user_prompt": "Hello"} '
        "(record the case 'passes' again with stepflow test --record)"
    )
    assert stepflow(*record).code == 0
    assert stepflow(*replay).code == 0
    # Only the new input is left.
    assert recorded_step(json.loads((stepflow.folder / "rec.json").read_text()), "passes", "model")


FAILING = """\
steps:
  - id: first
    component: /builtin/create_messages
    input: {user_prompt: {$input: $.who}}
  - id: refuses
    component: /builtin/iterate
    input: {flow: {$literal: {output: {neither: 1}}}, initial_input: {$step: first}}
  - id: reader
    component: /builtin/noop
    input: {$step: refuses}
output: {read: {$if: {$step: reader}, then: yes, else: {$step: reader}}}
test:
  cases:
    - name: passes
      input: {who: Bob}
      output: {outcome: failed, error: {code: INVALID_INPUT, message: {$contains: "either 'result' or 'next'"}}}
"""


VARIABLES = """\
schemas:
  properties:
    variables: {type: object, properties: {tone: {type: string}, times: {default: 1}}, required: [tone]}
steps:
  - {id: short, component: /builtin/noop, input: {$variable: tone}}
  - {id: long, component: /builtin/noop, input: {$variable: times}}
output: {$if: {$variable: times}, then: {tone: {$step: short}}, else: {$step: long}}
test:
  cases:
    - {name: own, input: 1, variables: {tone: warm}, output: {outcome: success, result: {tone: warm}}}
    - {name: given, input: 1, output: {outcome: success, result: {tone: "5"}}}
    - {name: other, input: 1, variables: {tone: x, times: false}, output: {outcome: success, result: false}}
    - name: mocked
      input: 1
      variables: {tone: x}
      mocks: {short: {outcome: success, result: cold}}
      output: {outcome: success, result: {tone: cold}}
    - {name: unknown, input: 1, variables: {tome: x}}
"""


@pytest.mark.usefixtures("server")
def test_variables_of_cases(stepflow: Stepflow) -> None:
    (stepflow.folder / "tone.yaml").write_text(VARIABLES)
    (stepflow.folder / "plain.yaml").write_text("output: 1\ntest: {cases: [{name: plain, input: 1}]}\n")

    def verdicts(*options: str) -> dict[str, str]:
        done = stepflow("test", "tone.yaml", "plain.yaml", "-o", "json", *options)
        return {each["case"]: each["verdict"] for each in json.loads(done.stdout)}

    expected = {"own": "passed", "given": "failed", "other": "passed", "mocked": "passed"}
    expected |= {"unknown": "error", "plain": "unchecked"}
    assert verdicts() == expected
    assert verdicts("--var", "tone=5") == expected | {"given": "passed"}
    assert [*verdicts("--var", "tone=5", "--touching", "long")] == ["other"]
    covered = json.loads(stepflow("test", "tone.yaml", "--var", "tone=5", "--coverage", "-o", "json").stdout)
    cases = {each["step"]: each["cases"] for each in covered}
    assert cases == {"short": ["own", "given", "mocked"], "long": ["other"]}
    wrong = stepflow("test", "tone.yaml", "--var", "tome=5")
    assert (wrong.code, "no flow here has a variable tome" in wrong.stderr) == (2, True)
    assert "Undefined variable: tone" in stepflow("run", "tone.yaml", "--example", "given").stderr
    assert stepflow("run", "tone.yaml", "--example", "own").stdout == '{\n  "tone": "warm"\n}\n'
    assert stepflow("run", "tone.yaml", "--example", "own", "--var", "tone=x").stdout == '{\n  "tone": "x"\n}\n'


@pytest.mark.usefixtures("server")
def test_replay_only_fails_cases_that_would_execute_steps(stepflow: Stepflow) -> None:
    (stepflow.folder / "tone.yaml").write_text(VARIABLES)
    arguments = ("tone.yaml", "--var", "tone=5")
    assert stepflow("test", *arguments, "--case", "given", "--record", "r.json").code == 0
    replay = ("test", *arguments, "--case", "own", "--case", "given", "--case", "mocked", "--replay", "r.json")
    executed = stepflow(*replay)
    assert (executed.code, "r.json has no recording of own; executing their steps" in executed.stderr) == (0, True)
    done = stepflow(*replay, "--replay-only")
    assert (done.code, "3 with an error" in done.stdout, "2 passed, 1 with an error" in done.stdout) == (1, False, True)
    assert "r.json has no recording of this case; record it with stepflow test --record" in done.stdout
    assert "--replay-only needs --replay FILE" in stepflow("test", "tone.yaml", "--replay-only").stderr


@pytest.mark.usefixtures("server")
@pytest.mark.usefixtures("server")
def test_recording_again_forgets_steps_that_are_no_longer_executed(stepflow: Stepflow, flows: Path) -> None:
    record = ("test", "tests", "--case", "passes", "--record", "rec.json")
    assert stepflow(*record).code == 0
    text = (flows / "tested.yaml").read_text()
    text = text.replace("{user_prompt: {$input: $.who}}", "{user_prompt: Hello}")
    (flows / "tested.yaml").write_text(text.replace("{$step: model, path: '$.messages[0].content'}", "none"))
    # Steps that aren't recorded this time keep their outcomes.
    assert stepflow(*record, "--record-step", "other").code == 0
    recorded_step(json.loads((stepflow.folder / "rec.json").read_text()), "passes", "model")
    assert stepflow(*record).code == 0
    done = stepflow("test", "tests", "--case", "passes", "--replay", "rec.json")
    assert done.code == 0, str(done)


def test_failed_steps_are_recorded_and_replayed(stepflow: Stepflow, flows: Path) -> None:
    (flows / "tested.yaml").write_text(FAILING)
    done = stepflow("test", "tests", "--record", "rec.json")
    assert (done.code, "recorded 2 step outcomes in rec.json" in done.stderr) == (0, True), str(done)
    recording = json.loads((stepflow.folder / "rec.json").read_text())
    assert recorded_step(recording, "passes", "refuses") == {
        "outcome": "failed",
        "error": {"code": "INVALID_INPUT", "message": "Workflow result must contain either 'result' or 'next' field"},
    }
    (flows / "tested.yaml").write_text(FAILING.replace("/builtin/iterate", "/model/paid"))
    done = stepflow("test", "tests", "--replay", "rec.json")
    assert done.code == 0, str(done)


@pytest.mark.usefixtures("server")
def test_recording_without_inputs_is_refused(stepflow: Stepflow) -> None:
    old = {"stepflow_recording": 1, "flows": {"tests/tested.yaml": {"passes": {"model": {"messages": []}}}}}
    (stepflow.folder / "rec.json").write_text(json.dumps(old))
    for option in ("--replay", "--record"):
        done = stepflow("test", "tests", option, "rec.json")
        assert done.code != 0
        assert "rec.json is a recording without step inputs; record it again with stepflow test --record" in (
            " ".join(done.stderr.split())
        )


MOCKED = """\
steps:
  - {id: model, component: /model/paid, input: {$input: $.who}, onError: {action: retry, maxRetries: 1}}
  - id: each
    component: /builtin/map
    input:
      items: [1, 2]
      workflow: {$literal: {steps: [{id: inner, component: /model/paid, input: {$input: $}}], output: {$step: inner}}}
output: {text: {$step: model}, inner: {$if: {$input: $.inner}, then: {$step: each}}}
test:
  cases:
    - name: output
      input: {who: Bob, inner: null}
      mocks: {model: {outcome: success, result: {a: null}}}
      output: {outcome: success, result: {text: {$equals: {a: null}}}}
    - name: failure
      input: {who: Bob, inner: null}
      mocks: {model: {outcome: failed, error: {code: TIMEOUT, message: slow}}}
      output: {outcome: failed, error: {code: TIMEOUT, message: slow}}
    - name: attempts
      input: {who: Bob, inner: null}
      mocks: {model: [{outcome: failed, error: {code: COMPONENT_FAILED}}, {outcome: success, result: 2}]}
      output: {outcome: success, result: {text: 2}}
    - name: items
      input: {who: Bob, inner: 1}
      mocks:
        model: {outcome: success, result: 1}
        inner: [{outcome: success, result: a}, {outcome: failed, error: {code: TIMEOUT, message: slow}}]
      output:
        outcome: success
        result: {inner: {results: [{outcome: success, result: a}, {error: {code: TIMEOUT, message: slow}}]}}
    - name: misspelt
      input: {who: Bob, inner: null}
      mocks: {modle: {outcome: success, result: 1}}
    - name: no outcome
      input: {who: Bob, inner: null}
      mocks: {model: 5}
    - name: no code
      input: {who: Bob, inner: null}
      mocks: {model: {outcome: failed, error: {code: TIMOUT}}}
"""


@pytest.mark.usefixtures("server")
def test_cases_with_mocks(stepflow: Stepflow, flows: Path) -> None:
    (flows / "mocked.yaml").write_text(MOCKED)
    done = stepflow("test", "tests/mocked.yaml", "--repeat", "2", "-o", "jsonl")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [record["verdict"] for record in records] == [*["passed"] * 4, *["error"] * 3] * 2, str(done)
    assert [record["message"] for record in records[4:7]] == [
        "the flow has no step 'modle' to mock (did you mean 'model'?)",
        "test.cases[5].mocks.model: a mock must be an outcome, or a list of outcomes; write {outcome: success, "
        "result: ...} or {outcome: failed, error: {code: ..., message: ...}}",
        "test.cases[6].mocks.model.error.code: unknown error code 'TIMOUT'; did you mean 'TIMEOUT'?",
    ]
    # Mocked steps are not recorded.
    assert stepflow("test", "tests/mocked.yaml", "--case", "output", "--record", "rec.json").code == 0
    assert json.loads((stepflow.folder / "rec.json").read_text())["flows"] == {}


def test_each_configuration_has_its_own_server(stepflow: Stepflow, flows: Path) -> None:
    builtin = 'plugins: {b: {type: builtin}}\nroutes: {"/builtin": [{plugin: b}]}\n'
    (flows / "stepflow-config.test.yml").write_text(builtin)
    inline = (flows / "tested.yaml").read_text().replace("/builtin/", "/other/")
    config = "  config: {plugins: {b: {type: builtin}}, routes: {/other: [{plugin: b}]}}\n"
    (flows / "inline.yaml").write_text(inline.replace("test:\n", f"test:\n{config}"))
    (flows / "named.yaml").write_text(
        (flows / "tested.yaml").read_text().replace("test:\n", "test:\n  configFile: no.yml\n")
    )
    done = stepflow("test", "tests", "--case", "passes", "-o", "jsonl", "--fields", "file,verdict,message")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(each["file"], each["verdict"]) for each in records] == [
        ("tests/inline.yaml", "passed"),
        ("tests/named.yaml", "error"),
        ("tests/tested.yaml", "passed"),
    ]
    assert "tests/no.yml does not exist" in records[1]["message"]
    assert sorted(path.name for path in flows.iterdir()) == [
        "inline.yaml",
        "named.yaml",
        "stepflow-config.test.yml",
        "tested.yaml",
    ]


def test_fail_fast_skips_the_remaining_files(stepflow: Stepflow, flows: Path, server: str) -> None:
    for name in ("a.yaml", "b.yaml"):
        shutil.copy(flows / "tested.yaml", flows / name)
    done = stepflow("test", "tests", "--fail-fast", "--jobs", "1")
    assert "tests/b.yaml: not run\ntests/tested.yaml: not run\n" in done.stdout
    assert "8 skipped after the first failure" in done.stderr


BROKEN = {
    "a-list.yaml": ("steps: []\ntest:\n  - name: x\n", 3, "test must be an object"),
    "a-word.yaml": ("name: b\nsteps: not_a_list\n", 2, "steps must be a list"),
    "case.yaml": ("output: 1\ntest:\n  case: [{name: a}]\n", 3, "did you mean 'cases'?"),
    "no-cases.yaml": ("name: a\nsteps:\n  - {id: a, component: /builtin/noop\n", 3, "is not closed"),
    "no.json": ('{"steps": [,]}', 1, "is not JSON"),
}


@pytest.mark.usefixtures("server")
def test_invalid_file_does_not_affect_others(stepflow: Stepflow, flows: Path) -> None:
    for name, (text, _, _) in BROKEN.items():
        (flows / name).write_text(text)
    (flows / "other.yaml").write_text("jobs:\n  steps: [\n")
    (flows / "fine.yaml").write_text("output: 1\ntest:\n")
    done = stepflow("test", "tests", "--case", "passes", "--junit", "report.xml", "-o", "jsonl")
    assert done.code == 1
    records = [json.loads(line) for line in done.stdout.splitlines()]
    failed = {record["case"]: record for record in records if record["verdict"] == "error"}
    assert [record["verdict"] for record in records if record["file"] == "tests/tested.yaml"] == ["passed"]
    assert failed.keys() == BROKEN.keys()
    for name, (_, line, message) in BROKEN.items():
        assert message in failed[name]["message"]
        assert failed[name]["line"] == line, name
    root = ElementTree.parse(stepflow.folder / "report.xml").getroot()
    assert {suite.get("name"): suite.get("errors") for suite in root if suite.get("errors") != "0"} == {
        f"tests/{name}": "1" for name in BROKEN
    }
    github = stepflow("test", "tests/case.yaml", "-o", "github")
    assert (github.code, github.stdout.split("::")[1]) == (1, "error file=tests/case.yaml,line=3,title=case.yaml")
    # `validate` reports the same files, except for test case errors that do not keep a flow from running.
    names = {f"tests/{name}" for name in BROKEN}
    checked = stepflow("validate", "tests", "--offline", "-o", "json")
    fatal = {record["file"] for record in json.loads(checked.stdout) if record["level"] == "fatal"}
    assert names - fatal == {"tests/case.yaml", "tests/a-list.yaml"}


FAULTY = """\
output: {$input: $}
test:
  cases:
    - {name: good, input: 1, output: {outcome: success, result: 1}}
    - {name: good, input: 2, output: {outcome: success, result: 2}}
    - {name: typo, input: t, output: {outcome: success, result: {$regx: "^t"}}}
    - {name: open, input: t, output: {outcome: success, result: {$regex: "("}}}
    - {name: code, input: t, output: {outcome: failed, error: {code: [1]}}}
    - nothing
    - {name: last, input: {a: 1}, output: {outcome: success, result: {a: 1}}}
"""


@pytest.mark.usefixtures("server")
def test_invalid_case_does_not_affect_others(stepflow: Stepflow, flows: Path) -> None:
    (flows / "faulty.yaml").write_text(FAULTY)
    done = stepflow("test", "tests/faulty.yaml", "-o", "jsonl", "--repeat", "2")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.code == 1
    assert [(record["line"], record["verdict"], record["message"]) for record in records[:7]] == [
        (4, "passed", ""),
        (5, "error", "two test cases are named 'good'"),
        (
            6,
            "error",
            "test.cases[2].output.result: $regx is not a matcher; did you mean $regex?; to expect this object itself, "
            "write {$equals: {...}} around it",
        ),
        (7, "error", records[3]["message"]),
        (8, "error", "test.cases[4].output.error.code: code must be a word or an integer, not a list"),
        (9, "error", "test.cases[5]: a test case must be a mapping, not text"),
        (10, "passed", ""),
    ]
    assert "$regex expects a regular expression" in records[3]["message"]
    assert [(record["attempt"], record["verdict"]) for record in records[7:]] == [
        (2, record["verdict"]) for record in records[:7]
    ]
    # Invalid cases do not prevent an update, and are unchanged by it.
    assert stepflow("test", "tests/faulty.yaml", "--update").code == 1
    assert (flows / "faulty.yaml").read_text() == FAULTY


@pytest.mark.usefixtures("server")
def test_each_case_has_its_own_duration(stepflow: Stepflow, flows: Path) -> None:
    (flows / "sleeps.yaml").write_text(
        "steps: [{id: s, component: /builtin/sleep, input: {duration_ms: {$input: $}}}]\n"
        "output: {$step: s}\n"
        "test: {cases: [{name: long, input: 800}, {name: short, input: 1}]}\n"
    )
    assert stepflow("test", "tests/sleeps.yaml", "--junit", "report.xml").code == 0
    (suite,) = ElementTree.parse(stepflow.folder / "report.xml").getroot()
    seconds = {case.get("name"): float(case.get("time", "")) for case in suite}
    assert seconds["long"] >= 0.7
    assert seconds["short"] < seconds["long"] / 2


RUN_IDS = """\
output: {run_id: {$input: $.id}, inner: [{run_id: {$input: $.id}}], n: {$input: $.n}}
test:
  cases:
    - name: levelled
      input: {id: 0199d3a0-0000-7000-8000-00000000abcd, n: 1}
      output:
        outcome: success
        result: {run_id: 00000000-0000-0000-0000-000000000000, inner: [{run_id: 0199d3a0-0000-7000-8000-000000000001}]}
    - name: no-id
      input: {id: other, n: 1}
      output: {outcome: success, result: {run_id: 00000000-0000-0000-0000-000000000000}}
    - name: new
      input: {id: 0199d3a0-0000-7000-8000-00000000abcd, n: 1}
"""


@pytest.mark.usefixtures("server")
def test_run_ids_are_normalized(stepflow: Stepflow, flows: Path) -> None:
    file = flows / "ids.yaml"
    file.write_text(RUN_IDS)
    done = stepflow("test", "tests/ids.yaml", "-o", "jsonl", "--fields", "case,verdict")
    assert [json.loads(line)["verdict"] for line in done.stdout.splitlines()] == ["passed", "failed", "unchecked"]
    assert stepflow("test", "tests/ids.yaml", "--update").code == 0
    updated = file.read_text()
    assert updated.startswith(RUN_IDS[: RUN_IDS.index("    - name: no-id")])
    assert 'result: {run_id: "other"}' in updated
    assert "abcd" not in updated[updated.index("output:", updated.index("name: new")) :]
    assert updated.count("00000000-0000-0000-0000-000000000000") == 3
    assert stepflow("test", "tests/ids.yaml").code == 0


def test_unreachable_server_is_one_error(stepflow: Stepflow) -> None:
    shutil.copy(FLOWS / "tested.yaml", stepflow.folder)
    done = stepflow("test", "tested.yaml", "--url", "http://127.0.0.1:9")
    assert (done.code, done.stdout) == (4, "")
    assert done.stderr.startswith("stepflow: http://127.0.0.1:9 cannot be reached")
    assert len(done.stderr.splitlines()) == 3

"""`stepflow test` selects test cases and measures their coverage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.command import CommandResult, Stepflow
from tests.cli.golden import Golden

pytestmark = pytest.mark.in_process

FLOW = """\
steps:
  - {id: ask, component: /builtin/noop, input: {$input: $.q}}
  - {id: paid, component: /model/paid, input: {$step: ask}}
output: {$if: {$input: $.paid}, then: {$step: paid}, else: {$step: ask}}
test:
  cases:
    - {name: free, tags: [quick], input: {q: 1, paid: null}, output: {outcome: success, result: 1}}
    - name: paid for
      input: {q: 2, paid: true}
      mocks: {paid: {outcome: success, result: 3}}
      output: {outcome: success, result: 3}
    - {name: wrong, input: {q: 4, paid: false}, output: {outcome: success, result: 5}}
"""


@pytest.fixture(autouse=True)
def flow(stepflow: Stepflow, server: str) -> Path:
    path = stepflow.folder / "asked.yaml"
    path.write_text(FLOW)
    return path


def names(done: CommandResult) -> list[str]:
    return [json.loads(line)["case"] for line in done.stdout.splitlines()]


def selected_cases(stepflow: Stepflow, *options: str) -> list[str]:
    return names(stepflow("test", "asked.yaml", "-o", "jsonl", *options))


def test_select_by_expression_and_by_executed_steps(stepflow: Stepflow) -> None:
    assert selected_cases(stepflow, "-k", "paid or quick") == ["free", "paid for"]
    assert selected_cases(stepflow, "-k", "not paid for") == ["free", "wrong"]
    assert selected_cases(stepflow, "--touching", "/model/paid") == ["paid for"]
    assert selected_cases(stepflow, "--touching", "ask", "--tag", "quick") == ["free"]
    assert selected_cases(stepflow, "--touching", "paid", "--touching", "/builtin/noop") == [
        "free",
        "paid for",
        "wrong",
    ]


def test_empty_selections(stepflow: Stepflow, golden: Golden) -> None:
    (stepflow.folder / "bare.yaml").write_text("output: 1\n")
    golden(
        stepflow("test", "asked.yaml", "-k", "nobody"),
        stepflow("test", "asked.yaml", "-k", "free and"),
        stepflow("test", "asked.yaml", "--touching", "/model/piad"),
        stepflow("test", "asked.yaml", "--touching", "paid", "--tag", "quick"),
        stepflow("test", "asked.yaml", "bare.yaml", "-k", "free", "--coverage", "-o", "name"),
        stepflow("test", "asked.yaml", "--tags", "quick"),
        stepflow("test", "asked.yaml", "--format=junit"),
        stepflow("test", "asked.yaml", "--updat"),
        stepflow("test", "asked.yaml", "--tweaks", "{}"),
    )


def test_last_failed(stepflow: Stepflow, flow: Path) -> None:
    everything = ["free", "paid for", "wrong"]
    first = stepflow("test", "asked.yaml", "--last-failed")
    assert "none of these test cases failed in the last run: running all" in first.stderr
    assert selected_cases(stepflow, "--lf") == ["wrong"]
    # A run of other cases keeps the record, as does a selection without failed cases.
    assert selected_cases(stepflow, "-k", "free") == ["free"]
    assert selected_cases(stepflow, "--lf", "-k", "free") == ["free"]
    assert selected_cases(stepflow, "--lf") == ["wrong"]
    # So does a file that can't be read.
    flow.write_text(FLOW + "  - [")
    assert selected_cases(stepflow, "--lf") == ["asked.yaml"]
    flow.write_text(FLOW.replace("result: 5", "result: 4").replace("name: paid for", "name: paid"))
    assert selected_cases(stepflow, "--lf") == ["wrong"]
    assert selected_cases(stepflow, "--lf") == ["free", "paid", "wrong"]
    # Removed cases are dropped from the record.
    flow.write_text(FLOW)
    assert selected_cases(stepflow, "--lf") == everything
    flow.write_text(FLOW.replace("name: wrong", "name: right").replace("result: 5", "result: 4"))
    assert selected_cases(stepflow, "--lf") == ["free", "paid for", "right"]
    record_folder = Path(stepflow.environment["XDG_CACHE_HOME"], "stepflow", "failed-cases")
    assert list(record_folder.iterdir()) == []
    assert sorted(stepflow.folder.glob("*failed*")) == []


@pytest.mark.parametrize("content", ["", "{", "[]", '{"flow": "/other.yaml", "failed": ["free"]}', '{"failed": 5}'])
def test_damaged_record_of_failures_is_ignored(stepflow: Stepflow, content: str) -> None:
    stepflow("test", "asked.yaml")
    (record,) = Path(stepflow.environment["XDG_CACHE_HOME"], "stepflow", "failed-cases").iterdir()
    record.write_text(content)
    assert selected_cases(stepflow, "--lf") == ["free", "paid for", "wrong"]


def test_unwritable_cache_folder_is_ignored(stepflow: Stepflow) -> None:
    (stepflow.home / "file").write_text("")
    for cache in (str(stepflow.home / "file"), "/proc/nothing"):
        done = stepflow("test", "asked.yaml", "--lf", XDG_CACHE_HOME=cache)
        assert (done.code, "3 test cases failed" in done.stderr) == (1, True), str(done)


def test_coverage(stepflow: Stepflow, golden: Golden) -> None:
    (stepflow.folder / "flows").mkdir()
    (stepflow.folder / "flows" / "tested.yaml").write_text("output: 1\ntest: {cases: [{name: a, input: 1}]}\n")
    (stepflow.folder / "flows" / "untested.yaml").write_text(FLOW.partition("test:")[0])
    golden(
        stepflow("test", "flows", "--coverage", "--junit", "report.xml"),
        stepflow("test", "asked.yaml", "--coverage", "-k", "free or wrong"),
        stepflow("test", "asked.yaml", "--coverage", "-k", "not wrong", "-o", "table"),
        stepflow("test", "asked.yaml", "--coverage", "-k", "free", "-o", "github"),
        stepflow("test", "asked.yaml", "--coverage", "-k", "paid", "-o", "jsonl", "--fields", "line,step,state"),
        stepflow("test", "asked.yaml", "-k", "free", "--fail-under", "50"),
        stepflow("test", "asked.yaml", "-k", "free", "--fail-under", "50.1", "-q"),
        stepflow("test", "asked.yaml", "-k", "not wrong", "--fail-under", "100", "-o", "name"),
    )
    assert "untested" not in (stepflow.folder / "report.xml").read_text()


def test_update_writes_no_matchers_for_constant_ids(stepflow: Stepflow) -> None:
    order, other = "0199d3a0-0000-7000-8000-00000000abcd", "1199d3a0-0000-7000-8000-00000000abcd"
    file = stepflow.folder / "noise.yaml"
    file.write_text(
        "steps:\n- {id: blob, component: /builtin/put_blob, input: {data: {$input: $}, blob_type: data}}\n"
        f"- {{id: made, component: /builtin/noop, input: {{id: {order}, of: {{$input: $.of}}}}}}\n"
        "output: {blob: {$step: blob}, made: {$step: made}}\n"
        f"test: {{cases: [{{name: new, input: {{of: {other}}}}}]}}\n"
    )
    assert stepflow("test", "noise.yaml", "--update").code == 0
    # All values are the same in each run: the IDs are in the flow and the input, and the blob's depends on the input.
    assert "$regex" not in file.read_text()
    assert stepflow("test", "noise.yaml").code == 0


def test_update_reports_cases_that_now_expect_a_failure(stepflow: Stepflow, flow: Path) -> None:
    flow.write_text(FLOW.replace("{$input: $.q}", "{$input: $.none}"))
    done = stepflow("test", "asked.yaml", "--update")
    assert done.code == 0
    cases = "free (which now expects a failure), wrong (which now expects a failure)\n"
    assert f"updated asked.yaml: {cases}" in done.stderr
    assert stepflow("test", "asked.yaml").code == 0
    # These cases expected a failure before.
    flow.write_text(flow.read_text().replace("Input path $.none", "Another path"))
    assert "updated asked.yaml: free, wrong\n" in stepflow("test", "asked.yaml", "--update").stderr

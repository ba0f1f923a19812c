"""Gates have the same outcomes in JUnit, the page, the table and the exit code."""

from __future__ import annotations

import itertools
from contextlib import nullcontext
from typing import Any
from xml.etree import ElementTree

import pytest
from stepflow_cli.errors import Problem
from stepflow_cli.evaluations.report import format_gates_table, raise_failed_gates
from stepflow_cli.output.printing import Output
from stepflow_client.evaluation import EvaluationItem, EvaluationReport
from stepflow_client.evaluation.gates import GateRules, Limit, evaluate_gates

RIGHT, COST, LENGTH = "exact", "cost", "length"


def report(right: int, *, of: int = 40, cost: float = 2.0, failed: int = 0, variant: str = "flow") -> EvaluationReport:
    """Return a report of one variant with `right` correct cases and `failed` failed items."""
    items = [
        EvaluationItem(
            case=str(case),
            variant=variant,
            scores={} if case < failed else {RIGHT: case < right, COST: cost + case % 3, LENGTH: "long"},
            status="failed" if case < failed else "completed",
            error="broken" if case < failed else None,
            duration=float(case % 5),
            run_id=f"run-{case}",
        )
        for case in range(of)
    ]
    return EvaluationReport(items, name="e", lower_is_better=[COST])


def compared_report(right: int, before: int = 30, **fields: Any) -> EvaluationReport:
    return report(right, **fields).with_baseline(report(before, of=fields.get("of", 40)))


SITUATIONS: dict[str, tuple[EvaluationReport, GateRules, list[str]]] = {
    "no limits": (report(30), GateRules(), []),
    "all failed": (report(0, failed=40), GateRules(), ["all items of flow failed"]),
    "none ended": (EvaluationReport([], variants=["flow"]), GateRules(), ["no item of flow has ended"]),
    "one failed": (report(30, failed=1), GateRules(), []),
    "above the limit": (report(30), GateRules([Limit(RIGHT, 0.7)]), []),
    "at the limit": (report(30), GateRules([Limit(RIGHT, 0.75)]), []),
    "below the limit": (report(30), GateRules([Limit(RIGHT, 0.76)]), ["exact of flow is 0.75, below 0.76"]),
    "cheap": (report(30), GateRules([Limit(COST, 3)]), []),
    "expensive": (report(30), GateRules([Limit(COST, 2.5)]), ["cost of flow is 2.975, above 2.5"]),
    "few failed": (report(30, failed=1), GateRules([Limit("failed", 0.03)]), []),
    "more failed": (report(30, failed=2), GateRules([Limit("failed", 0.03)]), ["failed of flow is 0.05, above 0.03"]),
    "a missing score": (report(30), GateRules([Limit("other", 1)]), ["flow has no other"]),
    "two limits": (
        report(30),
        GateRules([Limit(RIGHT, 0.9), Limit(COST, 1)]),
        ["exact of flow is 0.75, below 0.9", "cost of flow is 2.975, above 1"],
    ),
    "a limit of another variant": (report(30), GateRules([Limit(RIGHT, 0.9, "other")]), []),
    "a limit of this variant": (
        report(30),
        GateRules([Limit(RIGHT, 0.9, "flow")]),
        ["exact of flow is 0.75, below 0.9"],
    ),
    "a limit, but none ended": (
        EvaluationReport([], variants=["flow"]),
        GateRules([Limit(RIGHT, 0.9)]),
        ["no item of flow has ended", "flow has no exact"],
    ),
    "as good": (compared_report(30), GateRules(), []),
    "better": (compared_report(40, 10), GateRules(), []),
    "worse": (compared_report(10), GateRules(), ["exact of flow is worse than baseline: 0.75 -> 0.25"]),
    "worse within the tolerance": (compared_report(10), GateRules((), [Limit(RIGHT, 0.9)]), []),
    "worse by more": (
        compared_report(10),
        GateRules((), [Limit(RIGHT, 0.1)]),
        ["exact of flow is worse than baseline by more than 0.1: 0.75 -> 0.25"],
    ),
    "a tolerance of all scores": (compared_report(10), GateRules((), [Limit(None, 0.9)]), []),
    "the last tolerance": (
        compared_report(10),
        GateRules((), [Limit(None, 0.9), Limit(RIGHT, 0.0, "flow")]),
        ["exact of flow is worse than baseline: 0.75 -> 0.25"],
    ),
    "a tolerance of another variant": (
        compared_report(10),
        GateRules((), [Limit(None, 0.9, "other")]),
        ["exact of flow is worse than baseline: 0.75 -> 0.25"],
    ),
    "perhaps worse": (compared_report(28), GateRules(), []),
    "perhaps worse, strictly": (compared_report(28), GateRules(strict=True), ["may be worse"] * 2),
    "as good, strictly": (compared_report(30), GateRules(strict=True), ["may be worse"] * 2),
    "as good with a tolerance, strictly": (compared_report(30), GateRules((), [Limit(None, 0.2)], strict=True), []),
    "more expensive": (
        compared_report(30, cost=4.0),
        GateRules(),
        ["cost of flow is worse than baseline: 2.975 -> 4.975"],
    ),
    "cheaper": (compared_report(30, cost=1.0), GateRules(), []),
    "many failed": (
        compared_report(30, failed=20),
        GateRules(),
        ["exact of flow is worse than baseline: 0.75 -> 0.25", "failed of flow is worse than baseline: 0 -> 0.5"],
    ),
    "too few cases": (compared_report(0, of=4), GateRules(), []),
    "too few cases, strictly": (
        compared_report(0, of=4),
        GateRules(strict=True),
        ["too few cases for an interval"] * 3,
    ),
    "nothing to compare": (
        EvaluationReport([], variants=["a"]),
        GateRules(),
        ["no item of a has ended"],
    ),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_all_outputs_agree_on_the_gates(situation: str) -> None:
    evaluation, gate_rules, failures = SITUATIONS[situation]
    gates = list(evaluate_gates(evaluation, gate_rules))
    failed = [each for each in gates if each.outcome == "failed"]
    assert len(failed) == len(failures), failed
    for each, message in zip(failed, failures, strict=True):
        assert message in each.message
    with pytest.raises(Problem) if failures else nullcontext() as caught:
        raise_failed_gates(gates)
    if caught is not None:
        assert caught.value.exit_code == 1
        assert caught.value.message == "; ".join(each.message for each in failed)
    suites = ElementTree.fromstring(evaluation.to_junit(gates=gates).partition("\n")[2])
    cases = {each.attrib["name"]: each for each in suites.iter("testcase")}
    assert list(cases) == [each.condition for each in gates]
    marks = {"failed": "failure", "inconclusive": "skipped", "passed": "system-out"}
    for each in gates:
        assert [child.tag for child in cases[each.condition]] == [marks[each.outcome]]
    assert sum(int(suite.attrib["failures"]) for suite in suites) == len(failures)
    table = format_gates_table(gates, Output()).splitlines()
    # Without limits, only the gate on completed items remains, and there is no table.
    assert len(table) == (len(gates) + 2 if len(gates) > len(evaluation.variants) else 0)
    for line, each in zip(table[2:], gates, strict=bool(table)):
        assert line.split("  ")[0] == each.condition
        assert f"  {each.outcome} " in line
    page = evaluation.to_html(gates=gates)
    gates_section = page.partition("<h2>Gates")[2].partition("<h2>")[0]
    assert gates_section.count('<b class="status failed">failed</b>') == len(failures)
    for each in gates:
        assert each.message.replace(">", "&gt;") in page


def test_there_are_enough_situations() -> None:
    assert len(SITUATIONS) >= 30


def test_an_inconclusive_gate_says_how_many_cases_decide_it() -> None:
    (gate,) = [each for each in evaluate_gates(compared_report(28), GateRules()) if each.outcome == "inconclusive"]
    assert gate.condition == "exact of flow is not worse than baseline"
    count = int(gate.message.partition("about ")[2].split()[0].replace(",", ""))
    assert gate.message.endswith("cases would decide it")
    enlarged = EvaluationReport(
        EvaluationItem(case=f"{each.case} {copy}", variant="flow", scores=each.scores, run_id=f"{copy} {each.run_id}")
        for copy, each in itertools.product(range(-(-count // 40)), report(28))
    )
    before = EvaluationReport(
        EvaluationItem(case=f"{each.case} {copy}", variant="flow", scores=each.scores, run_id=f"{copy} {each.run_id}")
        for copy, each in itertools.product(range(-(-count // 40)), report(30))
    )
    outcomes = {each.condition: each.outcome for each in enlarged.with_baseline(before).gates()}
    assert outcomes[gate.condition] == "failed"


def test_verdicts_of_several_scores_are_corrected() -> None:
    """Seven of forty cases are enough with one score, but not with twenty."""

    def two_variants(count: int) -> EvaluationReport:
        return EvaluationReport(
            EvaluationItem(
                case=str(case),
                variant=variant,
                scores={"a": case >= 7 * (variant == "v2")}
                | {f"s{number}": (case * 7 + number * (variant == "v2")) % 3 == 0 for number in range(count)},
            )
            for variant in ("v1", "v2")
            for case in range(40)
        )

    one_score, many_scores = two_variants(0), two_variants(19)
    assert (one_score.compare("v1", "v2")["a"].verdict, many_scores.compare("v1", "v2")["a"].verdict) == (
        "worse",
        "unclear",
    )
    assert (many_scores.compare("v1", "v2")["a"].high or 0) < 0
    assert "Holm" not in str(one_score.summary())
    assert "Verdicts are corrected for 20 scores (Holm)." in str(many_scores.summary())

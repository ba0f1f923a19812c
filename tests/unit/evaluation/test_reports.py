"""Evaluation reports: means, comparisons, regressions and exports."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest
from stepflow_client import InvalidArgumentError, StepflowClientError
from stepflow_client._data.secrets import Secrets
from stepflow_client.evaluation import EvaluationItem, EvaluationReport
from stepflow_client.evaluation.report_text import format_number

from tests.unit.evaluation.planted import item, planted


def report(items: Iterable[EvaluationItem], **options: Any) -> EvaluationReport:
    return EvaluationReport(list(items), **options)


def rows(score: str, **values: list[Any]) -> list[EvaluationItem]:
    """Return an item for each value of each variant, case by case."""
    return [
        item(case, variant, {} if each is None else {score: each})
        for variant, results in values.items()
        for case, each in enumerate(results)
    ]


def failed(case: Any, variant: str) -> EvaluationItem:
    return item(case, variant, {}, status="failed", error="no <model>")


PLANTED = EvaluationReport(planted(1), name="ticket")


def test_planted_changes_are_detected() -> None:
    verdicts = {each.after: each["right"].verdict for each in PLANTED.summary().comparisons}
    assert verdicts == {"better": "better", "equal": "unclear", "slow": "unclear"}
    times = {each.after: each.duration.verdict for each in PLANTED.summary().comparisons if each.duration is not None}
    assert times == {"better": "unclear", "equal": "unclear", "slow": "worse"}


def test_the_summary_is_a_table() -> None:
    lines = str(PLANTED.summary()).splitlines()
    assert lines[0] == "ticket: 500 cases, 4 variants"
    heads = ["score", "variant", "mean", "95%", "interval", "change", "95%", "interval", "cases"]
    assert lines[2].split() == [*heads, "better", "equal", "worse", "verdict"]
    assert [line.split()[-1] for line in lines[4:7]] == ["better", "unclear", "unclear"]
    assert any(line.lstrip().startswith("slow") and " x1." in line and line.endswith("worse") for line in lines)


def test_numbers_have_digits_for_their_scale() -> None:
    formatted = [format_number(number) for number in (0, 0.8, 1, 12.345, 1234.5, 123456, 0.01234, -0.5, 1e-9)]
    assert formatted == ["0.000", "0.800", "1.000", "12.35", "1,234.5", "123,456", "0.0123", "-0.500", "0.000000"]
    assert format_number(0.00012, signed=True, scale=0.01) == "+0.0001"
    assert format_number(-0.00001, signed=True, scale=0.5) == "0.000"


def test_cases_are_paired_by_their_means_over_repeats() -> None:
    items = [item("a", "one", {"s": 1.0}), item("a", "one", {"s": 0.0}, repeat=1), item("b", "one", {"s": 1.0})]
    items += [item("b", "two", {"s": 3.0}), item("a", "two", {"s": 1.5}), item("c", "two", {"s": 9.0})]
    change = report(items).compare("one", "two")["s"]
    assert (change.cases, change.wins, change.before, change.after, change.change) == (2, 2, 0.75, 2.25, 1.5)
    assert (change.low, change.verdict) == (None, "unclear")


def test_lower_values_can_be_better() -> None:
    items = rows("cost.usd", one=[2.0, 2.1, 2.2] * 5, two=[1.0, 1.2, 1.1] * 5)
    for lower, verdict, wins in ((["cost"], "better", 15), ([], "worse", 0)):
        change = report(items, lower_is_better=lower).compare("one", "two")["cost.usd"]
        assert (change.verdict, change.wins) == (verdict, wins)


def test_labels_are_counted_by_value() -> None:
    change = report(rows("tone", one=["calm"] * 30, two=["calm"] * 10 + ["rude"] * 20)).compare("one", "two")
    assert [(each.score, each.change, each.verdict) for each in change.scores] == [
        ("tone=calm", pytest.approx(-2 / 3), "lower"),
        ("tone=rude", pytest.approx(2 / 3), "higher"),
    ]


def test_labels_beyond_twenty_are_grouped() -> None:
    labelled = report(rows("word", one=[f"word {number}" for number in range(30)]))
    assert len(labelled.scores) == 21
    assert labelled.summary().means[-1].score == "word=(other labels)"
    assert labelled.summary().means[-1].mean == pytest.approx(10 / 30)


def test_failed_items_count_as_wrong_but_have_no_numeric_scores() -> None:
    items = [*rows("right", one=[True] * 6, two=[True] * 4), failed(4, "two"), failed(5, "two")]
    items += [item(case, "one", {"quality": 0.5}, repeat=1) for case in range(6)]
    comparison = report(items).compare("one", "two")
    assert (comparison["right"].cases, comparison["right"].losses, comparison["right"].after) == (
        6,
        2,
        pytest.approx(4 / 6),
    )
    assert [each.score for each in comparison.scores] == ["right"]
    assert (comparison.failed.after, comparison.failed.losses) == (pytest.approx(2 / 6), 2)
    assert "2 of 6 items of two failed: no <model>" in str(report(items).summary())


def test_a_failed_case_without_a_score_in_other_variants_is_not_wrong() -> None:
    items = [
        *rows("right", one=[True, None, None, True], two=[True]),
        item(1, "two", {}),
        failed(2, "two"),
        failed(3, "two"),
    ]
    change = report(items).compare("one", "two")["right"]
    assert (change.cases, change.losses) == (2, 1)


def test_the_summary_mentions_omitted_cases_and_errors() -> None:
    items = rows("s", one=[1.0] * 9 + [None], two=[1.0] * 10)
    items[-1] = item(
        9,
        "two",
        {},
    )
    items.append(EvaluationItem(case="0", variant="two", repeat=1, score_errors={"judge": "ValueError: no"}))
    text = str(report(items, remarks=["cases were left out"]).summary())
    assert "Only 10 cases: the intervals are wide" in text
    assert "9 of 10 cases have s in both one and two" in text
    assert "judge failed for some items (1 of two): ValueError: no" in text
    assert "cases were left out" in text


def test_assert_no_regression() -> None:
    good = PLANTED.assert_no_regression("now", "better", "right")
    assert good.verdict == "better"
    PLANTED.assert_no_regression("now", "equal", "right")
    PLANTED.assert_no_regression("now", "equal", "right", tolerance=0.05, strict=True)
    PLANTED.assert_no_regression("better", "now", "right", tolerance=0.2)
    with pytest.raises(
        AssertionError, match=r"right: now is worse than better by more than 0\.01: 0\.8.*\nof 500 cases"
    ):
        PLANTED.assert_no_regression("better", "now", "right", tolerance=0.01)
    with pytest.raises(AssertionError, match="equal may be worse than now"):
        PLANTED.assert_no_regression("now", "equal", "right", strict=True)
    with pytest.raises(AssertionError, match=r"case 1: 1\.000 -> 0\.000, run run-1-two: "):
        report(rows("s", one=[1.0, 1.0] * 20, two=[1.0, 0.0] * 20)).assert_no_regression("one", "two", "s")


def test_failures_and_rising_costs_are_regressions() -> None:
    items = [*rows("cost", one=[1.0] * 30, two=[1.5 + case / 100 for case in range(20)])]
    items += [failed(case, "two") for case in range(20, 30)]
    evaluation = report(items, lower_is_better=["cost"])
    for score in ("cost", "failed"):
        with pytest.raises(AssertionError, match=f"{score}: two is worse than one"):
            evaluation.assert_no_regression("one", "two", score)
        evaluation.assert_no_regression("two", "one", score)


def test_the_worst_cases_name_their_runs() -> None:
    items = rows("s", one=[1.0, 1.0, 0.5, 0.0, 1.0], two=[0.9, 0.2, 0.5, 1.0])
    items += [failed(4, "two"), item(1, "two", {"s": 0.0}, repeat=1, output="bad")]
    worst = report(items).worst()
    assert [(each.case, each.before, each.value) for each in worst] == [
        ("4", 1.0, None),
        ("1", 1.0, 0.1),
        ("0", 1.0, 0.9),
    ]
    assert (worst[1].run_id, worst[1].item.output, worst[1].item.repeat) == ("run-1-two", "bad", 1)
    assert worst[1].compared is not None
    assert worst[1].compared.variant == "one"
    alone = report(items).worst(2, variant="one", score="s")
    assert [(each.case, each.value, each.before) for each in alone] == [("3", 0.0, None), ("2", 0.5, None)]


def test_items_are_flat_rows_of_a_data_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluation = report([item("a", "one", {"s": 1.0, "case": 2.0}, output={"x": 1})])
    row = evaluation.to_dicts(include_outputs=True)[0]
    assert (row["case"], row["s"], row["score.case"], row["output"]) == ("a", 1.0, 2.0, {"x": 1})
    assert "output" not in evaluation.to_dicts()[0]
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=list))
    assert evaluation.to_dataframe() == evaluation.to_dicts()
    for name in ("pandas", "polars"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(StepflowClientError, match="need pandas or polars"):
        evaluation.to_dataframe()


def test_a_report_can_be_written_as_json() -> None:
    data = json.loads(json.dumps(PLANTED.to_dict()))
    assert data["comparisons"][0]["scores"][0]["verdict"] == "better"
    assert data["variants"] == ["now", "better", "equal", "slow"]


def test_junit_has_a_case_for_each_gate() -> None:
    items = [*rows("s", one=[1.0, 0.2]), failed(2, "one\x00"), item(3, "one", {"cost": 9}, duration=0.5)]
    items.append(replace(failed(4, "one\x00"), run_id=None))
    evaluation = report(items, lower_is_better=["cost"])
    suites = ElementTree.fromstring(
        evaluation.to_junit(gates=evaluation.gates({"s": 0.5, "cost": 3})).partition("\n")[2]
    )
    assert [suite.attrib for suite in suites] == [
        {"name": "one", "tests": "3", "failures": "1", "errors": "0", "skipped": "0"},
        {"name": "one·", "tests": "3", "failures": "3", "errors": "0", "skipped": "0"},
    ]
    messages = [each.attrib["message"] for each in suites.iter("failure")]
    assert messages == ["cost of one is 9, above 3", "all items of one· failed", "one· has no s", "one· has no cost"]
    properties = {each.attrib["name"]: each.attrib["value"] for each in suites.iter("property")}
    assert properties["1"] == "s=0.200, run run-1-one"
    assert properties["2"] == "failed: no <model>, run run-2-one·"
    # The input couldn't be sent.
    assert properties["4"] == "failed: no <model>"


@pytest.mark.parametrize(
    "call",
    [
        lambda: PLANTED.compare("now", "other"),
        lambda: PLANTED.worst(score="other"),
        lambda: PLANTED.worst(0),
        lambda: PLANTED.assert_no_regression("now", "better", "other"),
        lambda: PLANTED.assert_no_regression("now", "better", "right", tolerance=-1),
        lambda: PLANTED.gates({"other": 1}),
        lambda: PLANTED.gates({"right": "much"}),  # type: ignore[dict-item]
        lambda: PLANTED.gates(tolerance={"other": 1}),
        lambda: report(rows("s", one=[1.0], two=[None])).assert_no_regression("one", "two", "s"),
    ],
)
def test_unknown_names_and_invalid_values_are_refused(call: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        call()


@pytest.mark.parametrize("variants", [(), ("one",), ("one", "two")])
def test_a_report_without_items_says_so(variants: tuple[str, ...]) -> None:
    empty = report([], variants=variants)
    lines = str(empty.summary()).splitlines()
    assert lines[0] == f"evaluation: 0 cases, {len(variants)} variant{'s' * (len(variants) != 1)}"
    assert lines[-1] == "No items yet: no case has ended."
    assert empty.to_dict()["remarks"] == [lines[-1]]
    assert lines[-1] in empty.to_html()
    assert empty._repr_html_()
    assert empty.worst() == []
    assert "testsuites" in empty.to_junit()


@pytest.mark.parametrize("items", [[], rows("s", one=[1.0] * 9)])
def test_a_variant_without_items_has_an_empty_comparison(items: list[EvaluationItem]) -> None:
    unfinished = report(items, variants=("one", "two"))
    comparison = unfinished.compare("one", "two")
    assert (comparison.scores, comparison.failed, comparison.duration) == ([], None, None)
    assert str(comparison).splitlines()[1:] == []
    (entry,) = unfinished.to_dict()["comparisons"]
    assert (entry["before"], entry["after"], entry["failed"]) == ("one", "two", None)
    assert unfinished.to_html()
    for score in ("s", "failed"):
        with pytest.raises(InvalidArgumentError, match="nothing to compare: no case has ended in both one and two"):
            unfinished.assert_no_regression("one", "two", score)


def test_secrets_are_not_shown() -> None:
    secret = "hunter22"
    items = [item(0, "one", {"s": True}, input={"key": secret}, output=[secret], expected=secret, error=None)]
    items += [item(1, "one", {"s": False}, output=secret), item(2, "one", {}, status="failed", error=f"bad {secret}")]
    items += [item(case, "two", {"s": case > 3}, output=f"{secret}!") for case in range(8)]
    items += [item(case, "one", {"s": True}) for case in range(3, 8)]
    evaluation = report(items)._set_secrets_and_variant_moments(Secrets([secret]), {})
    texts = [evaluation.to_html(), evaluation.to_junit(), str(evaluation.summary()), evaluation._repr_html_()]
    texts += [str(evaluation.to_dicts(include_outputs=True))]
    for text in texts:
        assert secret not in text
    with pytest.raises(AssertionError) as caught:
        evaluation.assert_no_regression("one", "two", "s", strict=True)
    assert secret not in str(caught.value)

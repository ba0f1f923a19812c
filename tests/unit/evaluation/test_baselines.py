"""Reports are compared with a baseline report."""

from __future__ import annotations

import pytest
from stepflow_client import InvalidArgumentError
from stepflow_client.evaluation import EvaluationItem, EvaluationReport


def report(rates: dict[str, float], *, cases: int = 40, first: int = 0, lower: bool = False) -> EvaluationReport:
    """Return a report whose variants are right in the given shares of the cases."""
    items = [
        EvaluationItem(
            case=f"c{number}", variant=variant, input={"n": number}, scores={"right": number < rate * cases}, run_id="r"
        )
        for variant, rate in rates.items()
        for number in range(first, cases)
    ]
    return EvaluationReport(items, name="now", lower_is_better=["right"] if lower else [])


def test_variants_are_compared_with_those_of_the_same_name() -> None:
    combined = report({"a": 0.5, "b": 1.0}).with_baseline(report({"a": 1.0, "b": 0.5}))
    assert combined.variants == ("baseline a", "baseline b", "a", "b")
    assert combined.baselines == {"a": "baseline a", "b": "baseline b"}
    verdicts = {each.after: each["right"].verdict for each in combined.summary().comparisons}
    assert verdicts == {"a": "worse", "b": "better"}
    assert combined.summary().compared_with == "the baseline of each variant"
    assert "Changes are relative to the baseline of each variant" in str(combined.summary())
    assert [each.item.variant for each in combined.worst(3, variant="a")] == ["a"] * 3


def test_other_variants_are_compared_with_the_first_baseline_variant() -> None:
    combined = report({"v2": 0.5}).with_baseline(report({"main": 1.0, "other": 0.1}), name="main branch")
    assert combined.variants == ("main branch", "v2")
    assert combined.compare("main branch", "v2")["right"].before == 1
    assert combined.summary().compared_with == "main branch"


def test_scores_keep_their_direction() -> None:
    combined = report({"a": 0.5}, lower=True).with_baseline(report({"a": 1.0}))
    assert combined.compare("baseline", "a")["right"].verdict == "better"


def test_cases_match_by_name_and_input() -> None:
    earlier = report({"a": 1.0}, first=10)
    changed = [EvaluationItem(case="c39", variant="a", input="another", scores={"right": True})]
    earlier = EvaluationReport([*(each for each in earlier if each.case != "c39"), *changed])
    combined = report({"a": 1.0}).with_baseline(earlier)
    assert combined.compare("baseline", "a")["right"].cases == 29
    assert "11 of 40 cases are left out because the baseline lacks them" in combined.summary().remarks[0]
    assert len(list(combined)) == 40 + 29


def test_incomparable_baselines_are_refused() -> None:
    now = report({"a": 1.0}, cases=5)
    with pytest.raises(InvalidArgumentError, match="none of these cases"):
        now.with_baseline(report({"a": 1.0}, first=5))
    with pytest.raises(InvalidArgumentError, match="without items"):
        now.with_baseline(EvaluationReport([]))
    with pytest.raises(InvalidArgumentError, match="already named 'a'"):
        now.with_baseline(report({"b": 1.0}), name="a")


def test_the_page_compares_each_variant_with_its_baseline() -> None:
    main = report({"a": 1.0, "b": 0.0})
    page = report({"a": 0.0, "b": 1.0}).with_baseline(main, name="main").to_html()
    assert "1.000 → 0.000, 0.000 → 1.000" in page
    assert 'class="values worse"' in page
    assert 'data-worse="1"' in page
    # Variant b is as bad as its own baseline, which is no regression.
    same = report({"a": 1.0, "b": 0.0}).with_baseline(main, name="main").to_html()
    assert 'data-worse="1"' not in same
    assert 'class="values worse"' not in same
    better = report({"a": 1.0, "b": 1.0}).with_baseline(main, name="main").to_html()
    assert 'class="values better"' in better

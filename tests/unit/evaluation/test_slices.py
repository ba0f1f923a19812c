"""Scores are sliced by the metadata, tags and input fields of cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from stepflow_client import InvalidArgumentError, JournalError
from stepflow_client.evaluation import EvaluationCase, EvaluationItem, EvaluationReport, usage
from stepflow_client.evaluation.records import resolve_cases
from stepflow_client.evaluation.store import EvaluationStore

FLOW: dict[str, Any] = {"steps": []}


def report(languages: int = 3) -> EvaluationReport:
    """Return a report in which the second variant is worse in the first language only."""
    items = []
    for case in range(40 * languages):
        for variant in ("now", "new"):
            is_right = case % 5 > 0 and not (variant == "new" and case % languages == 0)
            items.append(
                EvaluationItem(
                    case=str(case),
                    variant=variant,
                    input={"user": {"plan": "free" if case % 2 else "paid"}},
                    metadata={"language": f"L{case % languages}"},
                    tags=("long", "odd") if case % 2 else ("long",),
                    output={"usage": {"input_tokens": 2, "output_tokens": 3}, "cost": 0.5},
                    scores={"right": is_right},
                )
            )
    return EvaluationReport(items)


def test_a_variant_that_is_worse_in_one_slice_only() -> None:
    slices = {each.value: each for each in report().slice_scores("language") if each.variant == "new"}
    assert {value: each.verdict for value, each in slices.items()} == {"L0": "worse", "L1": "equal", "L2": "equal"}
    assert (slices["L0"].cases, slices["L0"].mean, slices["L0"].change) == (40, 0.0, -0.8)
    iterator: Any = iter(report().slice_scores("language"))
    page = report().to_html(slices=iterator).partition("<h2>Slices")[2].partition("<h2>")[0]
    assert page.count("<tr") == 1 + 2 * 3
    assert page.count('<b class="status failed">worse</b>') == 1


def test_cases_are_sliced_by_tags_and_by_fields_of_the_input() -> None:
    evaluation = report()
    assert {value: len(each.cases) for value, each in evaluation.slices("tags").items()} == {"long": 120, "odd": 60}
    assert {value: len(each.cases) for value, each in evaluation.slices("user.plan").items()} == {
        "free": 60,
        "paid": 60,
    }
    assert evaluation.slices("language")["L0"].compare("now", "new")["right"].verdict == "worse"
    for field in ("nothing", "user.nothing"):
        with pytest.raises(InvalidArgumentError, match="no case has the field"):
            evaluation.slices(field)
    with pytest.raises(InvalidArgumentError, match="path"):
        evaluation.slices("a[")


def test_rows_have_tags_metadata_tokens_and_cost() -> None:
    row = report().to_dicts()[2]
    assert (row["tags"], row["metadata.language"], row["tokens"], row["cost"]) == (["long", "odd"], "L1", 5, 0.5)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ({"usage": {"total_tokens": 7, "prompt_tokens": 1, "completion_tokens": 1}}, {"tokens": 7}),
        ({"usage": {"prompt_tokens": 1, "completion_tokens": 2, "cost": 0.1}}, {"tokens": 3, "cost": 0.1}),
        ({"tokens": 4, "total_cost": 2}, {"tokens": 4, "cost": 2}),
        ({"usage": "much", "cost": "high"}, {}),
        ("text", {}),
    ],
)
def test_tokens_and_costs_are_a_score(output: Any, expected: dict[str, float]) -> None:
    assert usage()(None, output, None) == expected
    assert usage("deep")(None, {"deep": output}, None) == expected


def test_metadata_and_tags_are_stored(tmp_path: Path) -> None:
    rows = [
        {"name": "a", "input": {"n": 1}, "metadata": {"language": "German"}, "tags": ["x"]},
        {"input": {"n": 2}, "expected": 2},
    ]
    cases = list(resolve_cases(rows, FLOW, FLOW, "expected"))
    assert cases[0] == EvaluationCase("a", {"n": 1}, None, {"language": "German"}, ("x",))
    with EvaluationStore(tmp_path, is_new=True) as store:
        assert store.store_or_check_settings(cases, 1, {"a": ""}) == 2
        assert list(store.iter_cases()) == [cases[0], EvaluationCase("1", {"n": 2}, 2)]
    for wrong in ({"metadata": 3}, {"tags": [3]}):
        with pytest.raises(InvalidArgumentError):
            list(resolve_cases([{"input": 1, **wrong}], FLOW, FLOW, "expected"))


def test_new_cases_are_added_after_existing_ones(tmp_path: Path) -> None:
    existing = [EvaluationCase(str(number), {"n": number, "x": 1.0}, None, {"k": number}) for number in range(300)]
    new = [EvaluationCase(f"new {number}", number) for number in range(10)]
    with EvaluationStore(tmp_path, is_new=True) as store:
        store.store_or_check_settings(existing, 1, {"a": ""})
        assert store.store_or_check_settings([*new[:5], *existing[::-1], *new[5:]], 1, {"a": ""}) == 310
        assert list(store.iter_cases()) == [*existing, *new]
        assert store.store_or_check_settings([*existing, *new], 1, {"a": ""}) == 310
        for fewer in (existing, [*existing[1:], *new], [*existing, *new[1:], EvaluationCase("new 0", 99)]):
            with pytest.raises(JournalError, match="different cases"):
                store.store_or_check_settings(fewer, 1, {"a": ""})
        assert len(list(store.iter_cases())) == 310

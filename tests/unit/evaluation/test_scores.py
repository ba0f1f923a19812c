"""Scores can be built-in, functions, flows or evaluators of pydantic-evals."""

from __future__ import annotations

import asyncio
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from stepflow_client import ExecutionStatus, FlowResult, InvalidArgumentError
from stepflow_client.evaluation import (
    EvaluationItem,
    FlowScore,
    close,
    contains,
    exact,
    json_distance,
    latency,
    output_field,
    regex,
    schema_valid,
)
from stepflow_client.evaluation.scorer_calls import build_scorers, sync_run_score_call


def item(output: Any, expected: Any = None, **fields: Any) -> EvaluationItem:
    return EvaluationItem(case="c", variant="v", input={"text": "hello"}, output=output, expected=expected, **fields)


def compute(score: Any, output: Any, expected: Any = None, **fields: Any) -> tuple[dict[str, Any], dict[str, str]]:
    (scorer,) = build_scorers([score])
    return asyncio.run(scorer.compute_scores(item(output, expected, **fields)))


def compute_value(score: Any, output: Any, expected: Any = None, **fields: Any) -> Any:
    scores, failed = compute(score, output, expected, **fields)
    assert not failed
    return next(iter(scores.values())) if scores else None


@pytest.mark.parametrize(
    ("score", "output", "expected", "result"),
    [
        (exact(), {"a": 1}, {"a": 1.0}, True),
        (exact(), True, 1, False),
        (exact("category"), {"category": "x", "more": 1}, {"category": "x"}, True),
        (exact("category"), {"category": "x"}, "x", True),
        (exact("category"), {"other": "x"}, "x", False),
        (exact("category"), "no object", "x", False),
        (exact("a.b[1]"), {"a": {"b": [0, 5]}}, {"a": {"b": [9, 5]}}, True),
        (exact("category"), {"category": "x"}, None, None),
        (exact("category"), {"category": "x"}, {"other": 1}, None),
        (exact(), {"a": ["tea"], "b": 1}, {"a": [{"$regex": "^t"}], "b": 1}, True),
        (exact(), {"a": ["tea"], "b": 1}, {"a": [{"$regex": "^t"}]}, False),
        (exact("a"), {"a": {"$any": True}}, {"a": {"$equals": {"$any": True}}}, True),
        (exact("a"), {}, {"a": {"$any": True}}, False),
        (contains("reply"), {"reply": "a Refund of 3"}, "Refund", True),
        (contains("reply", "refund"), {"reply": "a Refund of 3"}, None, False),
        (contains("reply", "refund", ignore_case=True), {"reply": "a Refund of 3"}, None, True),
        (contains("tags", "b"), {"tags": ["a", "b"]}, None, True),
        (contains("tags"), {"tags": ["a", 3]}, {"tags": 3}, True),
        (contains("reply"), {}, "x", False),
        (regex("^[0-9]+$", "id"), {"id": "123"}, None, True),
        (regex("^[0-9]+$", "id"), {"id": 123}, None, False),
        (close("price", absolute=0.5), {"price": 10.4}, {"price": 10}, True),
        (close("price", relative=0.01), {"price": 10.4}, {"price": 10}, False),
        (close("price", relative=0.05), {"price": 10.4}, "10", True),
        (close("price", absolute=1), {"price": "10"}, 10, False),
        (close("price", absolute=1), {"price": 1}, None, None),
        (schema_valid({"type": "object", "required": ["a"]}), {"a": 1}, None, True),
        (schema_valid({"type": "object", "required": ["a"]}), {"b": 1}, None, False),
        (schema_valid({"type": "integer"}, "n"), {}, None, False),
        (output_field("usage.cost"), {"usage": {"cost": 0.25}}, None, 0.25),
        (output_field("label"), {"label": "spam"}, None, "spam"),
        (json_distance(), {"a": 1, "b": [1, 2]}, {"a": 1, "b": [1, 2]}, 0.0),
        (json_distance(), {"a": 1, "b": 2}, {"a": 1}, 0.5),
        (json_distance(), [1, 2, 3, 4], [1, 2], 0.5),
        (json_distance(), {"n": 5}, {"n": 10}, 0.5),
        (json_distance(), "x", {"a": 1, "b": 2}, 1.0),
        (json_distance(), {"a": {}}, {"a": {}}, 0.0),
        (json_distance(), {"a": "tea", "b": 2}, {"a": {"$regex": "^t"}, "b": 1}, 0.25),
        (json_distance(), {"a": "tea"}, {"a": {"$type": "number"}}, 1.0),
        (json_distance("s"), {"s": "abcd"}, "abef", 0.5),
    ],
)
def test_built_in_scores(score: Any, output: Any, expected: Any, result: Any) -> None:
    actual = compute_value(score, output, expected)
    assert actual == result
    assert type(actual) is type(result)


def test_long_texts_are_compared_by_words() -> None:
    words = " ".join(f"word{number}" for number in range(3_000))
    assert compute_value(json_distance(), words, words.replace("word7 ", "")) < 0.001


def test_the_latency_of_an_item_is_a_score() -> None:
    assert compute_value(latency(), 1, duration=0.25) == 0.25
    assert compute_value(latency(), 1) is None


def test_scores_are_named_after_their_arguments() -> None:
    scores = [exact(), exact("category"), exact("a[0].b"), regex("x", "id"), output_field("usage.cost", name="cost")]
    assert [each.name for each in build_scorers(scores)] == [
        "exact",
        "exact.category",
        "exact.a[0].b",
        "regex.id",
        "cost",
    ]


def test_lower_is_better_for_times_distances_and_marked_scores() -> None:
    def toxic(output: Any) -> float:
        return 1.0

    toxic.lower_is_better = True  # type: ignore[attr-defined]
    scores = [latency(), json_distance(), output_field("cost", lower_is_better=True), toxic, exact()]
    assert [each.lower_is_better for each in build_scorers(scores)] == [True, True, True, True, False]


@pytest.mark.parametrize(
    "make",
    [
        lambda: exact("a[b"),
        lambda: exact(3),  # type: ignore[arg-type]
        lambda: contains("a", ""),
        lambda: regex("("),
        lambda: close("a"),
        lambda: close("a", absolute=-1),
        lambda: close("a", relative=math.inf),
        lambda: schema_valid("schema.json"),
        lambda: output_field(""),
        lambda: build_scorers([exact]),
        lambda: build_scorers(["exact"]),
        lambda: build_scorers("exact"),
        lambda: build_scorers(None),
        lambda: build_scorers([exact("a"), exact("a")]),
        lambda: build_scorers({"": exact()}),
        lambda: build_scorers([lambda: 1]),
        lambda: build_scorers([lambda first, second: 1]),
    ],
)
def test_invalid_scores_are_refused(make: Any) -> None:
    with pytest.raises(InvalidArgumentError):
        make()


def test_a_function_receives_the_arguments_that_its_parameters_name() -> None:
    def polite(output: Any) -> Any:
        return output

    def all_three(input: Any, output: Any, expected: Any) -> Any:
        return f"{input['text']} {output} {expected}"

    def some(expected: Any, *, item: EvaluationItem, threshold: float = 0.5) -> Any:
        return f"{expected} {item.case} {threshold}"

    def other_names(question: Any, answer: Any, truth: Any) -> Any:
        return f"{question['text']} {answer} {truth}"

    def of_any(*values: Any) -> Any:
        return len(values)

    expectations = {polite: "o", all_three: "hello o e", some: "e c 0.5", other_names: "hello o e", of_any: 3.0}
    for function, result in expectations.items():
        assert compute_value(function, "o", "e") == result
    assert compute_value(lambda anything: anything, "o") == "o"
    assert compute_value(len, "four") == 4.0
    assert compute_value(partial(some, threshold=1), "o", "e") == "e c 1"


def test_score_values_are_converted() -> None:
    class Scalar:
        def item(self) -> float:
            return 0.5

    returned = [(1, 1.0), (True, True), ("label", "label"), (Decimal("0.5"), 0.5), (Scalar(), 0.5)]
    for raw, result in returned:
        actual = compute_value(lambda output, raw=raw: raw, 1)
        assert actual == result
        assert type(actual) is type(result)
    assert compute(lambda output: None, 1) == ({}, {})
    assert compute(lambda output: {"a": 1, "b": None, "c": "x"}, 1)[0] == {"score1.a": 1.0, "score1.c": "x"}


@pytest.mark.parametrize(
    "wrong", [[1], object(), math.nan, math.inf, 10**400, "x" * 101, {"a": [1]}, "\ud800", {"\ud800": 1}]
)
def test_an_invalid_value_is_an_error_of_the_score(wrong: Any) -> None:
    scores, failed = compute(lambda output: wrong, 1)
    assert not scores
    assert list(failed) == ["score1"]


def test_an_exception_is_an_error_of_the_score() -> None:
    def judge(output: Any) -> float:
        raise KeyError("no verdict")

    assert compute(judge, 1) == ({}, {"judge": "KeyError: 'no verdict'"})
    assert compute(output_field("cost"), {"price": 1})[1] == {
        "cost": 'LookupError: the output has no $.cost: {"price": 1}'
    }


def test_lone_surrogates_in_messages_are_escaped() -> None:
    def judge(output: Any) -> float:
        raise ValueError("half a pair: \ud800")

    assert compute(judge, 1) == ({}, {"judge": "ValueError: half a pair: \\ud800"})


def test_an_output_that_does_not_match_the_schema_of_a_judge_is_an_error_of_the_score() -> None:
    schema = {"type": "object", "properties": {"output": {"type": "string"}}}
    judge = FlowScore({"name": "judge", "schemas": {"properties": {"input": schema}}, "steps": []})
    message = "the input does not match the flow's schema: the schema expects string, not integer (at $.output)"
    assert compute(judge, 1) == ({}, {"judge": message})


def test_a_judge_can_check_a_large_input_in_sync_evaluations() -> None:
    schema = {"properties": {"output": {"items": {"properties": {"a": {"type": "integer"}}}}}}
    judge = FlowScore({"name": "judge", "schemas": {"properties": {"input": schema}}, "steps": []})
    long = [{"a": number} for number in range(100_000)]
    client = SimpleNamespace(run=lambda *_, **__: FlowResult(status=ExecutionStatus.COMPLETED, output=0.5))
    (scorer,) = build_scorers([judge])
    results = []

    async def score() -> None:
        results.append(await scorer.compute_scores(item(long), client))

    with ThreadPoolExecutor(1) as threads:
        sync_run_score_call(scorer, score, threads)
    assert results == [({"judge": 0.5}, {})]


def test_coroutine_functions_are_scores() -> None:
    async def judge(output: Any) -> float:
        await asyncio.sleep(0)
        return 0.5

    class Judge:
        async def __call__(self, output: Any) -> float:
            return 0.25

    assert compute_value(judge, 1) == 0.5
    assert compute_value(Judge(), 1) == 0.25
    scores = {"a": judge, "b": Judge(), "c": partial(judge), "d": exact()}
    assert [each.is_async for each in build_scorers(scores)] == [True, True, True, False]
    assert [each.name for each in build_scorers([judge, Judge()])] == ["judge", "Judge"]


def test_a_mapping_names_the_scores() -> None:
    scorers = build_scorers({"first": exact("a"), "second": exact("a")})
    assert [each.name for each in scorers] == ["first", "second"]
    assert scorers[0].key != scorers[1].key


@dataclass
class Reason:
    """Like `EvaluationReason` of pydantic-evals."""

    value: Any
    reason: str | None = None


@dataclass
class Polite:
    """Like an `Evaluator` of pydantic-evals."""

    threshold: float = 0.5

    def get_default_evaluation_name(self) -> str:
        return type(self).__name__

    def get_evaluator_version(self) -> str | None:
        return None

    async def evaluate_async(self, ctx: Any) -> Any:
        return self.evaluate(ctx)

    def evaluate(self, ctx: Any) -> Any:
        return {
            "whole": Reason(
                [ctx.name, ctx.inputs, ctx.expected_output, ctx.output] == ["c", {"text": "hello"}, "e", "o"]
            ),
            "time": ctx.duration,
            "nothing": len(ctx.attributes) + len(ctx.metrics) + (ctx.metadata is not None),
            "threshold": self.threshold,
        }


def test_an_evaluator_of_pydantic_evals_is_a_score() -> None:
    scores, failed = compute(Polite(), "o", "e", duration=0.5)
    assert not failed
    assert scores == {"Polite.whole": True, "Polite.time": 0.5, "Polite.nothing": 0.0, "Polite.threshold": 0.5}
    assert "does not report the times of steps" in compute(Polite(), "o", "e")[1]["Polite"]
    assert (
        build_scorers([Polite(0.5)])[0].key
        == build_scorers([Polite(0.5)])[0].key
        != build_scorers([Polite(0.6)])[0].key
    )


def test_the_key_of_a_score_depends_on_its_version_and_arguments() -> None:
    def judge(output: Any) -> int:
        return 1

    def key(score: Any) -> str:
        return build_scorers({"score": score})[0].key

    scores = [exact(), exact("a"), contains("a"), contains("a", "x"), regex("x", "a"), regex("y", "a")]
    scores += [schema_valid({"type": "string"}), schema_valid({"type": "number"}), judge]
    assert len({key(each) for each in scores}) == len(scores)
    assert key(exact("a")) == key(exact("a"))
    before, judge.version = key(judge), "2"  # type: ignore[attr-defined]
    assert key(judge) != before


def test_only_user_defined_scores_have_a_source() -> None:
    def judge(output: Any) -> int:
        return 1

    def other(output: Any) -> int:
        return 2

    sources = [
        each.source for each in build_scorers({"a": judge, "b": partial(judge), "c": other, "d": exact(), "e": len})
    ]
    assert sources[0] == sources[1] != sources[2]
    assert all(sources[:3])
    assert sources[3:] == ["", ""]

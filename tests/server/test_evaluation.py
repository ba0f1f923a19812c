"""Evaluations on a real server: variants, scores, resumption, labels and past runs. The worker counts executions."""

from __future__ import annotations

import asyncio
import inspect
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from stepflow_client import (
    InvalidArgumentError,
    JournalError,
    StepflowClient,
    SyncStepflowClient,
)
from stepflow_client.evaluation import (
    EvaluationCase,
    EvaluationReport,
    FlowScore,
    Variant,
    evaluate,
    exact,
    history_cases,
    latency,
    rubric,
    sync_evaluate,
    sync_history_cases,
)

from tests import releases
from tests.server.awaited import Awaited
from tests.server.flows import ECHO, SLEEP, one_step, unique
from tests.server.test_rerun import counting_step, pop_executions

pytestmark = pytest.mark.anyio

CASES = [{"n": number, "expected": {"n": number if number != 3 else 0}} for number in range(8)]


async def evaluate_with(client: Any, *args: Any, **options: Any) -> EvaluationReport:
    """Run an evaluation with an async or blocking client."""
    if isinstance(client, Awaited):
        return await asyncio.to_thread(partial(sync_evaluate, client.client, *args, **options))
    return await evaluate(client, *args, **options)


def flow(file: Path) -> dict[str, Any]:
    """Return a flow of two steps in a row that count their executions."""
    tone = {"type": "string", "default": "plain"}
    return {
        "name": unique("answers"),
        "schemas": {"properties": {"variables": {"type": "object", "properties": {"tone": tone}}}},
        "steps": [
            counting_step(
                file, "find", {"n": {"$input": "$.n"}, "none": None, "literal": {"$literal": {"$input": "$.n"}}}
            ),
            counting_step(file, "answer", {"found": {"$step": "find"}, "tone": {"$variable": "tone"}}),
        ],
        "output": {"n": {"$step": "find", "path": "$.n"}, "answer": {"$step": "answer"}, "of": {"$input": "$.n"}},
    }


VARIANTS = {
    "now": Variant(),
    "formal": Variant(variables={"tone": "formal"}),
    "changed": Variant(overrides={"answer": {"input": {"value": "other"}}}),
}


def results_by_item(report: EvaluationReport) -> dict[tuple[str, str, int], Any]:
    return {(item.variant, item.case, item.repeat): (item.status, item.output) for item in report}


async def test_each_variant_runs_on_each_case_and_repeat(client: Any, tmp_path: Path) -> None:
    file, scored = tmp_path / "counted", list[tuple[Any, ...]]()

    def tone(input: Any, output: Any, expected: Any) -> dict[str, Any]:
        scored.append((input, expected))
        return {"label": str(output["answer"]), "n": output["n"]}

    report = await evaluate_with(
        client, flow(file), CASES, variants=VARIANTS, scores=[exact("n"), tone], repeat=2, chunk_size=5
    )
    assert pop_executions(file) == {"find": 48, "answer": 48}
    items = list(report)
    assert [(item.variant, item.case, item.repeat) for item in items[:3]] == [
        ("now", "0", 0),
        ("now", "0", 1),
        ("now", "1", 0),
    ]
    assert len(items) == len(scored) == 48
    first = items[6]
    assert (first.input, first.expected, first.status) == ({"n": 3}, {"n": 0}, "completed")
    assert first.scores == {"exact.n": False, "tone.label": str(first.output["answer"]), "tone.n": 3}
    assert [str(item.output["answer"]).count("formal") for item in items] == [*[0] * 16, *[1] * 16, *[0] * 16]
    assert report.summary().cases == 8


async def test_items_refer_to_items_of_their_runs(client: Any, tmp_path: Path) -> None:
    report = await evaluate_with(client, flow(tmp_path / "counted"), CASES, chunk_size=3)
    for item in report:
        assert item.run_id is not None
        assert item.item_index is not None
        assert (await client.get_run_items(item.run_id)).items[item.item_index].result.output == item.output


async def test_failed_items_and_scores_that_raise_are_reported(client: Any, tmp_path: Path) -> None:
    def broken(output: Any) -> float:
        return 1 / (output["n"] - 2)

    def lengthy(output: Any) -> Any:
        return asyncio.sleep(0)

    async def slow(output: Any) -> float:
        await asyncio.sleep(0)
        return float(output["n"])

    cases = [{"n": 1}, {"n": 2}, {"m": 3}]
    report = await evaluate_with(client, flow(tmp_path / "counted"), cases, scores=[broken, slow, lengthy])
    one, two, three = report
    assert one.scores == {"broken": -1.0, "slow": 1.0}
    assert two.scores == {"slow": 2.0}
    assert two.score_errors["broken"] == "ZeroDivisionError: division by zero"
    assert "async def" in two.score_errors["lengthy"]
    assert three.status == "failed"
    assert three.error is not None
    assert "$.n not found" in three.error
    assert (three.scores, three.score_errors) == ({}, {})


async def test_variants_progress_evenly(client: Any) -> None:
    quick = one_step(ECHO, {}, name=unique("quick"))
    slow = one_step(SLEEP, {"seconds": 0.1}, name=unique("slow"))
    variants = {"quick": Variant(flow=quick), "slow": Variant(flow=slow)}
    await evaluate_with(client, quick, CASES * 5, variants=variants, chunk_size=2, max_concurrency=4)
    names = [run.flow_name for run in (await client.list_runs()).runs]
    order = [name for name in reversed(names) if name in (quick["name"], slow["name"])]
    assert Counter(order) == {quick["name"]: 20, slow["name"]: 20}
    ahead = accumulate(1 if name == quick["name"] else -1 for name in order)
    # Chunks start slightly out of order.
    assert max(map(abs, ahead)) <= 3


class TestFolders:
    """Evaluations with a journal folder."""

    async def test_the_same_call_neither_runs_nor_scores_again(self, client: Any, tmp_path: Path) -> None:
        file, folder, calls = tmp_path / "counted", tmp_path / "eval", Counter[str]()
        call = partial(evaluate_with, client, flow(file), CASES, variants=VARIANTS, journal=folder)
        first = await call(scores=[counting_score(calls, "judge", "1")])
        before = pop_executions(file)
        again = await call(scores=[counting_score(calls, "judge", "1")])
        assert pop_executions(file) == {}
        assert calls == {"judge": 24}
        assert list(again) == list(first) == list(EvaluationReport.load(folder))
        assert before["answer"] == 24

    async def test_only_changed_scores_are_computed_again(self, client: Any, tmp_path: Path) -> None:
        file, folder, calls = tmp_path / "counted", tmp_path / "eval", Counter[str]()
        call = partial(evaluate_with, client, flow(file), CASES, variants=VARIANTS, journal=folder)
        await call(scores=[counting_score(calls, "judge", "1"), counting_score(calls, "other", "1")])
        report = await call(scores=[counting_score(calls, "judge", "2"), counting_score(calls, "other", "1")])
        assert calls == {"judge": 48, "other": 24}
        assert {tuple(item.scores) for item in report} == {("judge", "other")}
        assert {item.scores["judge"] for item in report} == {"version 2"}

    async def test_a_changed_source_without_a_new_version_is_a_warning(
        self, client: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        call = partial(evaluate_with, client, flow(tmp_path / "counted"), CASES, journal=tmp_path / "eval")
        scores: list[Any] = [
            lambda output: 1,
            lambda output: 2,
        ]
        for number, count in [(0, 0), (0, 0), (1, 1), (1, 2)]:
            report = await call(scores={"judge": scores[number]})
            assert caplog.text.count("score 'judge' has changed but its version has not") == count
            assert {item.scores["judge"] for item in report} == {1}
        scores[1].version = 2
        assert {item.scores["judge"] for item in await call(scores={"judge": scores[1]})} == {2}
        assert caplog.text.count("but its version has not") == 2

    async def test_a_variant_can_be_added(self, client: Any, tmp_path: Path) -> None:
        file, folder = tmp_path / "counted", tmp_path / "eval"
        whole = flow(file)
        await evaluate_with(client, whole, CASES, variants={"now": Variant()}, journal=folder)
        pop_executions(file)
        report = await evaluate_with(client, whole, CASES, variants=VARIANTS, journal=folder)
        assert pop_executions(file) == {"find": 16, "answer": 16}
        assert report.variants == ("now", "formal", "changed")

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"cases": [*CASES[1:], {"n": 9}]}, "different cases"),
            ({"repeat": 2}, "different repeats"),
            (
                {"variants": {**VARIANTS, "formal": Variant(variables={"tone": "x"})}},
                "overrides of 'formal'",
            ),
        ],
    )
    async def test_a_changed_evaluation_is_refused(
        self, client: Any, tmp_path: Path, change: dict[str, Any], message: str
    ) -> None:
        folder = tmp_path / "eval"
        call: Callable[..., Any] = partial(evaluate_with, client, flow(tmp_path / "counted"), journal=folder)
        arguments: dict[str, Any] = {"cases": CASES, "variants": VARIANTS}
        await call(**arguments)
        with pytest.raises(JournalError, match=message):
            await call(**arguments | change)
        assert len(list(EvaluationReport.load(folder))) == 24

    async def test_a_folder_with_a_missing_journal_is_not_resumed(self, client: Any, tmp_path: Path) -> None:
        folder = tmp_path / "eval"
        call = partial(evaluate_with, client, flow(tmp_path / "counted"), CASES, journal=folder, chunk_size=2)
        await call()
        # Simulate a killed call.
        with closing(sqlite3.connect(folder / "evaluation.db", isolation_level=None)) as file:
            file.execute("DELETE FROM items WHERE number > 3")
        (folder / "runs" / "0.journal").unlink()
        with pytest.raises(JournalError, match=r"0\.journal is missing"):
            await call()

    async def test_an_interrupted_call_is_resumed(self, client: Any, tmp_path: Path) -> None:
        file, folder, calls = tmp_path / "counted", tmp_path / "eval", Counter[str]()

        def stop(progress: Any) -> None:
            if progress.done > 5:
                raise InterruptedError

        call = partial(evaluate_with, client, flow(file), CASES, variants=VARIANTS, journal=folder, chunk_size=2)
        with pytest.raises(InterruptedError):
            await call(progress=stop)
        report = await call(scores=[counting_score(calls, "judge", "1")])
        assert pop_executions(file) == {"find": 24, "answer": 24}
        assert calls == {"judge": 24}
        assert len(list(report)) == 24


def counting_score(calls: Counter[str], name: str, version: str) -> Callable[..., Any]:
    """Return a versioned score that counts its calls."""

    def score(output: Any) -> str:
        calls[name] += 1
        return f"version {version}"

    score.__name__ = name
    score.version = version  # type: ignore[attr-defined]
    return score


async def test_the_wrong_kind_of_client_is_refused(worker_runtime: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="client must be a SyncStepflowClient"):
        sync_evaluate(StepflowClient(worker_runtime.url), {"steps": []}, [1])
    with pytest.raises(InvalidArgumentError, match="client must be a StepflowClient"):
        await evaluate(SyncStepflowClient(worker_runtime.url), {"steps": []}, [1])


def test_both_functions_have_the_same_arguments() -> None:
    one, other = (inspect.signature(each).parameters for each in (evaluate, sync_evaluate))
    assert list(one) == list(other)


async def test_item_durations_come_from_their_steps(client: Any, release: str, tmp_path: Path) -> None:
    has_events = releases.number(release) >= (0, 12)
    seconds: dict[str, Any] = {"seconds": {"$input": "$.seconds"}}
    sleeping = {"name": unique("sleeping"), "steps": [{"id": "sleep", "component": "/python/sleep", "input": seconds}]}
    sleeping["output"] = {"$step": "sleep"}
    report = await evaluate_with(client, sleeping, [{"seconds": 0.3}, {"seconds": 0}], scores=[latency()])
    slow, fast = report
    if has_events:
        assert slow.duration is not None
        assert slow.duration >= 0.3
        assert fast.duration is not None
        assert slow.scores == {"latency": slow.duration}
    else:
        assert (slow.duration, slow.scores) == (None, {})
    report = await evaluate_with(client, sleeping, [{"seconds": 0}], include_durations=False)
    assert [item.duration for item in report] == [None]


async def test_each_run_has_labels(recorded: Any, tmp_path: Path) -> None:
    report = await evaluate_with(
        recorded, flow(tmp_path / "counted"), CASES, variants=VARIANTS, repeat=2, chunk_size=6, name="tones",
        labels={"team": "a"},
    )  # fmt: skip
    runs = {item.run_id for item in report}
    found = (await recorded.list_runs(labels={"eval": "tones", "team": "a"})).runs
    assert {run.run_id for run in found} == runs
    first = next(iter(report))
    assert [run.run_id for run in (await recorded.list_runs(labels={"variant": "now", "case": "0..2"})).runs] == [
        first.run_id
    ]
    entry = recorded.history.get(first.run_id)
    assert (entry.labels["repeat"], entry.status) == ("0..1", "completed")


async def test_a_flow_as_a_score(client: Any, tmp_path: Path) -> None:
    judge = {
        "name": "judge",
        "steps": [
            counting_step(tmp_path / "judged", "judge", {"$input": "$.output.n"}, wanted={"$input": "$.expected"})
        ],
        "output": {"n": {"$step": "judge"}, "of": {"$input": "$.input.n"}},
    }
    report = await evaluate_with(client, flow(tmp_path / "counted"), CASES, scores=[FlowScore(judge)])
    assert [item.scores for item in report] == [{"judge.n": n, "judge.of": n} for n in range(8)]
    assert pop_executions(tmp_path / "judged") == {"judge": 8}
    # Another evaluation computes its scores again.
    report = await evaluate_with(client, flow(tmp_path / "counted"), CASES[::-1], scores=[FlowScore(judge)])
    assert [item.scores["judge.of"] for item in report] == [*range(8)][::-1]
    assert pop_executions(tmp_path / "judged") == {"judge": 8}


async def test_new_cases_are_added_to_a_folder(recorded: Any, tmp_path: Path) -> None:
    file, folder = tmp_path / "counted", tmp_path / "eval"
    variants = {"now": Variant(), "formal": Variant(variables={"tone": "formal"})}
    tested_flow = flow(file)
    first = await evaluate_with(recorded, tested_flow, CASES, variants=variants, scores=[exact("n")], journal=folder)
    pop_executions(file)
    more = [*CASES, {"n": 20, "expected": {"n": 20}}, {"n": 21, "expected": {"n": 0}}]
    report = await evaluate_with(recorded, tested_flow, more, variants=variants, scores=[exact("n")], journal=folder)
    assert len(report.cases) == len(first.cases) + 2
    assert pop_executions(file) == {"find": 4, "answer": 4}
    assert {item.case: item.scores["exact.n"] for item in report if item.input in ({"n": 20}, {"n": 21})} == {
        "8": True,
        "9": False,
    }


async def test_past_runs_as_cases(recorded: Any) -> None:
    tested_flow = one_step(ECHO, name=unique("past"))
    runs = [await recorded.run(tested_flow, {"n": n}, labels={"customer": str(n % 2)}) for n in range(3)]
    # Another client may have recorded the last run, with the server's other name.
    names = ("127.0.0.1", "localhost")
    alias = recorded.url.replace(*(names if names[0] in recorded.url else names[::-1]))
    about = {"flow": tested_flow, "input": {"n": 2}, "labels": {"customer": "0"}}
    recorded.history.record(runs[-1].run_id, server=alias, **about)
    recorded.history.update(runs[-1].run_id, status="completed")
    await recorded.run(tested_flow, {"n": 9}, labels={"customer": "1"}, overrides={"only": {"input": {"value": 1}}})
    cases = await past_cases(recorded, tested_flow["name"])
    assert [(each.input, each.expected, each.metadata) for each in cases] == [
        ({"n": number}, {"n": number}, {"customer": str(number % 2)}) for number in range(3)
    ]
    changed = {**tested_flow, "output": {"n": {"$step": "only", "path": "$.n"}, "new": 1}}
    variants = {"same": Variant(), "changed": Variant(flow=changed)}
    report = await evaluate_with(recorded, tested_flow, cases, variants=variants, scores=[exact()])
    assert {(item.variant, item.scores["exact"]) for item in report} == {("same", True), ("changed", False)}
    with pytest.raises(InvalidArgumentError, match="no runs"):
        await past_cases(recorded, unique("none"))


async def past_cases(client: Any, query: str) -> list[EvaluationCase]:
    """Return cases from the history of an async or blocking client."""
    if isinstance(client, Awaited):
        return await asyncio.to_thread(sync_history_cases, client.client, query)
    return await history_cases(client, query)


async def test_a_rubric_with_a_component_as_the_judge(client: Any) -> None:
    # The judge is a component that repeats its input.
    judged = rubric("It says yes.", component=ECHO)
    judged.flow["output"] = {"$step": "judge", "path": "$.messages[1].content"}
    cases = [{"answer": f"{answer}\n{verdict}"} for answer in ("a", "b") for verdict in ("PASS", "**fail**", "maybe")]
    tested_flow = {"name": unique("judged"), "steps": [], "output": {"$input": "answer"}}
    report = await evaluate_with(client, tested_flow, cases, scores=[judged])
    assert [item.scores.get("rubric") for item in report] == [True, False, None] * 2
    assert "neither PASS nor FAIL" in next(iter(report)).score_errors.get("rubric", "neither PASS nor FAIL")
    assert {len(item.score_errors) for item in report} == {0, 1}

"""Evaluations on a real server: what is run, kept, continued and shared. A worker counts."""

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
from tests.server.test_rerun import counted, executions

pytestmark = pytest.mark.anyio

CASES = [{"n": number, "expected": {"n": number if number != 3 else 0}} for number in range(8)]


async def evaluated(client: Any, *args: Any, **options: Any) -> EvaluationReport:
    """Evaluate with a client of either kind."""
    if isinstance(client, Awaited):
        return await asyncio.to_thread(partial(sync_evaluate, client.client, *args, **options))
    return await evaluate(client, *args, **options)


def flow(file: Path) -> dict[str, Any]:
    """Two steps in a row, each of which counts its executions."""
    tone = {"type": "string", "default": "plain"}
    return {
        "name": unique("answers"),
        "schemas": {"properties": {"variables": {"type": "object", "properties": {"tone": tone}}}},
        "steps": [
            counted(file, "find", {"n": {"$input": "$.n"}, "none": None, "literal": {"$literal": {"$input": "$.n"}}}),
            counted(file, "answer", {"found": {"$step": "find"}, "tone": {"$variable": "tone"}}),
        ],
        "output": {"n": {"$step": "find", "path": "$.n"}, "answer": {"$step": "answer"}, "of": {"$input": "$.n"}},
    }


VARIANTS = {
    "now": Variant(),
    "formal": Variant(variables={"tone": "formal"}),
    "changed": Variant(overrides={"answer": {"input": {"value": "other"}}}),
}


def results(report: EvaluationReport) -> dict[tuple[str, str, int], Any]:
    return {(item.variant, item.case, item.repeat): (item.status, item.output) for item in report}


async def test_each_variant_runs_on_each_case_as_often_as_it_is_repeated(client: Any, tmp_path: Path) -> None:
    file, scored = tmp_path / "counted", list[tuple[Any, ...]]()

    def tone(input: Any, output: Any, expected: Any) -> dict[str, Any]:
        scored.append((input, expected))
        return {"label": str(output["answer"]), "n": output["n"]}

    report = await evaluated(
        client, flow(file), CASES, variants=VARIANTS, scores=[exact("n"), tone], repeat=2, chunk_size=5
    )
    assert executions(file) == {"find": 48, "answer": 48}
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


async def test_the_item_is_found_in_its_run(client: Any, tmp_path: Path) -> None:
    report = await evaluated(client, flow(tmp_path / "counted"), CASES, chunk_size=3)
    for item in report:
        assert item.run_id is not None
        assert item.item_index is not None
        assert (await client.get_run_items(item.run_id)).items[item.item_index].result.output == item.output


async def test_failures_and_scores_that_raise_are_data(client: Any, tmp_path: Path) -> None:
    def broken(output: Any) -> float:
        return 1 / (output["n"] - 2)

    def lengthy(output: Any) -> Any:
        return asyncio.sleep(0)

    async def slow(output: Any) -> float:
        await asyncio.sleep(0)
        return float(output["n"])

    cases = [{"n": 1}, {"n": 2}, {"m": 3}]
    report = await evaluated(client, flow(tmp_path / "counted"), cases, scores=[broken, slow, lengthy])
    one, two, three = report
    assert one.scores == {"broken": -1.0, "slow": 1.0}
    assert two.scores == {"slow": 2.0}
    assert two.score_errors["broken"] == "ZeroDivisionError: division by zero"
    assert "async def" in two.score_errors["lengthy"]
    assert three.status == "failed"
    assert three.error is not None
    assert "$.n not found" in three.error
    assert (three.scores, three.score_errors) == ({}, {})


async def test_no_variant_is_far_ahead_of_a_slower_one(client: Any) -> None:
    quick = one_step(ECHO, {}, name=unique("quick"))
    slow = one_step(SLEEP, {"seconds": 0.1}, name=unique("slow"))
    variants = {"quick": Variant(flow=quick), "slow": Variant(flow=slow)}
    await evaluated(client, quick, CASES * 5, variants=variants, chunk_size=2, max_concurrency=4)
    names = [run.flow_name for run in (await client.list_runs()).runs]
    order = [name for name in reversed(names) if name in (quick["name"], slow["name"])]
    assert Counter(order) == {quick["name"]: 20, slow["name"]: 20}
    ahead = accumulate(1 if name == quick["name"] else -1 for name in order)
    # A chunk is started a moment after it is read.
    assert max(map(abs, ahead)) <= 3


class TestFolders:
    """What a folder keeps of an evaluation."""

    async def test_the_same_call_runs_and_scores_nothing_again(self, client: Any, tmp_path: Path) -> None:
        file, folder, calls = tmp_path / "counted", tmp_path / "eval", Counter[str]()
        call = partial(evaluated, client, flow(file), CASES, variants=VARIANTS, journal=folder)
        first = await call(scores=[score_of(calls, "judge", "1")])
        before = executions(file)
        again = await call(scores=[score_of(calls, "judge", "1")])
        assert executions(file) == {}
        assert calls == {"judge": 24}
        assert list(again) == list(first) == list(EvaluationReport.load(folder))
        assert before["answer"] == 24

    async def test_only_changed_scores_are_computed_again(self, client: Any, tmp_path: Path) -> None:
        file, folder, calls = tmp_path / "counted", tmp_path / "eval", Counter[str]()
        call = partial(evaluated, client, flow(file), CASES, variants=VARIANTS, journal=folder)
        await call(scores=[score_of(calls, "judge", "1"), score_of(calls, "other", "1")])
        report = await call(scores=[score_of(calls, "judge", "2"), score_of(calls, "other", "1")])
        assert calls == {"judge": 48, "other": 24}
        assert {tuple(item.scores) for item in report} == {("judge", "other")}
        assert {item.scores["judge"] for item in report} == {"version 2"}

    async def test_a_changed_source_without_a_new_version_is_a_warning(
        self, client: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        call = partial(evaluated, client, flow(tmp_path / "counted"), CASES, journal=tmp_path / "eval")
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
        await evaluated(client, whole, CASES, variants={"now": Variant()}, journal=folder)
        executions(file)
        report = await evaluated(client, whole, CASES, variants=VARIANTS, journal=folder)
        assert executions(file) == {"find": 16, "answer": 16}
        assert report.variants == ("now", "formal", "changed")

    @pytest.mark.parametrize(
        ("change", "said"),
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
        self, client: Any, tmp_path: Path, change: dict[str, Any], said: str
    ) -> None:
        folder = tmp_path / "eval"
        call: Callable[..., Any] = partial(evaluated, client, flow(tmp_path / "counted"), journal=folder)
        given: dict[str, Any] = {"cases": CASES, "variants": VARIANTS}
        await call(**given)
        with pytest.raises(JournalError, match=said):
            await call(**given | change)
        assert len(list(EvaluationReport.load(folder))) == 24

    async def test_a_folder_without_its_journals_is_not_continued(self, client: Any, tmp_path: Path) -> None:
        folder = tmp_path / "eval"
        call = partial(evaluated, client, flow(tmp_path / "counted"), CASES, journal=folder, chunk_size=2)
        await call()
        # As if the call had been killed.
        with closing(sqlite3.connect(folder / "evaluation.db", isolation_level=None)) as file:
            file.execute("DELETE FROM items WHERE number > 3")
        (folder / "runs" / "0.journal").unlink()
        with pytest.raises(JournalError, match=r"0\.journal is missing"):
            await call()

    async def test_an_interrupted_call_is_continued(self, client: Any, tmp_path: Path) -> None:
        file, folder, calls = tmp_path / "counted", tmp_path / "eval", Counter[str]()

        def stop(progress: Any) -> None:
            if progress.done > 5:
                raise InterruptedError

        call = partial(evaluated, client, flow(file), CASES, variants=VARIANTS, journal=folder, chunk_size=2)
        with pytest.raises(InterruptedError):
            await call(progress=stop)
        report = await call(scores=[score_of(calls, "judge", "1")])
        assert executions(file) == {"find": 24, "answer": 24}
        assert calls == {"judge": 24}
        assert len(list(report)) == 24


def score_of(calls: Counter[str], name: str, version: str) -> Callable[..., Any]:
    """Return a score that counts its calls."""

    def score(output: Any) -> str:
        calls[name] += 1
        return f"version {version}"

    score.__name__ = name
    score.version = version  # type: ignore[attr-defined]
    return score


async def test_a_client_of_the_other_kind_is_refused(worker_runtime: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="client must be a SyncStepflowClient"):
        sync_evaluate(StepflowClient(worker_runtime.url), {"steps": []}, [1])
    with pytest.raises(InvalidArgumentError, match="client must be a StepflowClient"):
        await evaluate(SyncStepflowClient(worker_runtime.url), {"steps": []}, [1])


def test_both_functions_have_the_same_arguments() -> None:
    one, other = (inspect.signature(each).parameters for each in (evaluate, sync_evaluate))
    assert list(one) == list(other)


async def test_the_times_of_items_are_those_of_their_steps(client: Any, release: str, tmp_path: Path) -> None:
    has_events = releases.number(release) >= (0, 12)
    seconds: dict[str, Any] = {"seconds": {"$input": "$.seconds"}}
    sleeping = {"name": unique("sleeping"), "steps": [{"id": "sleep", "component": "/python/sleep", "input": seconds}]}
    sleeping["output"] = {"$step": "sleep"}
    report = await evaluated(client, sleeping, [{"seconds": 0.3}, {"seconds": 0}], scores=[latency()])
    slow, fast = report
    if has_events:
        assert slow.duration is not None
        assert slow.duration >= 0.3
        assert fast.duration is not None
        assert slow.scores == {"latency": slow.duration}
    else:
        assert (slow.duration, slow.scores) == (None, {})
    report = await evaluated(client, sleeping, [{"seconds": 0}], include_durations=False)
    assert [item.duration for item in report] == [None]


async def test_each_run_has_labels(recorded: Any, tmp_path: Path) -> None:
    report = await evaluated(
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


async def test_a_flow_scores(client: Any, tmp_path: Path) -> None:
    judge = {
        "name": "judge",
        "steps": [counted(tmp_path / "judged", "judge", {"$input": "$.output.n"}, wanted={"$input": "$.expected"})],
        "output": {"n": {"$step": "judge"}, "of": {"$input": "$.input.n"}},
    }
    report = await evaluated(client, flow(tmp_path / "counted"), CASES, scores=[FlowScore(judge)])
    assert [item.scores for item in report] == [{"judge.n": n, "judge.of": n} for n in range(8)]
    assert executions(tmp_path / "judged") == {"judge": 8}
    # Another evaluation is judged anew.
    report = await evaluated(client, flow(tmp_path / "counted"), CASES[::-1], scores=[FlowScore(judge)])
    assert [item.scores["judge.of"] for item in report] == [*range(8)][::-1]
    assert executions(tmp_path / "judged") == {"judge": 8}


async def test_new_cases_are_added_to_a_folder(recorded: Any, tmp_path: Path) -> None:
    file, folder = tmp_path / "counted", tmp_path / "eval"
    variants = {"now": Variant(), "formal": Variant(variables={"tone": "formal"})}
    content = flow(file)
    first = await evaluated(recorded, content, CASES, variants=variants, scores=[exact("n")], journal=folder)
    executions(file)
    more = [*CASES, {"n": 20, "expected": {"n": 20}}, {"n": 21, "expected": {"n": 0}}]
    report = await evaluated(recorded, content, more, variants=variants, scores=[exact("n")], journal=folder)
    assert len(report.cases) == len(first.cases) + 2
    assert executions(file) == {"find": 4, "answer": 4}
    assert {item.case: item.scores["exact.n"] for item in report if item.input in ({"n": 20}, {"n": 21})} == {
        "8": True,
        "9": False,
    }


async def test_runs_of_the_history_are_cases(recorded: Any) -> None:
    content = one_step(ECHO, name=unique("past"))
    for number in range(3):
        await recorded.run(content, {"n": number}, labels={"customer": str(number % 2)})
    await recorded.run(content, {"n": 9}, labels={"customer": "1"}, overrides={"only": {"input": {"value": 1}}})
    cases = await past_cases(recorded, content["name"])
    assert [(each.input, each.expected, each.metadata) for each in cases] == [
        ({"n": number}, {"n": number}, {"customer": str(number % 2)}) for number in range(3)
    ]
    changed = {**content, "output": {"n": {"$step": "only", "path": "$.n"}, "new": 1}}
    variants = {"same": Variant(), "changed": Variant(flow=changed)}
    report = await evaluated(recorded, content, cases, variants=variants, scores=[exact()])
    assert {(item.variant, item.scores["exact"]) for item in report} == {("same", True), ("changed", False)}
    with pytest.raises(InvalidArgumentError, match="no runs"):
        await past_cases(recorded, unique("none"))


async def past_cases(client: Any, query: str) -> list[EvaluationCase]:
    """Return the cases in the history of a client of either kind."""
    if isinstance(client, Awaited):
        return await asyncio.to_thread(sync_history_cases, client.client, query)
    return await history_cases(client, query)


async def test_a_rubric_is_judged_by_a_component(client: Any) -> None:
    """The component of a worker repeats what the judge is sent."""
    judged = rubric("It says yes.", component=ECHO)
    judged.flow["output"] = {"$step": "judge", "path": "$.messages[1].content"}
    cases = [{"answer": f"{answer}\n{verdict}"} for answer in ("a", "b") for verdict in ("PASS", "**fail**", "maybe")]
    content = {"name": unique("judged"), "steps": [], "output": {"$input": "answer"}}
    report = await evaluated(client, content, cases, scores=[judged])
    assert [item.scores.get("rubric") for item in report] == [True, False, None] * 2
    assert "neither PASS nor FAIL" in next(iter(report)).score_errors.get("rubric", "neither PASS nor FAIL")
    assert {len(item.score_errors) for item in report} == {0, 1}

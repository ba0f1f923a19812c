"""Measure how often an evaluation calls two identical variants different, and how often it finds a real change.

    python -m benchmarks.verdicts                          # 1,000 simulated evaluations, 60 real ones, 500 runs
    python -m benchmarks.verdicts --simulated 100 --real 0 --replayed 0
    python -m benchmarks.verdicts --simulated 0 --real 60 --load 4

For identical variants, at most 6% of verdicts may be `better` or `worse`. Real evaluations run on embedded servers,
alongside `--load` processes that alternate between using a processor and pausing. Finally, recorded runs are replayed
with a changed flow, and exactly the planted differences must be found.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from stepflow_client import StepflowRuntime
from stepflow_client.evaluation import (
    EvaluationItem,
    EvaluationReport,
    Variant,
    evaluate,
    exact,
    history_cases,
    latency,
)
from stepflow_client.history import History

FLOW = {
    "name": "aa",
    "steps": [
        {"id": "first", "component": "/builtin/sleep", "input": {"duration_ms": {"$input": "ms"}}},
        {
            "id": "answer",
            "component": "/builtin/noop",
            "input": {"right": {"$input": "right"}},
            "mustExecute": True,
        },
    ],
    "output": {"slept": {"$step": "first"}, "right": {"$step": "answer", "path": "right"}},
}
TIMED = ("time", "latency")


def simulated(seed: int, cases: int, chunk: int, drift: float) -> EvaluationReport:
    """Return a report on two identical variants, where items in the same run share a slowly changing delay."""
    chance = random.Random(seed)
    delays = dict.fromkeys("ab", 0.0)
    items = []
    for case in range(cases):
        difficulty, seconds = chance.random(), chance.lognormvariate(-1, 0.4)
        for variant in "ab":
            if case % chunk == 0:
                delays[variant] = drift * delays[variant] + chance.gauss(0, 1) * (1 - drift**2) ** 0.5
            took = seconds * chance.lognormvariate(delays[variant] * 0.4, 0.2)
            scores = {
                "share": (difficulty < 0.8) != (chance.random() < 0.1),
                "number": difficulty + chance.gauss(0, 0.3),
                "skewed": chance.lognormvariate(difficulty, 1),
                "latency": took,
            }
            run = f"{variant}{case // chunk}"
            items.append(EvaluationItem(case=str(case), variant=variant, scores=scores, duration=took, run_id=run))
    return EvaluationReport(items, lower_is_better=["latency"], timed=["latency"])


def improved(seed: int, cases: int = 300) -> EvaluationReport:
    """Return a report where the second variant gets 10% more of the cases right."""
    chance = random.Random(seed)
    return EvaluationReport(
        EvaluationItem(case=str(case), variant=variant, scores={"right": chance.random() < share}, run_id="run")
        for case in range(cases)
        for variant, share in (("a", 0.75), ("b", 0.85))
    )


def verdicts(report: EvaluationReport) -> Iterator[tuple[str, str]]:
    """Yield the second variant's verdicts, by score."""
    comparison = report.compare("a", "b")
    for each in (*comparison.scores, *([comparison.failed] if comparison.failed else [])):
        yield each.score, str(each.verdict)
    if comparison.duration is not None:
        known = "" if comparison.duration.low is not None else " (no interval)"
        yield "time", str(comparison.duration.verdict) + known


def busy(seed: int) -> None:
    """Alternate between using a processor and pausing."""
    chance = random.Random(seed)
    parent = os.getppid()
    while os.getppid() == parent:
        until = time.monotonic() + chance.expovariate(2)
        while time.monotonic() < until:
            pass
        time.sleep(chance.expovariate(2))


@contextmanager
def load(processes: int) -> Iterator[None]:
    """Run processes that keep the machine busy during the block."""
    started = [multiprocessing.Process(target=busy, args=(seed,), daemon=True) for seed in range(processes)]
    for each in started:
        each.start()
    try:
        yield
    finally:
        for each in started:
            each.terminate()
            each.join()


async def real(number: int, cases: int) -> EvaluationReport:
    """Evaluate two identical variants on an embedded server."""
    chance = random.Random(number)
    rows = [
        {
            "id": str(case),
            "ms": chance.choice((5, 20, 30)),
            "right": (right := chance.random() < 0.8),
            "expected": right,
        }
        for case in range(cases)
    ]
    async with StepflowRuntime.start() as runtime:
        return await evaluate(
            runtime.client, FLOW, rows, variants={"a": Variant(), "b": Variant()}, scores=[exact("right"), latency()]
        )


async def replayed(folder: str, runs: int) -> str:
    """Replay recorded runs with a changed flow, and report whether exactly the planted differences are found."""
    chance = random.Random(runs)
    old = {"name": "replayed", "steps": [], "output": {"answer": {"$input": "old"}, "id": {"$input": "id"}}}
    new = {**old, "output": {**old["output"], "answer": {"$coalesce": [{"$input": "new"}, {"$input": "old"}]}}}
    inputs = [
        {"id": number, "old": chance.randrange(9), "new": chance.choice((None,) * 12 + (3,))} for number in range(runs)
    ]
    planted = {each["id"] for each in inputs if each["new"] not in (None, each["old"])}
    history = History(os.path.join(folder, "history.db"))
    async with StepflowRuntime.start(history=history) as runtime, asyncio.TaskGroup() as group:
        client, free = runtime.client, asyncio.Semaphore(32)

        async def run(given: dict[str, Any]) -> None:
            async with free:
                await client.run(old, given, labels={"customer": str(given["id"] % 7)})

        tasks = [group.create_task(run(each)) for each in inputs]
        await asyncio.gather(*tasks)
        cases = await history_cases(client)
        variants = {"old": Variant(), "new": Variant(flow=new)}
        report = await evaluate(client, old, cases, variants=variants, scores=[exact()])
        found = {
            variant: {item.input["id"] for item in report if item.variant == variant and not item.scores.get("exact")}
            for variant in variants
        }
    is_right = len(cases) == runs and found == {"old": set(), "new": planted}
    return f"{len(cases)} of {runs} runs replayed, {len(planted)} planted differences, {len(found['new'])} found, " + (
        "no others" if is_right else f"WRONG: {found}, planted {planted}"
    )


def shown(name: str, found: Counter[tuple[str, str]], count: int) -> None:
    """Print how often each score was called better or worse."""
    print(f"\n{name}: {count:,} evaluations, load {os.getloadavg()[0]:.1f}")
    for score in dict.fromkeys(score for score, _ in found):
        each = {verdict: number for (of, verdict), number in sorted(found.items()) if of == score}
        wrong = sum(number for verdict, number in each.items() if verdict in ("better", "worse"))
        print(f"  {score:12} {wrong / count:6.1%} better or worse   {each}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--simulated", type=int, default=1_000)
    parser.add_argument("--real", type=int, default=60)
    parser.add_argument("--replayed", type=int, default=500)
    parser.add_argument("--cases", type=int, default=120)
    parser.add_argument("--load", type=int, default=4)
    options = parser.parse_args()
    count = options.simulated
    for chunk, drift in ((5, 0.0), (5, 0.3)) if count else ():
        found = Counter(
            each for seed in range(count) for each in verdicts(simulated(seed, options.cases, chunk, drift))
        )
        shown(
            f"simulated, {options.cases} cases, runs of {chunk}, correlation of successive runs {drift}", found, count
        )
    if count:
        found = Counter(each for seed in range(count) for each in verdicts(improved(seed)))
        shown("simulated, 300 cases, 10 points better", found, count)
    if options.replayed:
        with tempfile.TemporaryDirectory() as folder:
            print(
                f"\nhistory: {asyncio.run(replayed(folder, options.replayed))}, load {os.getloadavg()[0]:.1f}",
                flush=True,
            )
    if options.real:
        with load(options.load):
            reports = [asyncio.run(real(number, options.cases)) for number in range(options.real)]
            found = Counter(each for report in reports for each in verdicts(report))
            shown(f"real, {options.cases} cases, {options.load} busy processes", found, options.real)


if __name__ == "__main__":
    main()

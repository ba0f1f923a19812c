"""Runs the variants of an evaluation side by side, and scores the items that have ended."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from ..._display.progress import progress_shown
from ..._rules.batch_count import BatchCount
from ..._rules.deadline import has_passed
from ..._rules.step_times import ItemTimes
from ..._shared.workers import AsyncSource, AsyncWorkers
from ...errors import StepflowClientError
from ...types.outcomes import Outcome
from ..item_records import EndedItem, StoredItem
from ..options import EvaluationOptions
from ..pace import AsyncPace
from ..plan import PlannedVariant, SharedPart, limits
from ..records import EvaluationCase, EvaluationItem
from ..run_labels import RunLabels
from ..score_calls import AsyncScoring, ScoreFunction
from ..store import EvaluationStore
from ..timing import TimeBudget, with_durations

_AHEAD = 32
"""Maximum number of inputs that a variant may have read before another one has."""
_TICK = 0.05
"""Seconds between two looks at what has ended."""
_GRACE = 5.0
"""Seconds that the threads of the synchronous twin are given to end, before others can use the folder."""
_STORED = 200
"""Number of outcomes of shared steps that are stored at once."""
_WAITING = 2_000
"""Number of items that wait for their scores, beyond which no outcomes are read."""


class Evaluator:
    """Runs the variants of one evaluation.

    Args:
        client: The client.
        store: The folder of the evaluation, which has its cases and variants.
        variants: The variants.
        shared: The steps that they share; None if there are none.
        functions: The score functions.
        options: The options of the evaluation.
        labels: The labels of the runs.
        durations: Whether to read the times of the items.
        total: Number of items of each variant.
    """

    def __init__(
        self,
        client: Any,
        store: EvaluationStore,
        variants: Sequence[PlannedVariant],
        shared: SharedPart | None,
        functions: Sequence[ScoreFunction],
        options: EvaluationOptions,
        labels: RunLabels,
        durations: bool | None,
        total: int,
    ) -> None:
        self._client = client
        self._store = store
        self._variants = variants
        self._shared = shared
        self._functions = functions
        self._total = total
        self._options = options
        self._of_map = vars(options.of_map)
        self._limits = limits(options.max_concurrency, variants)
        self._labels = labels
        self._pace = AsyncPace(len(variants), _AHEAD)
        self._by_number: dict[int, PlannedVariant] = {}
        self._times = TimeBudget(durations)
        self._ended: deque[EndedItem] = deque()
        """The items that are not stored yet."""
        self._timed: deque[EndedItem] = deque()
        """Those whose times have been read."""
        self._waiting: dict[str, deque[StoredItem]] = {each.key: deque() for each in functions}
        """The items that wait for a score, by the key of its function."""
        self._unscored: dict[str, Iterator[list[StoredItem]]] = {}
        """The items of earlier calls that have no score, by the key of its function."""
        self._workers: AsyncWorkers[int] = AsyncWorkers()
        self._scoring = AsyncScoring(options.max_scores)
        self._scores_running = 0
        self._count = BatchCount(total * len(variants))
        self._room = _WAITING
        """Number of outcomes that may be read before the next step."""
        self._is_over = False

    async def run(self) -> None:
        """Run what has not been run yet, and compute the scores that are missing."""
        try:
            with progress_shown(self._options.progress) as report:
                report(self._count.progress())
                await self._run_shared()
                await self._start()
                while len(self._workers):
                    await self._step()
                    report(self._count.progress())
                self._labels.end()
                report(self._count.progress(is_over=True))
        finally:
            self._is_over = True
            self._pace.stop()
            self._scoring.close()
            await self._workers.aclose(grace=_GRACE)

    async def _run_shared(self) -> None:
        """Run the shared steps, once for each case."""
        if self._shared is None or self._store.has_shared():
            return
        stream = self._client.map(
            self._shared.flow,
            (case.input for case in self._store.cases()),
            variables=self._shared.variables or None,
            max_concurrency=self._options.max_concurrency,
            journal=self._journal("shared"),
            labels=self._labels.common,
            **self._of_map,
        )
        async with stream as outcomes:
            found: list[Outcome] = []
            async for outcome in outcomes:
                found.append(outcome)
                if len(found) == _STORED:
                    self._store.add_shared(found)
                    found.clear()
        self._store.add_shared(found)

    def _journal(self, name: str) -> Path | None:
        return None if self._store.id is None else self._store.journal(name)

    async def _start(self) -> None:
        numbers = self._store.variants
        self._by_number = {numbers[each.name]: each for each in self._variants}
        known = {number: self._store.known(number) for number in numbers.values()}
        for function in self._functions:
            self._unscored[function.key] = self._store.unscored(function.key, known)
        for reader, variant in enumerate(self._variants):
            number = numbers[variant.name]
            if len(known[number]) == self._total:
                self._pace.leave(reader)
                self._count.skip(self._total)
            else:
                inputs = _Inputs(self._store, variant, self._pace, reader, self._options.repeat)
                await self._workers.start(partial(self._run_variant, variant, number, inputs, known[number]))
        await self._start_scores()

    async def _step(self) -> None:
        """Wait a moment for something to end, store what has ended, and start to score it."""
        until = time.monotonic() + _TICK
        try:
            self._scores_running -= await self._workers.finished(until)
        except TimeoutError:
            # Also the errors of requests.
            if not has_passed(until):
                raise
        found = [self._timed.popleft() for _ in range(len(self._timed))]
        for items in _by_run([self._ended.popleft() for _ in range(len(self._ended))]):
            if self._labels.common is not None:
                self._labels.record(self._by_number[items[0].variant], [self._item(each) for each in items])
            if items[0].outcome.run_id is not None and self._times.take(items, len(self._variants)):
                await self._workers.start(partial(self._read_times, items))
            else:
                found += items
        self._store.add(found)
        if self._waiting:
            scored = [StoredItem(*each[:2], self._item(each)) for each in found if each.outcome.is_success]
            for waiting in self._waiting.values():
                waiting.extend(scored)
        await self._start_scores()
        self._room = _WAITING - len(self._timed) - max(map(len, self._waiting.values()), default=0)

    def _item(self, ended: EndedItem) -> EvaluationItem:
        return ended.item(self._by_number[ended.variant].name, self._options.repeat)

    async def _read_times(self, items: list[EndedItem]) -> int:
        """Read the times of the items of a run, and return the number of score functions that have ended: none."""
        began, run_id = time.monotonic(), items[0].outcome.run_id
        times = ItemTimes(str(run_id))
        # Without them, an item has no duration.
        with suppress(StepflowClientError):
            async with self._client.run_events(run_id) as events:
                async for event in events:
                    times.note(event)
        self._timed.extend(with_durations(items, {each.index: each.duration for each in times.found}))
        self._times.note(time.monotonic() - began)
        return 0

    async def _run_variant(self, variant: PlannedVariant, number: int, inputs: _Inputs, known: set[int]) -> int:
        """Run a variant on the cases, and return the number of score functions that have ended: none."""
        # The input of the rest of a flow has been checked with the shared steps.
        options = {**self._of_map, "check_input": self._options.of_map.check_input and variant.rest is None}
        stream = self._client.map(
            inputs=inputs,
            max_concurrency=self._limits[inputs.reader],
            journal=self._journal(str(number)),
            labels=self._labels.of(variant),
            **variant.arguments,
            **options,
        )
        async with stream as outcomes:
            async for outcome in outcomes:
                self._count.note(outcome)
                case = inputs.case_of(outcome.index)
                if outcome.index not in known:
                    self._ended.append(EndedItem(number, outcome.index, case, outcome))
                self._room -= 1
                # Too many items wait for their scores.
                while self._room < 0 and not self._is_over:  # noqa: ASYNC110 - rarely, and in threads too
                    await asyncio.sleep(_TICK / 10)
                if self._is_over:
                    break
        return 0

    async def _start_scores(self) -> None:
        for function in self._functions:
            waiting, unscored = self._waiting[function.key], self._unscored[function.key]
            while self._scores_running < self._options.max_scores:
                if not waiting:
                    waiting.extend(next(unscored, ()))
                items = [waiting.popleft() for _ in range(min(function.slices.size, len(waiting)))]
                if not items:
                    break
                self._scores_running += 1
                await self._workers.start(partial(self._score, function, items))

    async def _score(self, function: ScoreFunction, items: list[StoredItem]) -> int:
        """Score some items, and return the number of score functions that have ended."""
        call = partial(function.apply, items, self._client, self._store, lambda: not self._is_over)
        await self._scoring.run(function, call)
        return 1


class _Inputs(AsyncSource):
    """The inputs of a variant: each case as often as it is repeated, one after the other.

    Args:
        store: The folder of the evaluation.
        variant: The variant.
        pace: What keeps the variants together.
        reader: The number of the reader, for the pace.
        repeat: The number of repeats.
    """

    def __init__(
        self, store: EvaluationStore, variant: PlannedVariant, pace: AsyncPace, reader: int, repeat: int
    ) -> None:
        super().__init__(())
        self.reader = reader
        self._pace = pace
        self._inputs = (each for each in _inputs(store, variant) for _ in range(repeat))
        self._open: dict[int, EvaluationCase] = {}
        """The cases of the inputs without an outcome, by the index of the input."""
        self._index = 0

    async def take(self, most: int) -> tuple[list[Any], Exception | None]:
        """Return the next inputs, with a maximum of `most`, once the other variants are near."""
        count = await self._pace.turn(self.reader, most)
        if not count:
            # An end without an error would mean that all inputs have been read.
            return [], StepflowClientError("the evaluation has ended")
        found = list(islice(self._inputs, count))
        self._open.update(enumerate((case for case, _ in found), self._index))
        self._index += len(found)
        self.ended = len(found) < count
        if self.ended:
            self._pace.leave(self.reader)
        else:
            self._pace.moved(self.reader, count)
        return [given for _, given in found], None

    def case_of(self, index: int) -> EvaluationCase:
        """Return the case of an input, which has ended."""
        return self._open.pop(index)


def _by_run(items: list[EndedItem]) -> list[list[EndedItem]]:
    found: defaultdict[str | None, list[EndedItem]] = defaultdict(list)
    for each in items:
        found[each.outcome.run_id].append(each)
    return list(found.values())


def _inputs(store: EvaluationStore, variant: PlannedVariant) -> Iterator[tuple[EvaluationCase, Any]]:
    """Yield the cases with the input of the flow that is run, or with the failure of a shared step."""
    if variant.rest is None:
        for case in store.cases():
            yield case, case.input
        return
    for case, (outputs, error) in zip(store.cases(), store.shared(), strict=True):
        yield case, variant.rest.input_of(case.input, outputs) if error is None else ValueError(error)

"""Runs the variants of an evaluation side by side, and scores the items that have ended."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Self

from ..._display.progress import progress_shown
from ..._rules.batch_count import BatchCount
from ..._rules.deadline import has_passed
from ..._shared.workers import AsyncWorkers
from ...errors import StepflowClientError
from ...progress import ProgressOption
from ..pace import AsyncPace
from ..plan import PlannedVariant, limits
from ..records import EvaluationCase
from ..score_calls import AsyncScoring, ScoreFunction
from ..store import EvaluationStore, StoredItem, evaluation_item

_AHEAD = 32
"""Maximum number of inputs that a variant may have read before another one has."""
_TICK = 0.2
"""Seconds between two looks at what has ended."""
_WAITING = 2_000
"""Number of items that wait for their scores, beyond which no outcomes are read."""


class Evaluator:
    """Runs the variants of one evaluation.

    Args:
        client: The client.
        store: The folder of the evaluation, which has its cases and variants.
        variants: The variants.
        functions: The score functions.
        total: Number of items of each variant.
        max_scores: Maximum number of score functions that are called at once.
        max_concurrency: Maximum number of items that are executed at once; None for no limit.
        labels: Labels of the runs.
        options: More options of `map`.
    """

    def __init__(
        self,
        client: Any,
        store: EvaluationStore,
        variants: Sequence[PlannedVariant],
        functions: Sequence[ScoreFunction],
        *,
        total: int,
        max_scores: int,
        max_concurrency: int | None,
        labels: Mapping[str, str] | None,
        options: Mapping[str, Any],
    ) -> None:
        self._client = client
        self._store = store
        self._variants = variants
        self._functions = functions
        self._total = total
        self._limits = limits(max_concurrency, variants)
        self._labels = labels
        self._options = options
        self._repeat = int(store.about("repeat"))
        self._pace = AsyncPace(len(variants), _AHEAD)
        self._ended: deque[StoredItem] = deque()
        """The items that are not stored yet."""
        self._waiting: dict[str, deque[StoredItem]] = {each.key: deque() for each in functions}
        """The items that wait for a score, by the key of its function."""
        self._unscored: dict[str, Iterator[list[StoredItem]]] = {}
        """The items of earlier calls that have no score, by the key of its function."""
        self._workers: AsyncWorkers[int] = AsyncWorkers()
        self._scoring = AsyncScoring(max_scores)
        self._most_scores = max_scores
        self._scores_running = 0
        self._count = BatchCount(total * len(variants))
        self._is_over = False

    async def run(self, progress: ProgressOption) -> None:
        """Run what has not been run yet, and compute the scores that are missing."""
        try:
            with progress_shown(progress) as report:
                report(self._count.progress())
                await self._start()
                while len(self._workers):
                    await self._step()
                    report(self._count.progress())
                report(self._count.progress(is_over=True))
        finally:
            self._is_over = True
            self._pace.stop()
            self._scoring.close()
            await self._workers.aclose()

    async def _start(self) -> None:
        numbers = self._store.variants
        known = {number: self._store.known(number) for number in numbers.values()}
        for function in self._functions:
            self._unscored[function.key] = self._store.unscored(function.key, known)
        for reader, variant in enumerate(self._variants):
            number = numbers[variant.name]
            if len(known[number]) == self._total:
                self._pace.leave(reader)
                self._count.skip(self._total)
            else:
                inputs = _Inputs(self._store, self._pace, reader, self._repeat)
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
        found = [self._ended.popleft() for _ in range(len(self._ended))]
        self._store.add(found)
        for waiting in self._waiting.values():
            waiting.extend(each for each in found if each.item.is_success)
        await self._start_scores()

    async def _run_variant(self, variant: PlannedVariant, number: int, inputs: _Inputs, known: set[int]) -> int:
        """Run a variant on the cases, and return the number of score functions that have ended: none."""
        stream = self._client.map(
            variant.flow,
            inputs,
            variables=variant.variables or None,
            overrides=None if variant.overrides is None else {"steps": variant.overrides},
            max_concurrency=self._limits[inputs.reader],
            journal=None if self._store.id is None else self._store.journal(number),
            labels=self._labels_of(variant),
            **self._options,
        )
        async with stream as outcomes:
            async for outcome in outcomes:
                self._count.note(outcome)
                case = inputs.case_of(outcome.index)
                if outcome.index not in known:
                    item = evaluation_item(case, variant.name, outcome.index % self._repeat, outcome)
                    self._ended.append(StoredItem(number, outcome.index, item))
                while self._is_behind():  # noqa: ASYNC110 - rarely, and in threads too
                    await asyncio.sleep(_TICK / 10)
        return 0

    def _is_behind(self) -> bool:
        """Return whether outcomes are to wait, because too many items wait for their scores."""
        waiting = len(self._ended) + max(map(len, self._waiting.values()), default=0)
        return waiting > _WAITING and not self._is_over

    async def _start_scores(self) -> None:
        for function in self._functions:
            waiting, unscored = self._waiting[function.key], self._unscored[function.key]
            while self._scores_running < self._most_scores:
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
        await self._scoring.run(call, is_async=function.is_async)
        return 1

    def _labels_of(self, variant: PlannedVariant) -> dict[str, str] | None:
        return None if self._labels is None else {**self._labels, "variant": variant.name}


class _Inputs:
    """The inputs of a variant: each case as often as it is repeated, one after the other.

    Args:
        store: The folder of the evaluation.
        pace: What keeps the variants together.
        reader: The number of the reader, for the pace.
        repeat: The number of repeats.
    """

    def __init__(self, store: EvaluationStore, pace: AsyncPace, reader: int, repeat: int) -> None:
        self.reader = reader
        self._pace = pace
        self._repeat = repeat
        self._cases = enumerate(store.cases())
        self._open: dict[int, list[Any]] = {}
        """The cases without all their outcomes, by number, each with the number of outcomes to come."""
        self._again: deque[Any] = deque()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        if not await self._pace.turn(self.reader):
            # An end without an error would mean that all inputs have been read.
            raise StepflowClientError("the evaluation has ended")
        if not self._again:
            found = next(self._cases, None)
            if found is None:
                self._pace.leave(self.reader)
                raise StopAsyncIteration
            number, case = found
            self._open[number] = [case, self._repeat]
            self._again.extend([case.input] * self._repeat)
        return self._again.popleft()

    def case_of(self, index: int) -> EvaluationCase:
        """Return the case of an input, which has ended."""
        number = index // self._repeat
        kept = self._open[number]
        kept[1] -= 1
        if not kept[1]:
            del self._open[number]
        case: EvaluationCase = kept[0]
        return case

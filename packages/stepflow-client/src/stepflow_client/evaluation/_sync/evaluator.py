# Written from _async/evaluator.py by `make generate`. Change that file instead.

"""Runs the variants of an evaluation side by side, and scores the items that have ended."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from random import Random
from typing import Any

from ..._concurrency.background import SyncSource, SyncWorkers
from ..._display.progress_display import show_progress
from ..._rules.batch_count import BatchCount
from ..._rules.deadline import has_passed
from ..._rules.step_times import ItemTimes
from ...errors import JournalError, StepflowClientError
from ...progress import ProgressOption
from ...types.outcomes import Outcome
from ..plan import PlannedVariant, RunLabels
from ..records import Block, EvaluationCase, EvaluationItem, build_block
from ..score_calls import ScoreFunction, SyncScoring
from ..store import EvaluationStore
from ..timing import DurationBudget

# Seconds between two checks for what has ended.
_INTERVAL = 0.05
# Seconds for the threads of the synchronous twin to end, before others can use the folder.
_GRACE = 5.0
# Maximum number of items that wait for their scores; no further outcomes are read meanwhile.
_MAX_WAITING = 2_000


@dataclass
class Evaluator:
    """Runs the variants of one evaluation, and scores their outputs."""

    client: Any
    store: EvaluationStore
    """The folder of the evaluation, which has its cases and variants."""
    variants: Sequence[PlannedVariant]
    functions: Sequence[ScoreFunction]
    labels: RunLabels
    include_durations: bool | None
    """Whether to read the times of the items."""
    repeat: int
    total: int
    """Number of items of each variant."""
    max_scores: int
    progress: ProgressOption
    map_options: Mapping[str, Any]
    """The options of `map` that are the same for all variants."""

    def __post_init__(self) -> None:
        self._turns = _Turns(len(self.variants))
        self._by_number: dict[int, PlannedVariant] = {}
        self._times = DurationBudget(self.include_durations)
        self._ended: deque[Block] = deque()
        """The items that are not stored yet."""
        self._timed: deque[Block] = deque()
        """The items whose times have been read."""
        self._waiting: dict[str, deque[tuple[Block, list[int]]]] = {
            function.key: deque() for function in self.functions
        }
        """The items that wait for a score: blocks with the places of the items, by the key of the function."""
        self._unscored: dict[str, Iterator[tuple[Block, list[int]]]] = {}
        """The items of earlier calls that have no score, by the key of its function."""
        self._workers: SyncWorkers[int] = SyncWorkers()
        self._scoring = SyncScoring(self.max_scores)
        self._scores_running = 0
        self._count = BatchCount(self.total * len(self.variants))
        self._room = _MAX_WAITING
        """Number of outcomes that may be read before the next step."""
        self._is_over = False

    def run(self) -> None:
        """Run what has not been run yet, and compute the scores that are missing."""
        try:
            with show_progress(self.progress) as report:
                report(self._count.progress())
                self._start_variants()
                while len(self._workers):
                    self._process_ended()
                    report(self._count.progress())
                self.labels.end()
                report(self._count.progress(is_over=True))
        finally:
            self._is_over = True
            self._turns.is_over = True
            self._scoring.close()
            self._workers.close(grace=_GRACE)

    def _journal(self, number: int) -> Path | None:
        return None if self.store.id is None else self.store.journal(number)

    def _start_variants(self) -> None:
        numbers, total = self.store.variants, self.total
        self._by_number = {numbers[variant.name]: variant for variant in self.variants}
        ended = {number: self.store.read_ended(number) for number in numbers.values()}
        for function in self.functions:
            self._unscored[function.key] = self.store.iterate_unscored(function.key, ended)
        for place, (number, variant) in enumerate(self._by_number.items()):
            if sum(ended[number].values()) == total:
                self._turns.read[place] = math.inf
                self._count.skip(total)
                continue
            journal = self._journal(number)
            if ended[number] and journal is not None and not journal.exists():
                raise JournalError(
                    f"{journal} is missing, without which the evaluation cannot be continued",
                    hint="restore it, or evaluate in a new folder",
                )
            inputs = _Inputs(self.store, self._turns, place, self.repeat)
            self._workers.start(partial(self._run_variant, variant, number, inputs, ended[number]))
        self._start_scores()

    def _process_ended(self) -> None:
        """Wait a moment for something to end, store what has ended, and start to score it."""
        until = time.monotonic() + _INTERVAL
        try:
            self._scores_running -= self._workers.wait_for_result(until)
        except TimeoutError:
            # Also the errors of requests.
            if not has_passed(until):
                raise
        blocks = [self._timed.popleft() for _ in range(len(self._timed))]
        for block in [self._ended.popleft() for _ in range(len(self._ended))]:
            if self.labels.common is not None:
                self.labels.record(self._by_number[block.variant], block)
            if self._times.should_read(block.first):
                self._workers.start(partial(self._read_durations, block))
            else:
                blocks.append(block)
        if blocks:
            self.store.store_blocks(blocks)
        for waiting in self._waiting.values():
            waiting.extend((block, places) for block in blocks if (places := block.successes))
        self._start_scores()
        left = [sum(len(places) for _, places in waiting) for waiting in self._waiting.values()]
        self._room = _MAX_WAITING - sum(map(len, self._timed)) - max(left, default=0)

    def _build_item(self, block: Block, place: int) -> EvaluationItem:
        return block.item(place, self._by_number[block.variant].name, self.repeat)

    def _read_durations(self, block: Block) -> int:
        """Read the times of the items of a block, and return the number of score functions that have ended: none."""
        began = time.monotonic()
        for run_id, places in block.runs.items():
            times = ItemTimes(run_id)
            # Without them, an item has no duration.
            with suppress(StepflowClientError):
                with self.client.run_events(run_id) as events:
                    for event in events:
                        times.note(event)
            durations: dict[int | None, float] = {item.index: item.duration for item in times.times}
            for place in places:
                block.durations[place] = durations.get(block.indexes[place])
        self._timed.append(block)
        self._times.note(time.monotonic() - began)
        return 0

    def _run_variant(self, variant: PlannedVariant, number: int, inputs: _Inputs, stored: Mapping[int, int]) -> int:
        """Run a variant on the cases, and return the number of score functions that have ended: none."""
        stream = self.client.map(
            inputs=inputs,
            journal=self._journal(number),
            labels=self.labels.of(variant),
            **variant.arguments,
            **self.map_options,
        )
        with stream as outcomes:
            for chunk in outcomes.chunks():
                for outcome in chunk:
                    self._count.note(outcome)
                cases = inputs.take_cases(chunk)
                # The journal has the same chunks.
                if chunk[0].index not in stored:
                    self._ended.append(build_block(number, cases, chunk))
                self._room -= len(chunk)
                # Too many items wait for their scores.
                while self._room < 0 and not self._is_over:  # noqa: ASYNC110 - rarely, and in threads too
                    time.sleep(_INTERVAL / 10)
                if self._is_over:
                    break
        return 0

    def _start_scores(self) -> None:
        for function in self.functions:
            waiting, iterate_unscored = self._waiting[function.key], self._unscored[function.key]
            while self._scores_running < self.max_scores:
                if not waiting:
                    waiting.extend(islice(iterate_unscored, 1))
                if not waiting:
                    break
                block, places = waiting.popleft()
                some, left = places[: function.chunk_size], places[function.chunk_size :]
                if left:
                    waiting.appendleft((block, left))
                self._scores_running += 1
                self._workers.start(partial(self._score, function, block, some))

    def _score(self, function: ScoreFunction, block: Block, places: list[int]) -> int:
        """Score some items of a block, and return the number of score functions that have ended."""
        may_continue = lambda: not self._is_over  # noqa: E731
        call = partial(function.apply, block, places, self._build_item, self.client, self.store, may_continue)
        self._scoring.run(function, call)
        return 1


class _Turns:
    """How many inputs each variant has read. The one that has read fewest is next; of several, a random one."""

    def __init__(self, count: int) -> None:
        self._order = list(range(count))
        self._random = Random(0)
        self._round = 0.0
        self.read: list[float] = [0] * count
        """By the place of the variant; infinite once it needs no more inputs."""
        self.is_over = False
        """Whether the variants are to stop."""

    def wait(self, place: int) -> bool:
        """Wait until it is a variant's turn. Return False if the variants are to stop."""
        while self.next() != place and not self.is_over:  # noqa: ASYNC110 - in threads too
            time.sleep(_INTERVAL / 10)
        return not self.is_over

    def next(self) -> int:
        """Return the place of the variant whose turn it is."""
        fewest = min(self.read)
        if fewest != self._round:
            # The variant that comes first finds the server idle more often than the others.
            self._round = fewest
            self._random.shuffle(self._order)
        return next(place for place in self._order if self.read[place] == fewest)


class _Inputs(SyncSource):
    """The inputs of a variant: each case as often as it is repeated, one after the other.

    Args:
        store: The folder of the evaluation.
        turns: The turns of the variants.
        place: The place of the variant among them.
        repeat: The number of repeats.
    """

    def __init__(self, store: EvaluationStore, turns: _Turns, place: int, repeat: int) -> None:
        super().__init__(())
        self.place = place
        self._turns = turns
        self._cases = chain.from_iterable([case] * repeat for case in store.cases())
        self._open: dict[int, EvaluationCase] = {}
        """The cases of the inputs without an outcome, by the index of the input."""
        self._index = 0

    def take_inputs(self, max_count: int) -> tuple[list[Any], Exception | None]:
        """Return the next inputs, with a maximum of `max_count`, in this variant's turn."""
        if not self._turns.wait(self.place):
            # An end without an error would mean that all inputs have been read.
            return [], StepflowClientError("the evaluation has ended")
        cases = list(islice(self._cases, max_count))
        self._open.update(enumerate(cases, self._index))
        self._index += len(cases)
        self.ended = len(cases) < max_count
        self._turns.read[self.place] = math.inf if self.ended else self._index
        return [case.input for case in cases], None

    def take_cases(self, outcomes: Sequence[Outcome]) -> list[EvaluationCase]:
        """Return the cases of inputs that have ended."""
        return [self._open.pop(outcome.index) for outcome in outcomes]

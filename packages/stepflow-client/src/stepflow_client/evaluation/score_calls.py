"""Calls of score functions, in an event loop and in threads. Both versions are written by hand."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from .._base.lazy import lazy_module
from .flow_score import FlowScore
from .records import Block, BlockScores, EvaluationItem
from .scorers import Scorer, apply_score, call_score
from .scores import Score
from .store import EvaluationStore

if TYPE_CHECKING:
    import asyncio
else:
    # Programs that only use the blocking version do not pay for the import.
    asyncio = lazy_module("asyncio")

# Target duration of the calls that are made in one go. Slow functions are called one by one.
_SECONDS = 0.02
_MAX_CHUNK = 400


class ScoreFunction:
    """A score function, and how it is called.

    Args:
        scorer: The function and its name.
        client: The client of the evaluation.
    """

    def __init__(self, scorer: Scorer, client: Any) -> None:
        self.scorer = scorer
        self.key = scorer.key
        self.chunk_size = 1
        """Number of calls that are made in one go: switching threads takes longer than a fast call."""
        self.is_fast = isinstance(scorer.score, Score)
        """Whether it computes only: it is called where it is, and its scores are stored together."""
        self.is_timed = bool(getattr(scorer.score, "needs_duration", False))
        """Whether it depends on the time of the item."""
        self.is_flow = isinstance(scorer.score, FlowScore)
        self.is_async = inspect.iscoroutinefunction(client.run) if self.is_flow else scorer.is_async

    async def apply(
        self,
        block: Block,
        places: Sequence[int],
        item_of: Callable[[Block, int], EvaluationItem],
        client: Any,
        store: EvaluationStore,
        may_continue: Callable[[], bool],
    ) -> None:
        """Compute and store the scores of some items of a block, one after the other.

        Each score is stored once it is known, so that a crash repeats no other. Built-in ones are stored together.
        """
        began = time.monotonic()
        if self.is_fast:
            store.store_scores(self._score_together(block, places))
        for place in () if self.is_fast else places:
            if not may_continue():
                return
            number = block.first + place
            # Without a journal, the key would be the same in the next evaluation.
            key = f"{store.id} {block.variant} {number} {self.key}" if self.is_flow and store.id else None
            scores, errors = await apply_score(self.scorer, item_of(block, place), client, key)
            values = {name: [value] for name, value in scores.items()}
            messages = {name: [message] for name, message in errors.items()}
            store.store_scores(BlockScores(block.variant, number, 1, self.key, values, messages))
        fitting = len(places) * _SECONDS / max(time.monotonic() - began, 1e-6)
        self.chunk_size = int(max(1, min(fitting, self.chunk_size * 4, _MAX_CHUNK)))

    def _score_together(self, block: Block, places: Sequence[int]) -> BlockScores:
        """Return the scores of a built-in function."""
        first, count = places[0], places[-1] - places[0] + 1
        columns: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
        for place in places:
            results: Iterable[Mapping[str, Any]] = call_score(
                self.scorer, block.cases[place], block.outputs[place], block.durations[place]
            )
            for column, values in zip(columns, results, strict=True):
                for name, value in values.items():
                    column.setdefault(name, [None] * count)[place - first] = value
        return BlockScores(block.variant, block.first + first, count, self.key, *columns)


def _run_without_waiting(call: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that waits for nothing."""
    with suppress(StopIteration):
        call.send(None)
        while True:
            call.throw(TypeError("it returned something to wait for; define it with async def"))


class AsyncScoring:
    """Calls coroutine functions in the event loop, and others in threads, so that they do not block it.

    Args:
        at_once: Maximum number of calls at once.
    """

    def __init__(self, at_once: int) -> None:
        """Start no thread yet."""
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="stepflow-client-score")

    async def run(self, function: ScoreFunction, apply: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a coroutine function, which waits for something only if the score function is async."""
        if function.is_async or function.is_fast:
            await apply()
            return
        run, loop = copy_context().run, asyncio.get_running_loop()
        await loop.run_in_executor(self._threads, lambda: run(lambda: _run_without_waiting(apply())))

    def close(self) -> None:
        """Start no more calls."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class SyncScoring:
    """Calls functions in the current thread; each coroutine function in an event loop of its own.

    Args:
        at_once: Maximum number of calls at once.
    """

    def __init__(self, at_once: int) -> None:
        """Do nothing: the caller has the threads."""

    def run(self, function: ScoreFunction, apply: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a coroutine function, which waits for something only if the score function is async."""
        if function.is_async:
            asyncio.run(apply())
        else:
            _run_without_waiting(apply())

    def close(self) -> None:
        """Do nothing."""

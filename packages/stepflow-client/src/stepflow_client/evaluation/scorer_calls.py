"""Call scores in the event loop or in threads, and convert their results to values that can be stored."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from .._base.lazy import lazy_module
from .._base.text_formatting import cut
from .._data.arguments import argument_error, short_repr
from .._data.wire import check_json
from ..errors import InvalidArgumentError, StepflowClientError
from .records import EvaluationItem, ItemBlock, ScoreValue
from .scores import FlowScore, Score, ScoreFailedError
from .store import EvaluationStore

if TYPE_CHECKING:
    import asyncio

    _Apply: TypeAlias = Callable[[], Coroutine[Any, Any, None]]
else:
    # Import this lazily, because programs that only use the blocking version don't need it.
    asyncio = lazy_module("asyncio")

# Target duration of a batch of calls, in seconds. Slow functions are called one at a time.
_TARGET_CHUNK_SECONDS = 0.02
_MAX_CHUNK_SIZE = 400
_CASE_PARAMETERS = ("input", "output", "expected")
_MAX_LABEL_LENGTH = 100
_MAX_MESSAGE_LENGTH = 1_000


class Scorer:
    """A named score, along with the information needed to call it.

    Args:
        score: The score as passed by the caller.
        name: The score's name.

    Raises:
        InvalidArgumentError: If it isn't a score.
    """

    def __init__(self, score: Any, name: str) -> None:
        self.score, self.name = score, name
        function: Any = score
        self._call: Any
        """A function that returns the result for an item, or an awaitable that resolves to it."""
        if is_evaluator(score):
            function, self._call = score.evaluate, lambda item: score.evaluate(EvaluatorContext(item))
        elif isinstance(score, FlowScore):
            function = score._score_item
        elif not callable(score) or isinstance(score, type):
            expected = "a function of (input, output, expected), a FlowScore, or an Evaluator of pydantic-evals"
            raise argument_error("a score", expected, score)
        else:
            self._call = _make_score_caller(score)
        # An object's `__call__` may also be a coroutine function.
        functions = _unwrap_partials(function), getattr(function, "__call__", None)  # noqa: B004
        self.is_async = any(map(inspect.iscoroutinefunction, functions))
        """Whether the call returns an awaitable."""
        self.is_flow = isinstance(score, FlowScore)
        self.is_builtin = isinstance(score, Score)
        """Whether the score is pure computation. If so, it's called inline and its values are stored together."""
        self.is_timed = bool(getattr(score, "needs_duration", False))
        """Whether the score needs the item's duration."""
        self.lower_is_better = getattr(score, "lower_is_better", False) is True
        names = [field.name for field in fields(score)] if is_dataclass(score) else []
        arguments = {field: getattr(score, field, None) for field in names}
        parts = [type(score).__qualname__, _get_declared_version(score), arguments]
        # Include only the type of a client or model, because its other attributes differ between processes.
        text = json.dumps(parts, default=lambda value: type(value).__qualname__, skipkeys=True)
        self.key = f"{name} {_digest_text(text)}"
        """A key derived from the score's name and version. If either changes, values are recomputed."""
        self.source = ""
        """A digest of the source code, or an empty string for built-in scores and objects without source code."""
        plain = _unwrap_partials(score)
        code = plain if inspect.isroutine(plain) else type(plain)
        if not code.__module__.startswith(__package__ or "."):
            with suppress(OSError, TypeError):
                self.source = _digest_text(inspect.getsource(code))
        self.chunk_size = 1
        """Number of calls per batch. Calls are batched because switching threads takes longer than a fast call."""

    async def compute_and_store_scores(
        self,
        block: ItemBlock,
        places: Sequence[int],
        client: Any,
        store: EvaluationStore,
        may_continue: Callable[[], bool],
    ) -> None:
        """Compute and store the scores of some of a block's items, one at a time.

        Each score is stored as soon as it's computed, so it isn't recomputed after a crash. Built-in scores are stored
        together.
        """
        began = time.monotonic()
        if self.is_builtin:
            first, count = places[0], places[-1] - places[0] + 1
            columns: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
            for place in places:
                found: Iterable[Mapping[str, Any]] = await self.compute_scores(block.items[place])
                for column, values in zip(columns, found, strict=True):
                    for name, value in values.items():
                        column.setdefault(name, [None] * count)[place - first] = value
            store.store_scores(block.variant, block.first + first, count, self.key, *columns)
        for place in () if self.is_builtin else places:
            if not may_continue():
                return
            number = block.first + place
            # If there's no journal, don't use keys, because the next evaluation would use the same ones.
            key = f"{store.id} {block.variant} {number} {self.key}" if self.is_flow and store.id else None
            results = await self.compute_scores(block.items[place], client, key)
            singles = ({name: [value] for name, value in by_name.items()} for by_name in results)
            store.store_scores(block.variant, number, 1, self.key, *singles)
        fitting = len(places) * _TARGET_CHUNK_SECONDS / max(time.monotonic() - began, 1e-6)
        self.chunk_size = int(max(1, min(fitting, self.chunk_size * 4, _MAX_CHUNK_SIZE)))

    async def compute_scores(
        self, item: EvaluationItem, client: Any = None, key: str | None = None
    ) -> tuple[dict[str, ScoreValue], dict[str, str]]:
        """Return a completed item's scores by name, and the error messages of failed scores by name.

        This never waits unless the score is asynchronous.

        Args:
            item: The item.
            client: The client on which to run a `FlowScore`'s flow.
            key: The idempotency key for that flow's run.

        Raises:
            StepflowClientError: If a `FlowScore`'s flow cannot be run.
        """
        try:
            result = await self.score._score_item(item, client, key) if self.is_flow else self._call(item)
            return self._extract_scores(await result if inspect.isawaitable(result) else result), {}
        except Exception as error:
            if self.is_flow and isinstance(error, StepflowClientError):
                raise
            kind = "" if isinstance(error, ScoreFailedError) else f"{type(error).__name__}: "
            text = cut(f"{kind}{error}".rstrip(": "), _MAX_MESSAGE_LENGTH)
            return {}, {self.name: text.encode(errors="backslashreplace").decode()}

    def _extract_scores(self, result: Any) -> dict[str, ScoreValue]:
        """Return the scores in a returned value, keyed by name.

        Raises:
            TypeError: If the value isn't a score.
            ValueError: If it is a non-finite number, or a string too long for a label.
        """
        if result is None:
            return {}
        if not isinstance(result, Mapping):
            return {self.name: _convert_to_score(result)}
        values = {check_json(str(key), "a name"): value for key, value in result.items() if value is not None}
        return {f"{self.name}.{key}": _convert_to_score(value) for key, value in values.items()}


async def async_run_score_call(scorer: Scorer, apply: _Apply, threads: ThreadPoolExecutor) -> None:
    """Run a coroutine function that calls a score: in the event loop if the call waits, or otherwise in a thread so
    that it doesn't block the loop."""
    if scorer.is_async or scorer.is_builtin:
        await apply()
        return
    run, loop = copy_context().run, asyncio.get_running_loop()
    await loop.run_in_executor(threads, lambda: run(lambda: _run_coroutine_without_event_loop(apply())))


def sync_run_score_call(scorer: Scorer, apply: _Apply, threads: ThreadPoolExecutor) -> None:
    """Run a coroutine function that calls a score. If the call waits, it runs in a new event loop.

    Args:
        scorer: The score.
        apply: The coroutine function.
        threads: Ignored, because the caller already runs in a thread.
    """
    # A `FlowScore` also needs an event loop: its client blocks, but checking a large input waits for a thread.
    if scorer.is_async:
        asyncio.run(apply())
    else:
        _run_coroutine_without_event_loop(apply())


def _run_coroutine_without_event_loop(call: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that never actually waits."""
    with suppress(StopIteration):
        call.send(None)
        while True:
            call.throw(TypeError("it returned an awaitable; define it with async def"))


def build_scorers(scores: Any) -> list[Scorer]:
    """Build named scorers from the scores passed to `evaluate`.

    Args:
        scores: A score, a list of scores, or a mapping from names to scores.

    Raises:
        InvalidArgumentError: If one of them isn't a score, or if two have the same name.
    """
    if isinstance(scores, Mapping):
        named = list(scores.items())
    else:
        is_many = isinstance(scores, Iterable) and not callable(scores)
        named = [(None, score) for score in (scores if is_many else [scores])]
    built: list[Scorer] = []
    for name, score in named:
        if name is not None and (not isinstance(name, str) or not name):
            raise argument_error("scores", "a mapping with string keys", scores)
        scorer = Scorer(score, name or _infer_name(score, len(built)))
        if any(other.name == scorer.name for other in built):
            hint = 'give them names: scores={"first": ..., "second": ...}'
            raise InvalidArgumentError(f"two scores are named {scorer.name!r}", hint=hint)
        built.append(scorer)
    return built


def _infer_name(score: Any, number: int) -> str:
    if is_evaluator(score):
        return str(score.get_default_evaluation_name())
    score = _unwrap_partials(score)
    name = getattr(score, "name", None) or getattr(score, "__name__", None)
    if isinstance(name, str) and name != "<lambda>":
        return name
    return f"score{number + 1}" if name else type(score).__name__


def _get_declared_version(score: Any) -> str:
    version = getattr(score, "version", None) or getattr(_unwrap_partials(score), "version", None)
    if version is None and is_evaluator(score) and hasattr(score, "get_evaluator_version"):
        version = score.get_evaluator_version()
    return "" if callable(version) else str(version)


def _digest_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _unwrap_partials(function: Any) -> Any:
    while isinstance(function, partial):
        function = function.func
    return function


def _make_score_caller(score: Callable[..., Any]) -> Callable[[EvaluationItem], Any]:
    """Return a function that calls a score with the arguments that match its parameters."""
    try:
        parameters = inspect.signature(score).parameters.values()
    except (TypeError, ValueError):
        # Some C functions have no signature, e.g. a few in numpy.
        return lambda item: score(item.output)
    kinds = inspect.Parameter
    named = [each for each in parameters if each.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)]
    names = [each.name for each in named if each.name in (*_CASE_PARAMETERS, "item")]
    others = [each.name for each in named if each.default is each.empty and each.name not in names]
    others += [each.name for each in parameters if each.kind is kinds.POSITIONAL_ONLY]
    if names and not others:
        return lambda item: score(**{name: item if name == "item" else getattr(item, name) for name in names})
    takes_any = not names and not others and any(each.kind is kinds.VAR_POSITIONAL for each in parameters)
    if takes_any or len(names) + len(others) == len(_CASE_PARAMETERS):
        return lambda item: score(item.input, item.output, item.expected)
    if len(others) == 1 and not names:
        return lambda item: score(item.output)
    has = f"has the parameters {', '.join([*names, *others])}" if names or others else "has no parameters"
    hint = "a score may have the parameters input, output, expected and item"
    raise InvalidArgumentError(f"the score {short_repr(score)} {has}", hint=hint)


def _convert_to_score(value: Any) -> ScoreValue:
    if hasattr(value, "value") and (hasattr(value, "reason") or isinstance(value, Enum)):
        value = value.value
    if not isinstance(value, (bool, int, float, str)) and callable(getattr(value, "item", None)):
        # This is a numpy number or a single-element tensor.
        value = value.item()
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        if len(value) > _MAX_LABEL_LENGTH:
            most = f"a label must have at most {_MAX_LABEL_LENGTH} characters"
            raise ValueError(f"{most}, not {len(value)}: {cut(value, 60)!r}")
        check_json(value, "a label")
        return value
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"a score must be a number, true or false, or a label, not {short_repr(value)}") from None
    if not math.isfinite(number):
        raise ValueError(f"a score must be a finite number, not {number}")
    return number


def is_evaluator(value: object) -> bool:
    """Return whether a value is a pydantic-evals `Evaluator`."""
    names = ("evaluate", "evaluate_async", "get_default_evaluation_name")
    return not isinstance(value, type) and all(callable(getattr(value, name, None)) for name in names)


class EvaluatorContext:
    """The context passed to an evaluator, with the attributes that pydantic-evals would provide."""

    def __init__(self, item: EvaluationItem) -> None:
        self.name = item.case
        self.metadata = item.metadata or None
        self.inputs, self.expected_output, self.output = item.input, item.expected, item.output
        self.attributes: dict[str, Any] = {}
        self.metrics: dict[str, float] = {}
        self._duration = item.duration

    @property
    def duration(self) -> float:
        """The item's duration in seconds.

        Raises:
            ValueError: If the server doesn't report step times.
        """
        if self._duration is None:
            raise ValueError("this server does not report the times of steps")
        return self._duration

    @property
    def span_tree(self) -> Any:
        """Not available, because the server records the spans.

        Raises:
            ValueError: Always.
        """
        raise ValueError("a flow's spans are recorded by its server, not here")

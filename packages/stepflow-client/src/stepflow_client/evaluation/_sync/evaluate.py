# Written from _async/evaluate.py by `make generate`. Change that file instead.

"""Runs a flow's variants side by side on the same cases (e.g. past runs) and scores their outputs."""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import chain, islice
from random import Random
from typing import Any, Literal
from uuid import uuid4

from ..._base.logging import logger
from ..._codec.call_checks import Variables, check_concurrency, parse_run_variables
from ..._concurrency import SyncInputReader, SyncTaskSet, sync_gather
from ..._data import arguments
from ..._display.progress_display import check_progress_option, show_progress
from ..._rules.chunks import InputRetryRule, RetryOn
from ..._rules.deadlines import has_passed
from ..._rules.run_progress import BatchCount, ItemTimes
from ..._telemetry.history_recorder import list_server_aliases
from ...errors import InvalidArgumentError, JournalError, NotFoundError, StepflowClientError
from ...flows.reading import FlowSource, load_flow
from ...progress import ProgressOption
from ...types.results import Outcome
from .. import records
from ..records import EvaluationCase, ItemBlock, PlannedVariant, RunLabeler, Variant
from ..report import EvaluationReport
from ..scorer_calls import Scorer, build_scorers, sync_run_score_call
from ..statistics import import_numpy
from ..store import EvaluationStore, StoredItems, collect_secrets

# Polling interval, in seconds.
_POLL_SECONDS = 0.05
# How many seconds to wait for the synchronous version's threads to finish, so that the folder can be used again.
_GRACE_SECONDS = 5.0
# Maximum number of items waiting for scores. Once it's reached, no more outcomes are read until some have been scored.
_MAX_WAITING_ITEMS = 2_000
# Maximum share of the evaluation's time to spend reading durations. Fast flows emit many events per second.
_MAX_READ_SHARE = 0.05


@dataclass
class Evaluator:
    """Runs one evaluation's variants and scores their outputs."""

    client: Any
    store: EvaluationStore
    """The evaluation's folder, which already contains the cases and variants."""
    variants: Sequence[PlannedVariant]
    scorers: Sequence[Scorer]
    labels: RunLabeler
    durations: _DurationBudget
    repeat: int
    max_scores: int
    map_options: Mapping[str, Any]
    """`map` options shared by all variants."""

    def __post_init__(self) -> None:
        self._turns = _VariantTurns(len(self.variants))
        numbers = self.store.variants
        self._by_number = {numbers[variant.name]: variant for variant in self.variants}
        self._ended: deque[ItemBlock] = deque()
        """Finished items that haven't been stored yet."""
        self._timed: deque[ItemBlock] = deque()
        """Items whose durations have been read."""
        self._waiting: dict[str, deque[tuple[ItemBlock, list[int]]]] = {each.key: deque() for each in self.scorers}
        """For each score key, the blocks with items waiting for that score and the positions of those items."""
        self._workers: SyncTaskSet[int] = SyncTaskSet()
        self._threads = ThreadPoolExecutor(self.max_scores, thread_name_prefix="stepflow-client-score")
        self._scores_running = 0
        self._total = self.store.read_setting("count") * self.repeat
        """Number of items per variant."""
        self._count = BatchCount(self._total * len(self.variants))
        self._room = _MAX_WAITING_ITEMS
        """Number of outcomes that may still be read before finished items are next stored and scored."""

    def run_and_score(self, progress: ProgressOption) -> None:
        """Run the remaining items and compute the missing scores."""
        try:
            with show_progress(progress) as report:
                report(self._count.make_progress())
                self._start_variants()
                while len(self._workers):
                    self._store_and_score_finished()
                    report(self._count.make_progress())
                self.labels.label_remaining_blocks()
                report(self._count.make_progress(is_over=True))
        finally:
            self._turns.is_over = True
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._workers.close(grace=_GRACE_SECONDS)

    def _start_variants(self) -> None:
        ended = {number: self.store.read_block_lengths(number) for number in self._by_number}
        self._unscored = {scorer.key: self.store.iter_unscored(scorer.key, ended) for scorer in self.scorers}
        """Items from earlier calls that still need a score, by score key."""
        for place, (number, variant) in enumerate(self._by_number.items()):
            if sum(ended[number].values()) == self._total:
                self._turns.inputs_read[place] = math.inf
                self._count.add_earlier_item_count(self._total)
                continue
            journal = self.store.get_variant_journal_path(number)
            if ended[number] and journal is not None and not journal.exists():
                message = f"cannot resume the evaluation: {journal} is missing"
                raise JournalError(message, hint="restore it, or use a new folder")
            inputs = _VariantInputs(self.store, self._turns, place, self.repeat)
            self._workers.start(partial(self._run_variant, variant, number, inputs, ended[number]))
        self._start_scorers()

    def _store_and_score_finished(self) -> None:
        """Wait briefly for something to finish, then store finished items and start scoring them."""
        until = time.monotonic() + _POLL_SECONDS
        try:
            self._scores_running -= self._workers.wait_for_result(until)
        except TimeoutError:
            # Requests that time out also raise TimeoutError.
            if not has_passed(until):
                raise
        blocks = [self._timed.popleft() for _ in range(len(self._timed))]
        for block in [self._ended.popleft() for _ in range(len(self._ended))]:
            self.labels.label_finished_block(self._by_number[block.variant], block)
            if self.durations.should_read(block.first):
                self._workers.start(partial(self._read_item_durations, block))
            else:
                blocks.append(block)
        if blocks:
            self.store.store_blocks(blocks)
        for waiting in self._waiting.values():
            waiting.extend((block, places) for block in blocks if (places := block.completed_positions))
        self._start_scorers()
        left = [sum(len(places) for _, places in waiting) for waiting in self._waiting.values()]
        self._room = _MAX_WAITING_ITEMS - sum(len(block.items) for block in [*self._timed]) - max(left, default=0)

    def _read_item_durations(self, block: ItemBlock) -> int:
        """Read the durations of a block's items. Return 0, because no scorer has ended."""
        began = time.monotonic()
        for run_id in block.items_by_run:
            times = ItemTimes(run_id)
            # If the events can't be read, the items simply have no duration.
            with suppress(StepflowClientError):
                with self.client.run_events(run_id) as events:
                    for event in events:
                        times.add_event(event)
            durations: dict[int | None, float] = {timed.index: timed.duration for timed in times.times}
            for place, item in enumerate(block.items):
                if item.run_id == run_id:
                    block.items[place] = replace(item, duration=durations.get(item.item_index))
        self._timed.append(block)
        self.durations.record_reading_time(time.monotonic() - began)
        return 0

    def _run_variant(
        self, variant: PlannedVariant, number: int, inputs: _VariantInputs, stored: Mapping[int, int]
    ) -> int:
        """Run a variant on the cases. Return 0, because no scorer has ended."""
        stream = self.client.map(
            inputs=inputs,
            journal=self.store.get_variant_journal_path(number),
            labels=self.labels.get_batch_labels(variant),
            **variant.arguments_for_map,
            **self.map_options,
        )
        with stream as outcomes:
            for chunk in outcomes.chunks():
                for outcome in chunk:
                    self._count.add_outcome(outcome)
                cases = inputs.pop_finished_cases(chunk)
                # The journal uses the same chunks, so checking the first item is enough.
                if chunk[0].index not in stored:
                    self._ended.append(records.build_item_block(variant.name, number, self.repeat, cases, chunk))
                self._room -= len(chunk)
                # Pause while too many items are waiting to be scored.
                while self._room < 0 and not self._turns.is_over:  # noqa: ASYNC110 - rarely, and in threads too
                    time.sleep(_POLL_SECONDS / 10)
                if self._turns.is_over:
                    break
        return 0

    def _start_scorers(self) -> None:
        for scorer in self.scorers:
            waiting, unscored = self._waiting[scorer.key], self._unscored[scorer.key]
            while self._scores_running < self.max_scores:
                if not waiting:
                    waiting.extend(islice(unscored, 1))
                if not waiting:
                    break
                block, places = waiting.popleft()
                some, left = places[: scorer.chunk_size], places[scorer.chunk_size :]
                if left:
                    waiting.appendleft((block, left))
                self._scores_running += 1
                self._workers.start(partial(self._run_scorer, scorer, block, some))

    def _run_scorer(self, scorer: Scorer, block: ItemBlock, places: list[int]) -> int:
        """Score some of a block's items. Return 1, because one scorer has ended."""
        context = block, places, self.client, self.store, lambda: not self._turns.is_over
        sync_run_score_call(scorer, partial(scorer.compute_and_store_scores, *context), self._threads)
        return 1


class _DurationBudget:
    """Decides which durations to read, choosing the same cases for every variant.

    Args:
        include: Whether to read all durations (True) or none (False). If None, read as many as possible without
            delaying the evaluation.
    """

    def __init__(self, include: bool | None) -> None:
        """Start the clock."""
        self._include = include
        self._started_at = time.monotonic()
        self._read_seconds = 0.0
        self._open = 0
        self._decided: dict[int, bool] = {}
        """Maps the number of a run's first item to whether the run's durations are read."""

    def should_read(self, first: int) -> bool:
        """Return whether to read durations for the run whose first item has this number in its variant."""
        if self._include is not None:
            return self._include
        if first not in self._decided:
            is_late = self._open or self._read_seconds > (time.monotonic() - self._started_at) * _MAX_READ_SHARE
            self._decided[first] = not is_late
        self._open += self._decided[first]
        return self._decided[first]

    def record_reading_time(self, seconds: float) -> None:
        """Record how long it took to read the durations of a block."""
        self._open -= 1
        self._read_seconds += seconds


class _VariantTurns:
    """Tracks how many inputs each variant has read. The variant with the fewest is next; ties are broken randomly."""

    def __init__(self, count: int) -> None:
        self._order = list(range(count))
        self._random = Random(0)
        self._current_round = 0.0
        self.inputs_read: list[float] = [0] * count
        """The number of inputs each variant has read, by position. Infinite once a variant needs no more inputs."""
        self.is_over = False
        """Whether the variants should stop."""

    def wait_for_turn(self, place: int) -> bool:
        """Wait for a variant's turn. Return False if the variants should stop."""
        while self.find_next_variant() != place and not self.is_over:  # noqa: ASYNC110 - in threads too
            time.sleep(_POLL_SECONDS / 10)
        return not self.is_over

    def find_next_variant(self) -> int:
        """Return the position of the variant whose turn it is."""
        fewest = min(self.inputs_read)
        if fewest != self._current_round:
            # The variant that goes first finds the server idle more often, so shuffle the order in each round.
            self._current_round = fewest
            self._random.shuffle(self._order)
        return next(place for place in self._order if self.inputs_read[place] == fewest)


class _VariantInputs(SyncInputReader):
    """A variant's inputs. Each case is repeated `repeat` times in a row.

    Args:
        store: The evaluation's folder.
        turns: Decides which variant reads next.
        place: The variant's position in `turns`.
        repeat: The number of repeats.
    """

    def __init__(self, store: EvaluationStore, turns: _VariantTurns, place: int, repeat: int) -> None:
        super().__init__(())
        self.place = place
        self._turns = turns
        self._cases = chain.from_iterable([case] * repeat for case in store.iter_cases())
        self._open: dict[int, EvaluationCase] = {}
        """Cases whose inputs don't have an outcome yet, keyed by input index."""
        self._index = 0

    def take_inputs(self, max_count: int) -> tuple[list[Any], Exception | None]:
        """Wait for this variant's turn, then return up to `max_count` inputs."""
        if not self._turns.wait_for_turn(self.place):
            # Return an error, because an empty list alone would mean that all inputs have been read.
            return [], StepflowClientError("the evaluation has ended")
        cases = list(islice(self._cases, max_count))
        self._open.update(enumerate(cases, self._index))
        self._index += len(cases)
        self.ended = len(cases) < max_count
        self._turns.inputs_read[self.place] = math.inf if self.ended else self._index
        return [case.input for case in cases], None

    def pop_finished_cases(self, outcomes: Sequence[Outcome]) -> list[EvaluationCase]:
        """Return the cases for the finished inputs."""
        return [self._open.pop(outcome.index) for outcome in outcomes]


# Maximum number of runs read concurrently.
_MAX_CONCURRENT_READS = 16


def history_cases(
    client: Any, query: str | None = None, *, variables: Variables | None = None, limit: int = 1_000
) -> list[EvaluationCase]:
    """Return completed runs on the client's server as cases, oldest first. Their outputs become the expected outputs.

    A run's labels become its case's metadata. Runs are skipped if they used different variables or any overrides, if
    they kept outputs from earlier runs, or if the server has deleted them. A warning is logged with the number of
    skipped runs.

    Example:
        ```python
        cases = await history_cases(client, "customer=42 since:2026-11-23")
        report = sync_evaluate(client, "ticket_v2.yaml", cases, scores=[exact()])
        ```

    Args:
        client: A client with a history.
        query: A query for the runs to include, as for `History.search`. By default, all runs are included.
        variables: The variable values that the cases will be run with. Defaults to none.
        limit: Maximum number of runs. If there are more, the newest are used. Defaults to 1,000.

    Raises:
        InvalidArgumentError: If the client has no history, or if no matching run can be used.
        TransportError: If the server cannot be reached.
    """
    if not hasattr(arguments.check_client(client, "client", is_async=False), "snapshot"):
        raise arguments.argument_error("client", "a SyncStepflowClient", client)
    if client.history is None:
        raise InvalidArgumentError("the client has no history", hint="create it with history=History()")
    arguments.check_integer(limit, "limit", least=1)
    entries = client.history.search(query, status="completed", server=list_server_aliases(client.url), limit=limit)
    values = parse_run_variables(variables)
    calls = [partial(_read_run_cases, client, entry.run_id, values) for entry in reversed(entries)]
    cases_by_run = sync_gather(calls, _MAX_CONCURRENT_READS)
    left_out = sum(not run_cases for run_cases in cases_by_run)
    if left_out:
        why = "they had different variables, overrides or kept steps, or the server no longer has them"
        logger.warning("%d of %d runs in the history cannot be used as cases: %s", left_out, len(entries), why)
    cases = [case for run_cases in cases_by_run for case in run_cases]
    if not cases:
        raise InvalidArgumentError(f"the history has no runs on {client.url} that can be used as cases")
    return cases


def _read_run_cases(client: Any, run_id: str, variables: Mapping[str, Any]) -> list[EvaluationCase]:
    """Return a run's items as cases, or none if a rerun's results could differ for reasons other than the flow."""
    try:
        snapshot = client.snapshot(run_id, include=("items", "arguments"))
    except NotFoundError:
        return []
    arguments, items = snapshot.arguments, snapshot.items or ()
    if arguments is None or arguments.overrides or arguments.kept or "inputs" in arguments.hidden:
        return []
    secret = {name.removeprefix("variables.") for name in arguments.hidden}
    recorded = {name: value for name, value in (arguments.variables or {}).items() if name not in secret}
    expected = {name: value for name, value in variables.items() if name not in secret}
    if recorded != expected or arguments.inputs is None or len(arguments.inputs) != len(items):
        return []
    cases = []
    for item, value in zip(items, arguments.inputs, strict=True):
        if item.result is not None and item.result.is_success:
            name = f"{run_id} {item.index}" if len(items) > 1 else run_id
            cases.append(EvaluationCase(name, value, item.result.output, arguments.labels))
    return cases


def evaluate(
    client: Any,
    flow: FlowSource,
    cases: Any = None,
    *,
    variants: Mapping[str, Variant] | None = None,
    scores: Any = (),
    repeat: int = 1,
    journal: str | os.PathLike[str] | None = None,
    name: str | None = None,
    expected: str = "expected",
    variables: Variables | None = None,
    variables_from_env: bool = False,
    overrides: Any = None,
    check_input: bool = True,
    max_concurrency: int | None = None,
    max_scores: int = 8,
    chunk_size: int | None = None,
    max_attempts: int | None = None,
    retry_on: RetryOn | None = None,
    on_lost: Literal["fail", "rerun"] = "fail",
    on_cancel: Literal["detach", "cancel"] = "detach",
    labels: Mapping[str, str] | None = None,
    include_durations: bool | None = None,
    progress: ProgressOption = False,
) -> EvaluationReport:
    """Run variants of a flow on cases, score their outputs, and return a report.

    Each variant is run on all cases using `map`, in chunks. The variants take turns chunk by chunk, so a server slowing
    down or a cache warming up doesn't favor any of them. Inputs and outputs are kept in the journal (or in a temporary
    folder if there is none), so they don't fill up memory.

    Example:
        ```python
        report = sync_evaluate(
            client, "ticket.yaml", "tickets.csv",
            variants={"now": Variant(), "formal": Variant(variables={"tone": "formal"})},
            scores=[exact("category")], journal="eval/",
        )
        print(report.summary())
        ```

    Args:
        client: The client.
        flow: The flow, as for `run`, except that it can't be the ID of a stored flow.
        cases: A file path, as for `read_inputs`, or a collection of `EvaluationCase` objects, `{input, expected, name,
            metadata, tags}` objects, pydantic-evals cases (a `Dataset` works as well), rows, or plain inputs. A row's
            `expected` field is the expected output, and the remaining fields are the input. Defaults to the flow's test
            cases. A case without a name is named after its input's `id` or `key` or, failing that, its number.
        variants: The variants by name. Defaults to a single variant named `flow` that leaves the flow unchanged.
        scores: A list of scores, or a mapping from names to scores. A score can be a built-in one, a `FlowScore`, a
            pydantic-evals evaluator, or a function (or coroutine function). Functions accept any of `input`, `output`,
            `expected` and `item`, and return a number, a bool, a label, or a mapping of these. Only completed items are
            scored. If a score raises an exception, the error is stored in its place.
        repeat: How many times to run each variant on each case. Defaults to 1.
        journal: A folder in which to record the evaluation, so that you can continue it after a crash by repeating the
            call with the same cases. No run is executed twice, and stored scores aren't recomputed unless their
            `version` attribute has changed. If only their source code has changed, a warning is logged. (A function
            interrupted by the crash is called again; a `FlowScore` isn't.) If you add cases, only the new ones are run.
            The server's store must survive as long as the journal. By default, the evaluation isn't recorded.
        name: The evaluation's name, added to its runs as the label `eval`. Defaults to the name of the folder or the
            flow.
        expected: The field or column that contains the expected output. Defaults to `expected`.
        variables: Variable values for all variants, as for `run`.
        variables_from_env: Whether to read missing variables from the environment, as for `run`. Defaults to False.
        overrides: Changes to steps for all variants, as for `run`.
        check_input: Whether to check each input against the flow's input schema, as for `map`. Defaults to True.
        max_concurrency: Maximum number of items executed at once across all variants (at least one per variant).
            Defaults to the server's own limit.
        max_scores: Maximum number of score functions running at once. Functions that aren't coroutine functions run in
            threads. Defaults to 8.
        chunk_size: Maximum number of items in one run, as for `map`.
        max_attempts: Maximum number of attempts per item, as for `map`.
        retry_on: The failures to retry, as for `map`.
        on_lost: What to do with items whose run is in the journal but no longer on the server, as for `map`.
        on_cancel: What to do with runs in flight if the call ends early, as for `map`.
        labels: Additional labels for the runs, which always get the labels `eval` (the name), `variant`, `case` and
            `repeat` (as a range such as `3..17` if a run covers several). Requires a client with a history; without
            one, runs have no labels.
        include_durations: Whether to read each item's duration, from the start of its first step to the end of its last
            step. This takes one request per run and requires Stepflow 0.12 or newer. By default, reading durations may
            take up to a twentieth of the evaluation's time (so only a few are read if the flow takes milliseconds). If
            `latency` is a score, all durations are read.
        progress: Whether to show progress, or a function to call with it, as for `map`.

    Raises:
        FlowFileError: If a flow file or the file with the cases cannot be read.
        InvalidArgumentError: If an argument is invalid.
        JournalError: If the folder contains cases that this call doesn't include, if one of its variants had a
            different flow, variables or overrides, if it is damaged or in use, or if it cannot be read or written.
        InvalidFlowError: If the server rejects a flow.
        AmbiguousRunError: If the client cannot tell whether a run was created. With a journal, repeat the call later to
            find out.
        TransportError: If the server cannot be reached.
    """
    if not hasattr(arguments.check_client(client, "client", is_async=False), "map"):
        raise arguments.argument_error("client", "a SyncStepflowClient", client)
    if getattr(client, "_options", None):
        why = "variables=, max_attempts=, labels= and others are arguments of evaluate"
        hint = f"pass the original client: {why}, and journal= avoids executing a case or score again, as a cache does"
        raise InvalidArgumentError("an evaluation does not accept a client from with_options()", hint=hint)
    # `map` only checks its arguments once it starts.
    arguments.check_flags(variables_from_env=variables_from_env, check_input=check_input)
    if chunk_size is not None:
        arguments.check_integer(chunk_size, "chunk_size", least=1)
    InputRetryRule(max_attempts, retry_on)
    arguments.check_choice(on_lost, "on_lost", ("fail", "rerun"))
    arguments.check_choice(on_cancel, "on_cancel", ("detach", "cancel"))
    arguments.check_integer(repeat, "repeat", least=1)
    arguments.check_text(expected, "expected")
    check_concurrency(max_concurrency)
    arguments.check_integer(max_scores, "max_scores", least=1, most=1000)
    if include_durations is not None:
        arguments.check_flag(include_durations, "include_durations")
    if labels is not None:
        arguments.check_labels(labels)
    check_progress_option(progress)
    # The report needs numpy, so if it's missing, fail now instead of hours later.
    import_numpy()
    content = load_flow(flow)
    planned = records.plan_variants(content, variants, variables, overrides)
    scorers = build_scorers(scores)
    items = StoredItems(journal)
    if name is None:
        name = (items.folder.resolve().name if journal is not None else "") or str(content.get("name") or "evaluation")
    arguments.check_text(name, "name")
    with EvaluationStore(items.folder, is_new=True) as store:
        sources: dict[str, str] = store.read_setting("sources", {})
        for scorer in scorers:
            if sources.setdefault(scorer.key, scorer.source) != scorer.source:
                changed = "score %r has changed but its version has not: stored values are not recomputed"
                logger.warning(changed, scorer.name)
        moments: dict[str, int] = store.read_setting("moments", {})
        now = max(moments.values(), default=-1) + 1
        count = store.store_or_check_settings(
            records.resolve_cases(cases, flow, content, expected),
            repeat,
            {variant.name: variant.settings_digest for variant in planned},
            name=name,
            flow=content.get("name"),
            scores=[scorer.key for scorer in scorers],
            sources=sources,
            flows=[variant.flow for variant in planned],
            lower_is_better=[scorer.name for scorer in scorers if scorer.lower_is_better],
            timed=[scorer.name for scorer in scorers if scorer.is_timed],
            moments={**dict.fromkeys((variant.name for variant in planned), now), **moments},
            began=store.read_setting("began") or datetime.now(UTC).isoformat(),
            id=None if journal is None else store.id or uuid4().hex,
        )
        given_variables = [variant.variables for variant in planned]
        store.secrets = collect_secrets([variant.flow for variant in planned], given_variables)
        if include_durations is not False and not (client.server_info()).capabilities["events"]:
            include_durations = False
        elif include_durations is None and any(scorer.is_timed for scorer in scorers):
            include_durations = True
        map_options = {
            "variables_from_env": variables_from_env,
            "check_input": check_input,
            "chunk_size": chunk_size or records.choose_items_per_run(count * repeat, len(planned)),
            "max_concurrency": records.divide_concurrency(max_concurrency, len(planned)),
            "max_attempts": max_attempts,
            "retry_on": retry_on,
            "on_lost": on_lost,
            "on_cancel": on_cancel,
        }
        labeler, durations = RunLabeler(client, name, labels, variables_from_env), _DurationBudget(include_durations)
        evaluator = Evaluator(client, store, planned, scorers, labeler, durations, repeat, max_scores, map_options)
        evaluator.run_and_score(progress)
    return EvaluationReport._from_folder(items, given_variables)

"""Running the variants of a flow on cases, and scoring what they return."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

from ..._base.logging import logger
from ..._codec.requests import Variables, check_concurrency
from ..._data.arguments import (
    check_choice,
    check_client,
    check_flag,
    check_flags,
    check_integer,
    check_labels,
    check_text,
    wrong,
)
from ..._data.file_paths import file_path
from ..._display.progress_display import check_progress
from ..._rules.input_retries import RetryOn, RetryRule
from ...errors import InvalidArgumentError
from ...flows.flow_argument import FlowSource, load_flow
from ...progress import ProgressOption
from ..cases import read_cases
from ..plan import RunLabels, choose_chunk_size, limit, plan_variants
from ..records import Variant
from ..report import EvaluationReport
from ..score_calls import ScoreFunction
from ..scorers import build_scorers
from ..statistics import import_numpy
from ..store import EvaluationStore, StoredItems, TemporaryFolder, collect_secrets
from .evaluator import Evaluator


async def evaluate(
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
    """Run variants of a flow on cases, score what they return, and return the report.

    Each variant is run on all cases by `map`, in chunks. The variants take turns, chunk by chunk, so that a server that
    becomes slower, or caches that become warm, favour none of them. Neither inputs nor outputs fill the memory: they
    are in the journal, or in a temporary folder.

    Example:
        ```python
        report = await evaluate(
            client, "ticket.yaml", "tickets.csv",
            variants={"now": Variant(), "formal": Variant(variables={"tone": "formal"})},
            scores=[exact("category")], journal="eval/",
        )
        print(report.summary())
        ```

    Args:
        client: The client.
        flow: The flow, as for `run`, but not the id of a stored one.
        cases: The path of a file, as for `read_inputs`; or a collection of `EvaluationCase`, of objects `{input,
            expected, name, metadata, tags}`, of rows whose field `expected` is the expected output and whose other
            fields are the input, of other inputs, or of cases of pydantic-evals (or its `Dataset`). None, the default:
            the test cases of the flow. A case without a name has that of the `id` or `key` of its input, else its
            number.
        variants: The variants by name. None, the default: only `flow`, the flow as it is.
        scores: A list of scores, or a mapping of them by name: built-in ones, functions of any of the parameters
            `input`, `output`, `expected` and `item` that return a number, a bool, a label, or a mapping of these
            (coroutine functions too), `FlowScore`, and evaluators of pydantic-evals. They are called for items that
            completed. A score that raises is recorded like any other.
        repeat: Number of times that each variant is run on each case. Default 1.
        journal: The path of a folder that records the evaluation, so that the same call with the same cases continues
            after a crash: no run is executed again, and no score that is stored is computed again, unless its
            attribute `version` has changed; a warning tells if only its source has. (A function that is being called
            during a crash is called again; a `FlowScore` is not.)
            Cases that are new are added: only they are run.
            Requires a server whose store survives as long. None, the default: nothing is kept.
        name: The name of the evaluation, which its runs have as the label `eval`. None, the default: the name of the
            folder or of the flow.
        expected: The field or column of the expected output. Default `expected`.
        variables: Values of variables for all variants, as for `run`.
        variables_from_env: Whether to read missing variables from the environment, as for `run`. Default False.
        overrides: Changes to steps for all variants, as for `run`.
        check_input: Whether to check each input against the flow's input schema, as for `map`. Default True.
        max_concurrency: Maximum number of items that are executed at once, over all variants, but at least one for
            each. None, the default, leaves it to the server.
        max_scores: Maximum number of score functions that are called at once; functions that are no coroutine
            functions are called in threads. Default 8.
        chunk_size: Maximum number of items in one run, as for `map`.
        max_attempts: Maximum number of times that an item is run if it fails, as for `map`.
        retry_on: The failures after which an item is run again, as for `map`.
        on_lost: What to do with items whose run is in the journal but no longer on the server, as for `map`.
        on_cancel: What to do with the runs in flight if the call ends early, as for `map`.
        labels: Labels of the runs, in addition to `eval` (the name), `variant`, `case` and `repeat` (or the first and
            the last one of the run: `3..17`). They need a client with a history; without one, runs have no labels.
        include_durations: Whether to read the time of each item, from the start of its first step to the end of its
            last, which takes a request for each run (0.12 and newer). None, the default: of as many as can
            be read in a twentieth of the time of the evaluation, which are few if the flow takes milliseconds; of all
            if `latency` is a score.
        progress: Whether to show the progress, or a function that is called with it, as for `map`.

    Raises:
        FlowFileError: If the file of a flow or of the cases cannot be read.
        InvalidArgumentError: If an argument is invalid.
        JournalError: If the folder has cases that are missing now, or a variant with another flow, variables or
            overrides, if it is damaged or in use, or if it cannot be read or written.
        InvalidFlowError: If the server refuses a flow.
        AmbiguousRunError: If the client cannot tell whether a run was created. With a journal, making the same call
            later finds out.
        TransportError: If the server cannot be reached.
    """
    if not hasattr(check_client(client, "client", awaited=True), "map"):
        raise wrong("client", "a StepflowClient", client)
    if getattr(client, "_options", None):
        raise InvalidArgumentError(
            "an evaluation takes no client of with_options()",
            hint="pass the client itself: variables=, max_attempts=, labels= and others are arguments of evaluate, and "
            "with journal= no case and no score is executed again, as with a cache",
        )
    # `map` checks its arguments only when it begins.
    check_flags(variables_from_env=variables_from_env, check_input=check_input)
    if chunk_size is not None:
        check_integer(chunk_size, "chunk_size", least=1)
    RetryRule(max_attempts, retry_on)
    check_choice(on_lost, "on_lost", ("fail", "rerun"))
    check_choice(on_cancel, "on_cancel", ("detach", "cancel"))
    check_integer(repeat, "repeat", least=1)
    check_text(expected, "expected")
    check_concurrency(max_concurrency)
    check_integer(max_scores, "max_scores", least=1, most=1000)
    if include_durations is not None:
        check_flag(include_durations, "include_durations")
    if labels is not None:
        check_labels(labels)
    check_progress(progress)
    # The report needs it: fail now, not after hours.
    import_numpy()
    content = load_flow(flow)
    planned = plan_variants(content, variants, variables, overrides)
    functions = [ScoreFunction(scorer, client) for scorer in build_scorers(scores)]
    temporary = TemporaryFolder() if journal is None else None
    path: Any = journal if temporary is None else temporary.path
    folder = file_path(path, "journal")
    if name is None:
        name = (folder.resolve().name if temporary is None else "") or str(content.get("name") or "evaluation")
    check_text(name, "name")
    with EvaluationStore(folder, is_new=True) as store:
        sources: dict[str, str] = store.value("sources", {})
        for function in functions:
            if sources.setdefault(function.key, function.scorer.source) != function.scorer.source:
                changed = "score %r has changed, but not its version: stored values are not computed again"
                logger.warning(changed, function.scorer.name)
        moments: dict[str, int] = store.value("moments", {})
        now = max(moments.values(), default=-1) + 1
        count = store.begin(
            read_cases(cases, flow, content, expected),
            repeat,
            {variant.name: variant.settings_digest for variant in planned},
            name=name,
            flow=content.get("name"),
            scores=[function.key for function in functions],
            sources=sources,
            flows=[variant.flow for variant in planned],
            lower_is_better=[function.scorer.name for function in functions if function.scorer.lower_is_better],
            timed=[function.scorer.name for function in functions if function.is_timed],
            moments={**dict.fromkeys((variant.name for variant in planned), now), **moments},
            began=store.value("began") or datetime.now(UTC).isoformat(),
            id=None if journal is None else store.id or uuid4().hex,
        )
        given_variables = [variant.variables for variant in planned]
        store.secrets = collect_secrets([variant.flow for variant in planned], given_variables)
        if include_durations is not False and not (await client.server_info()).capabilities["events"]:
            include_durations = False
        elif include_durations is None and any(function.is_timed for function in functions):
            include_durations = True
        evaluator = Evaluator(
            client=client,
            store=store,
            variants=planned,
            functions=functions,
            labels=RunLabels(client, name, repeat, labels),
            include_durations=include_durations,
            repeat=repeat,
            total=count * repeat,
            max_scores=max_scores,
            progress=progress,
            map_options={
                "variables_from_env": variables_from_env,
                "check_input": check_input,
                "chunk_size": chunk_size or choose_chunk_size(count * repeat, len(planned)),
                "max_concurrency": limit(max_concurrency, len(planned)),
                "max_attempts": max_attempts,
                "retry_on": retry_on,
                "on_lost": on_lost,
                "on_cancel": on_cancel,
            },
        )
        await evaluator.run()
    return EvaluationReport._from_folder(StoredItems(folder, temporary), given_variables)

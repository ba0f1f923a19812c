"""Tools that explain a failed run and rerun it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from stepflow_client import InvalidArgumentError, Keep
from stepflow_client._base.text_formatting import cut, short_json, visible, visible_lines
from stepflow_client._codec.flow_tools import make_tool_spec
from stepflow_client._command import async_compute
from stepflow_client.drawing import RunReport
from stepflow_client.drawing.report_data import mask_snapshot
from stepflow_client.flows.interpreter import apply_overrides_if_valid
from stepflow_client.tools import ToolResult

from ..runs.explain_failures import MAX_EXPLAINED_ITEMS
from ..server.server_log_files import read_run_log_lines

if TYPE_CHECKING:
    from stepflow_client import RunAccount
    from stepflow_client.types.runs import SnapshotPart

    from ..server.server_log_files import KeptLogLine
    from .tool_calls import ToolCall

_MAX_LOG_LINES = 20
_MAX_TRACEBACK_LINES = 8
_MAX_INPUT_LENGTH = 4_000
_MAX_LOG_LINE_LENGTH = 300
# Workers report durations in log lines that start with this prefix.
_TIMING_PREFIX = "TIMING: "


async def diagnose_run(call: ToolCall) -> ToolResult:
    """Explain why a run failed."""
    run_id = call.get_run_id()
    parts: list[SnapshotPart] = ["counts", "account"]
    run = (await call.runs.client.snapshot(run_id, include="counts")).details
    if run.status.value == "completed" and run.items.total <= MAX_EXPLAINED_ITEMS:
        parts += ("items", "steps")
    snapshot = await call.runs.client.snapshot(run_id, include=parts, item_index=call.arguments.get("item"))
    account = snapshot.account
    assert account is not None
    lines, mask = await asyncio.to_thread(read_run_log_lines, run_id), call.catalog.hide_secrets
    # Hide secrets before truncating lines, because a secret that is cut off would no longer be recognized.
    log = list(_format_relevant_log_lines(lines, mask))
    text = "\n".join(map(mask, _explain_run(account, RunReport(mask_snapshot(snapshot)), log, mask)))
    return ToolResult(visible_lines(text), mask(snapshot.details.to_dict()), run_id)


def _format_relevant_log_lines(lines: Iterable[KeptLogLine], mask: Callable[[Any], Any]) -> Iterator[str]:
    """Yield worker output and server warnings, without the routine lines that don't explain a failure."""
    for line in lines:
        if (not line.target or line.level != "info") and not line.message.startswith(_TIMING_PREFIX):
            yield f"{line.time} {line.level} {mask(line.message)}"
            yield from mask(line.exception or "").splitlines()[-_MAX_TRACEBACK_LINES:]


def _explain_run(account: RunAccount, report: RunReport, log: list[str], mask: Callable[[Any], Any]) -> Iterator[str]:
    failures = report.run.failures or ()
    item = f", item {account.item_index}" if report.run.items.total > 1 else ""
    yield from (f"Failed items: {visible(failure.text)}" for failure in failures)
    if item and report.run.failed_in_sub_runs:
        yield f"Run {account.run_id}: {report.run.text}"
    yield f"Run {account.run_id}{item}: {visible(account.text)}"
    cause = account.step(account.cause) if account.cause else None
    if cause is not None:
        yield f"Cause: step {visible(cause.step_id)}, component {visible(cause.component or 'unknown')}"
        resolved = report.input_of(account.item_index, cause.step_id)
        yield f"Its input: {visible(short_json(mask(resolved.value), _MAX_INPUT_LENGTH))}"
        yield from (f"Unknown parts of it: {visible(part)}" for part in resolved.not_known)
        yield from (f"Errors in it: {visible(failure)}" for failure in resolved.failures)
    if account.hint:
        yield f"Hint: {visible(account.hint)}"
    if account.completed:
        yield f"Completed: {visible(', '.join(account.completed))}"
    for name, because_of in account.not_run.items():
        yield f"Not run: {visible(name)}, because of {visible(because_of or 'an unknown step')}"
    yield from (f"Unknown: {visible(text)}" for text in account.unknown)
    yield from (f"Log: {cut(visible(line), _MAX_LOG_LINE_LENGTH)}" for line in log[-_MAX_LOG_LINES:])
    if cause is not None:
        yield (
            f"Next step: call rerun with run_id {account.run_id} and from_step {visible(cause.step_id)}, with a "
            "different input or overrides; without a change, only if the cause was temporary."
        )


async def rerun(call: ToolCall) -> ToolResult:
    """Rerun a run and wait for its result."""
    run_id = call.get_run_id()
    options: dict[str, Any] = {}
    if "overrides" in call.arguments:
        options["overrides"] = call.arguments["overrides"]
    if "from_step" in call.arguments:
        options["keep"] = Keep(before=call.arguments["from_step"])
    name = call.runs.find_tool_name(run_id) or ""
    tool, labels = call.catalog.tools.get(name), {**call.labels, **({"tool": name} if name else {})}
    if "input" in call.arguments:
        value = call.arguments["input"]
        options["input"] = [value] if isinstance(value, list) else value
        if tool is not None:
            spec = tool
            if "overrides" in options:
                # The overrides may make the flow read different input fields.
                spec = make_tool_spec(apply_overrides_if_valid(tool.flow, options["overrides"]), tool.name)
            await async_compute(partial(spec.check_input, value))
    if tool is not None:
        options["variables"] = call.catalog.variables[tool.name] or None

    async def create_reruns() -> str:
        client, key = call.runs.client, call.idempotency_key
        handles = await client.start_rerun(run_id, labels=labels, idempotency_key=key, **options)
        if not handles:
            raise InvalidArgumentError(f"nothing to run again in run {run_id}")
        for handle in handles[1:]:
            call.runs.track_run(handle.run_id)
        return handles[0].run_id

    return await call.wait_for_outcome(await call.start_run(create_reruns), call.runs.bounds.max_wait)

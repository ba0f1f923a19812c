"""Keeping a run, or an item of it, as a test case of its flow."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import unified_diff
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from ..flow_folder import FlowFile
from ..reports import flow_of
from ..security import form_fields
from ..site import Site, site_of

if TYPE_CHECKING:
    from stepflow_client import FlowResult, RunArguments, RunDetails, StoredFlow

_MOST_LINES = 1_000


@dataclass(frozen=True)
class Kept:
    """What to keep: an item with its input and its result."""

    run: RunDetails
    index: int
    total: int
    stored: StoredFlow | None
    given: RunArguments
    input: Any
    result: FlowResult
    files: list[FlowFile]
    """The files that the flow may come from, the most likely one first."""

    @property
    def is_hidden(self) -> bool:
        """Whether a secret in the case was replaced by `***`."""
        from stepflow_client._data.secrets import is_hidden

        return is_hidden(self.input) or is_hidden(self.result.output)


@dataclass(frozen=True)
class Draft:
    """A test case, and the file with it."""

    name: str
    text: str
    """The case as YAML."""
    file: FlowFile | None = None
    diff: tuple[str, ...] = ()
    content: bytes = b""
    problem: str = ""

    @property
    def digest(self) -> str:
        """Identifies what would be written, so that nothing else is written than was shown."""
        return hashlib.sha256(self.content).hexdigest()


async def keep_page(request: Request) -> Response:
    """Show the test case that a run would become, and what would change in the file of its flow."""
    site, query = site_of(request), request.query_params
    kept = await _kept(site, request.path_params["run_id"], query)
    return await _show(request, site, kept, query)


async def keep(request: Request) -> Response:
    """Write the test case into the file of the flow, if it is still what was shown."""
    site, form = site_of(request), form_fields(request)
    kept = await _kept(site, request.path_params["run_id"], form)
    draft = await run_in_threadpool(_draft, kept, form)
    if draft.file is None or draft.problem or draft.file.name != form.get("file"):
        return await _show(request, site, kept, form, 400)
    if draft.digest != form.get("digest"):
        return await _show(request, site, kept, form, 409, wrong="The file has changed: this is what would change now.")
    assert site.flows is not None
    try:
        await run_in_threadpool(site.flows.write, draft.file, draft.content)
    except OSError as error:
        wrong = f"{draft.file.name} cannot be written: {error.strerror or error}"
        return await _show(request, site, kept, form, 400, wrong=wrong)
    place = {"item": kept.index if kept.total > 1 else None, "file": draft.file.name, "kept": draft.name}
    query = site.templates.filters["query"](place)
    return RedirectResponse(f"/runs/{kept.run.run_id}/keep{query}", status_code=303)


async def _kept(site: Site, run_id: str, place: Mapping[str, str]) -> Kept:
    from stepflow_client import InvalidArgumentError, NotFoundError
    from stepflow_client.drawing.report_data import masked, masked_arguments

    run = await site.client.get_run(run_id)
    items = list(await site.client.get_run_items(run.run_id))
    text = place.get("item") or "0"
    index = int(text) if text.isdecimal() and len(text) < 8 else -1
    if not 0 <= index < len(items):
        raise NotFoundError(f"run {run.run_id} has no item {text}", status_code=404)
    stored = await flow_of(site, run)
    flow = stored.flow if stored else {}
    (item,), _ = masked(flow, [items[index]], [])
    if item.result is None:
        raise InvalidArgumentError("it has not ended yet: a test case needs its output or its error")
    given = masked_arguments(flow, await site.arguments(run.run_id))
    if given.inputs is None or len(given.inputs) != len(items):
        hint = "runs that were started on this machine are in the history, if it is on"
        raise InvalidArgumentError("the input of the run is not known, so it cannot become a test case", hint=hint)
    entry = site.recorded(run.run_id)
    files = []
    if site.flows is not None:
        recorded = None if entry is None else entry.flow_file
        files = await run_in_threadpool(site.flows.candidates, flow, recorded)
    return Kept(run, index, len(items), stored, given, given.inputs[index], item.result, files)


def _draft(kept: Kept, asked: Mapping[str, str]) -> Draft:
    from stepflow_client import StepflowClientError
    from stepflow_client._data.yaml_writer import write_yaml
    from stepflow_client.flows.edit.added_case import add_case, case_of
    from stepflow_client.flows.file import read_file

    name = asked.get("name", "").strip() or _name_of(kept)
    try:
        case = case_of(name, kept.input, kept.result)
    except StepflowClientError as error:
        return Draft(name, "", problem=error.message)
    text = write_yaml({"test": {"cases": [case]}})
    file = next((each for each in kept.files if each.name == asked.get("file")), next(iter(kept.files), None))
    if file is None:
        return Draft(name, text)
    try:
        before = read_file(str(file.path))
        after = add_case(before, case, file.name)
    except StepflowClientError as error:
        return Draft(name, text, file, problem=error.message)
    was, now = (each.decode("utf-8", "replace").splitlines() for each in (before, after))
    return Draft(name, text, file, tuple(unified_diff(was, now, lineterm=""))[2:], after)


def _name_of(kept: Kept) -> str:
    """Return a name for the case: unique, because it has the id of the run."""
    what = "works" if kept.result.is_success else "fails"
    return f"{what} as in {kept.run.run_id[:8]}{f' item {kept.index}' if kept.total > 1 else ''}"


async def _show(
    request: Request, site: Site, kept: Kept, asked: Mapping[str, str], status: int = 200, *, wrong: str = ""
) -> Response:
    done = asked.get("kept", "")
    file = next((each for each in kept.files if each.name == asked.get("file")), None)
    is_done = file is not None and any(
        isinstance(each, Mapping) and each.get("name") == done for each in _cases(file.flow)
    )
    draft = await run_in_threadpool(_draft, kept, asked)
    return site.page(
        request,
        "keep",
        status,
        kept=kept,
        run=kept.run,
        draft=draft,
        lines=[(_kind(line), line) for line in draft.diff[:_MOST_LINES]],
        has_folder=site.flows is not None,
        wrong=wrong,
        done=f"{site.flows.root / file.name}" if is_done and file is not None and site.flows is not None else "",
        case=done,
    )


def _cases(flow: Mapping[str, Any]) -> list[Any]:
    test = flow.get("test")
    cases = test.get("cases") if isinstance(test, Mapping) else None
    return cases if isinstance(cases, list) else []


def _kind(line: str) -> str:
    return {"+": "added", "-": "removed", "@": "place"}.get(line[:1], "same")

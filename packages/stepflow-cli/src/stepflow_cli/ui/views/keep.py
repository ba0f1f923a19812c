"""Keeping a run, or an item of it, as a test case of its flow."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from stepflow_client import NotFoundError, StepflowClientError
from stepflow_client._command import write_yaml
from stepflow_client._stores.user_files import FileChangedError
from stepflow_client.flows.file import read_file_bytes

from ...flow_tests.case_edits import add_case
from ...flow_tests.item_to_save import ItemToSave, diff_lines, read_item_to_save
from ..flow_folder import FlowFile
from ..security import get_form_fields
from ..site import Site, format_query, get_site, parse_index

_MAX_LINES = 1_000


@dataclass(frozen=True)
class Draft:
    """A test case, and the file with it."""

    name: str
    text: str
    """The case as YAML."""
    file: FlowFile | None = None
    diff: tuple[str, ...] = ()
    before: bytes = b""
    content: bytes = b""
    problem: str = ""

    @property
    def digest(self) -> str:
        """Identifies what would be written, so that nothing else is written than was shown."""
        return hashlib.sha256(self.content).hexdigest()


async def keep_page(request: Request) -> Response:
    """Show the test case that a run would become, and what would change in the file of its flow."""
    site, query = get_site(request), request.query_params
    item, files = await _read_item_and_files(site, request.path_params["run_id"], query)
    return await _show(request, site, item, files, query)


async def write_case(request: Request) -> Response:
    """Write the test case into the file of the flow, if it is still what was shown."""
    site, form = get_site(request), get_form_fields(request)
    item, files = await _read_item_and_files(site, request.path_params["run_id"], form)
    draft = await run_in_threadpool(_build_draft, item, files, form)
    if draft.file is None or draft.problem or draft.file.name != form.get("file"):
        return await _show(request, site, item, files, form, 400)
    assert site.flows is not None
    try:
        if draft.digest != form.get("digest"):
            raise FileChangedError
        await run_in_threadpool(site.flows.write, draft.file, draft.content, unchanged_from=draft.before)
    except FileChangedError:
        problem = "The file has changed. This is what would change now."
        return await _show(request, site, item, files, form, 409, problem=problem)
    except OSError as error:
        problem = f"{draft.file.name} cannot be written: {error.strerror or error}"
        return await _show(request, site, item, files, form, 400, problem=problem)
    place = {"item": item.index if item.total > 1 else None, "file": draft.file.name, "kept": draft.name}
    query = format_query(place)
    return RedirectResponse(f"/runs/{item.run.run_id}/keep{query}", status_code=303)


async def _read_item_and_files(site: Site, run_id: str, place: Mapping[str, str]) -> tuple[ItemToSave, list[FlowFile]]:
    """Return the item to keep, and the files that its flow may come from, the most likely one first."""
    index = parse_index(place, "item") if place.get("item") else 0
    if index is None:
        raise NotFoundError(f"run {run_id} has no item {place['item']}", status_code=404)
    snapshot = await site.read(run_id, ("items", "flow", "arguments"))
    item = read_item_to_save(snapshot, index)
    entry = site.history.get(snapshot.run_id)
    files = []
    if site.flows is not None:
        recorded = None if entry is None else entry.flow_file
        files = await run_in_threadpool(site.flows.rank_candidates, snapshot.flow or {}, recorded)
    return item, files


def _build_draft(item: ItemToSave, files: Sequence[FlowFile], form: Mapping[str, str]) -> Draft:
    name = form.get("name", "").strip() or item.name
    try:
        case = item.to_case(name)
    except StepflowClientError as error:
        return Draft(name, "", problem=error.message)
    text = write_yaml({"test": {"cases": [case]}})
    file = next((file for file in files if file.name == form.get("file")), files[0] if files else None)
    if file is None:
        return Draft(name, text)
    try:
        before = read_file_bytes(str(file.path))
        after = add_case(before, case, file.name)
    except StepflowClientError as error:
        return Draft(name, text, file, problem=error.message)
    return Draft(name, text, file, diff_lines(before, after), before, after)


async def _show(
    request: Request,
    site: Site,
    item: ItemToSave,
    files: Sequence[FlowFile],
    form: Mapping[str, str],
    status: int = 200,
    *,
    problem: str = "",
) -> Response:
    done = form.get("kept", "")
    file = next((file for file in files if file.name == form.get("file")), None)
    test = file.flow.get("test") if file is not None else None
    cases = test.get("cases") if isinstance(test, Mapping) else None
    names = [case.get("name") for case in cases if isinstance(case, Mapping)] if isinstance(cases, list) else []
    is_done = file is not None and site.flows is not None and done in names
    draft = await run_in_threadpool(_build_draft, item, files, form)
    kinds = {"+": "added", "-": "removed", "@": "place"}
    return site.page(
        request,
        "keep",
        status,
        kept=item,
        files=files,
        run=item.run,
        draft=draft,
        lines=[(kinds.get(line[:1], "same"), line) for line in draft.diff[:_MAX_LINES]],
        has_folder=site.flows is not None,
        problem=problem,
        done=f"{site.flows.root / file.name}" if is_done and site.flows and file else "",
        case=done,
    )

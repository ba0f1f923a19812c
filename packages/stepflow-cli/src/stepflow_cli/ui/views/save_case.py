"""Views that save an item of a run as a test case in its flow file.

The guard verifies the form token before a case is written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from stepflow_client import NotFoundError, StepflowClientError
from stepflow_client._command import write_yaml
from stepflow_client._stores.atomic_file_writes import FileChangedError
from stepflow_client.flows.reading import read_file_bytes

from ...flow_tests.save_run_as_case import ItemToSave, add_case_to_content, build_item_to_save, diff_contents
from ...inputs.flow_loading import list_example_and_case_names
from ..flow_folder import FlowFile
from ..security import get_accepted_form
from ..site_state import Site, build_changed_query, get_site, parse_query_index_or_none

_MAX_DIFF_LINES = 1_000


@dataclass(frozen=True)
class CaseDraft:
    """A test case that can be added to a flow file."""

    name: str
    text: str
    """The test case as YAML."""
    file: FlowFile | None = None
    diff: tuple[str, ...] = ()
    before: bytes = b""
    content: bytes = b""
    problem: str = ""

    @property
    def content_digest(self) -> str:
        """A hash of the new content. It ensures that the content written is exactly what the user was shown."""
        return hashlib.sha256(self.content).hexdigest()


async def preview_saved_case(request: Request) -> Response:
    """Show a preview of saving an item as a test case, with a diff of its flow file."""
    site, query = get_site(request), request.query_params
    item, files = await _read_item_and_source_files(site, request.path_params["run_id"], query)
    return await _render_case_preview(request, site, item, files, query)


async def write_case_to_file(request: Request) -> Response:
    """Write the test case to the flow file, but only if the result still matches the preview."""
    site, form = get_site(request), get_accepted_form(request)
    item, files = await _read_item_and_source_files(site, request.path_params["run_id"], form)
    draft = await run_in_threadpool(_build_case_draft, item, files, form)
    if draft.file is None or draft.problem or draft.file.name != form.get("file"):
        return await _render_case_preview(request, site, item, files, form, 400)
    assert site.flows is not None
    try:
        if draft.content_digest != form.get("digest"):
            raise FileChangedError
        await run_in_threadpool(site.flows.write_if_unchanged, draft.file, draft.content, expected_content=draft.before)
    except FileChangedError:
        problem = "The file has changed. This is what would change now."
        return await _render_case_preview(request, site, item, files, form, 409, problem=problem)
    except OSError as error:
        problem = f"{draft.file.name} cannot be written: {error.strerror or error}"
        return await _render_case_preview(request, site, item, files, form, 400, problem=problem)
    place = {"item": item.index if item.total > 1 else None, "file": draft.file.name, "kept": draft.name}
    return RedirectResponse(f"/runs/{item.run.run_id}/keep{build_changed_query(place)}", status_code=303)


async def _read_item_and_source_files(
    site: Site, run_id: str, place: Mapping[str, str]
) -> tuple[ItemToSave, list[FlowFile]]:
    """Return an item, along with the files that its flow may have come from (the most likely one first)."""
    index = parse_query_index_or_none(place, "item") if place.get("item") else 0
    if index is None:
        raise NotFoundError(f"run {run_id} has no item {place['item']}", status_code=404)
    snapshot = await site.read_snapshot(run_id, ("items", "flow", "arguments"))
    item = build_item_to_save(snapshot, index)
    entry = site.history.get(snapshot.run_id)
    files = []
    if site.flows is not None:
        recorded = None if entry is None else entry.flow_file
        files = await run_in_threadpool(site.flows.list_likely_source_files, snapshot.flow or {}, recorded)
    return item, files


def _build_case_draft(item: ItemToSave, files: Sequence[FlowFile], form: Mapping[str, str]) -> CaseDraft:
    name = form.get("name", "").strip() or item.default_case_name
    try:
        case = item.to_test_case(name)
    except StepflowClientError as error:
        return CaseDraft(name, "", problem=error.message)
    text = write_yaml({"test": {"cases": [case]}})
    file = next((file for file in files if file.name == form.get("file")), files[0] if files else None)
    if file is None:
        return CaseDraft(name, text)
    try:
        before = read_file_bytes(str(file.path))
        after = add_case_to_content(before, case, file.name)
    except StepflowClientError as error:
        return CaseDraft(name, text, file, problem=error.message)
    return CaseDraft(name, text, file, diff_contents(before, after), before, after)


async def _render_case_preview(
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
    names = list_example_and_case_names({"test": file.flow.get("test")}) if file is not None else []
    draft = await run_in_threadpool(_build_case_draft, item, files, form)
    kinds = {"+": "added", "-": "removed", "@": "place"}
    return site.render(
        request,
        "keep",
        status,
        kept=item,
        files=files,
        run=item.run,
        draft=draft,
        lines=[(kinds.get(line[:1], "same"), line) for line in draft.diff[:_MAX_DIFF_LINES]],
        has_folder=site.flows is not None,
        problem=problem,
        done=f"{site.flows.root / file.name}" if site.flows and file and done in names else "",
        case=done,
    )

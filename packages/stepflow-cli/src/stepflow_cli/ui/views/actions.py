"""Views that change runs, save them as test cases, or create access links.

By this point, the guard has verified the form token.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode
from uuid import UUID

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from stepflow_client import InvalidArgumentError, NotFoundError, RunDetails, StepflowClientError
from stepflow_client._command import write_yaml
from stepflow_client._stores.user_files import FileChangedError
from stepflow_client.flows.reading import read_file_bytes
from stepflow_client.types.statuses import UNSUCCESSFUL_STATUSES

from ...flow_tests.save_run_as_case import ItemToSave, add_case_to_content, build_item_to_save, diff_contents
from ...inputs.flow_loading import list_example_names
from ..flow_list import FlowFile
from ..security import get_verified_form, validate_page_path
from ..site import Site, build_changed_query, get_site, parse_query_index

_MAX_LINES = 1_000


@dataclass(frozen=True)
class CaseDraft:
    """A test case, and the file to add it to."""

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
        """A hash of the new content, to make sure that what gets written is exactly what was shown."""
        return hashlib.sha256(self.content).hexdigest()


async def preview_saved_case(request: Request) -> Response:
    """Preview saving a run as a test case, with a diff of its flow file."""
    site, query = get_site(request), request.query_params
    item, files = await _read_item_and_source_files(site, request.path_params["run_id"], query)
    return await _render_case_preview(request, site, item, files, query)


async def write_case_to_file(request: Request) -> Response:
    """Write the test case to the flow file, if the result is still the same as in the preview."""
    site, form = get_site(request), get_verified_form(request)
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
    """The files are those that its flow could be from, most likely first."""
    index = parse_query_index(place, "item") if place.get("item") else 0
    if index is None:
        raise NotFoundError(f"run {run_id} has no item {place['item']}", status_code=404)
    snapshot = await site.read_snapshot(run_id, ("items", "flow", "arguments"))
    item = build_item_to_save(snapshot, index)
    entry = site.history.get(snapshot.run_id)
    files = []
    if site.flows is not None:
        recorded = None if entry is None else entry.flow_file
        files = await run_in_threadpool(site.flows.rank_source_files, snapshot.flow or {}, recorded)
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
    names = list_example_names({"test": file.flow.get("test")}) if file is not None else []
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
        lines=[(kinds.get(line[:1], "same"), line) for line in draft.diff[:_MAX_LINES]],
        has_folder=site.flows is not None,
        problem=problem,
        done=f"{site.flows.root / file.name}" if site.flows and file and done in names else "",
        case=done,
    )


# Maximum number of runs whose state is fetched.
_MAX_RUNS = 200


async def cancel_run(request: Request) -> Response:
    """Cancel a run."""
    run_id = request.path_params["run_id"]
    await get_site(request).client.cancel_run(run_id)
    return RedirectResponse(f"/runs/{run_id}", status_code=303)


@dataclass(frozen=True)
class MultiRunRerun:
    """A rerun that didn't start exactly one run."""

    earlier_ids: Sequence[str]
    """The runs that were rerun."""
    run_ids: Sequence[str]

    async def fetch_started_runs(self, site: Site) -> list[RunDetails]:
        """Fetch the runs it started."""
        return [await site.client.get_run(run_id) for run_id in self.run_ids[:_MAX_RUNS]]


async def rerun_failed_parts(request: Request) -> Response:
    """Rerun the failed parts of a run, keeping the outputs of completed steps."""
    site, run_id = get_site(request), request.path_params["run_id"]
    handles = await site.client.start_rerun(run_id, keep="succeeded")
    return redirect_to_started_runs(site, [run_id], [handle.run_id for handle in handles])


def redirect_to_started_runs(site: Site, earlier_ids: Sequence[str], run_ids: Sequence[str]) -> Response:
    """Redirect to the run that the rerun started, or to a list unless there is exactly one."""
    if len(run_ids) == 1:
        return RedirectResponse(f"/runs/{run_ids[0]}", status_code=303)
    key = secrets.token_urlsafe(8)
    site.reruns.put_newest(key, MultiRunRerun(earlier_ids, run_ids))
    return RedirectResponse(f"/reruns/{key}", status_code=303)


async def started_runs_page(request: Request) -> Response:
    """List the runs of a rerun."""
    site, key = get_site(request), request.path_params["key"]
    again = site.reruns.get(key)
    if again is None:
        raise NotFoundError("no run was rerun under this address", status_code=404)
    runs = await again.fetch_started_runs(site)
    live = "" if all(run.is_finished for run in runs) else f"/live/reruns/{key}"
    return site.render(request, "rerun", again=again, runs=runs, live=live)


async def act_on_selected_runs(request: Request) -> Response:
    """Compare, cancel or rerun the selected runs, depending on which button was pressed."""
    site, form = get_site(request), get_verified_form(request)
    try:
        # Each checkbox is named after its run ID.
        run_ids = [str(UUID(name)) for name in form if name not in ("csrf", "action")]
    except ValueError:
        raise InvalidArgumentError("a selected run has no valid ID") from None
    action = form.get("action", "")
    if action == "compare":
        if len(run_ids) != 2:
            raise InvalidArgumentError(f"a comparison needs two runs, but {len(run_ids)} are selected")
        # The list is newest first, so this shows the older run on the left.
        return RedirectResponse(f"/runs/{run_ids[0]}/compare?with={run_ids[1]}", status_code=303)
    if action not in ("cancel", "rerun"):
        raise InvalidArgumentError("the form has no action")
    if not run_ids:
        raise InvalidArgumentError("no run is selected")
    runs = [await site.read_run_details(run_id) for run_id in run_ids]
    running = [run.run_id for run in runs if not run.is_finished]
    if action == "cancel":
        if not running:
            raise InvalidArgumentError("none of the selected runs is running")
        for run_id in running:
            await site.client.cancel_run(run_id)
        return RedirectResponse("/runs", status_code=303)
    if running:
        raise InvalidArgumentError(f"run {running[0]} has not ended; cancel it first")
    started: list[str] = []
    for run in runs:
        # For completed runs, rerun every step.
        is_unsuccessful = run.status in UNSUCCESSFUL_STATUSES
        handles = await site.client.start_rerun(run.run_id, keep="succeeded" if is_unsuccessful else "nothing")
        started += [handle.run_id for handle in handles]
    return redirect_to_started_runs(site, run_ids, started)


async def show_access_link(request: Request) -> Response:
    """Show a link to a page. It includes a token for the next browser."""
    to = get_verified_form(request).get("to", "")
    if validate_page_path(to) is None:
        raise InvalidArgumentError("the form has no page")
    state = request.app.state
    link = f"{request.base_url}?{urlencode({'token': state.sessions.token, 'to': to})}"
    return get_site(request).render(request, "link", link=link, to=to, is_exposed=state.addresses.is_exposed)

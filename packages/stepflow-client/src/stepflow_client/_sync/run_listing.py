# Written from _async/run_listing.py by `make generate`. Change that file instead.

"""Lists runs page by page, with filters."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple, Unpack

from .._base.not_given import NOT_GIVEN, NotGiven
from .._codec import call_checks, responses
from .._data.arguments import argument_error, check_flag, check_integer, check_text
from .._rules import operations_and_releases as api
from .._rules.deadlines import call_scope
from .._rules.run_queries import CreationWindow, get_creation_second, has_only_whole_seconds, sort_newest_first
from ..errors import InvalidResponseError
from ..types.statuses import ExecutionStatus, get_status_number
from .connection import Connection

if TYPE_CHECKING:
    from .._calls.method_options import RunFilters
    from .._telemetry.history_recorder import LabeledRuns, Recorder
    from ..types import RunDetails


PAGE_SIZE = 100
"""Default number of runs to fetch per request."""
_PAGE_OVERLAP = 10
# Request up to this many labeled runs individually instead of listing all runs.
_MAX_SINGLE_REQUESTS = 50


class _ListRequest(NamedTuple):
    """Filters for listing runs."""

    window: CreationWindow
    """The time window in which the runs were created. The client applies this filter itself."""
    filters: dict[str, Any]
    """The remaining filters, as query parameters."""
    ids: LabeledRuns | None
    """The runs that have the requested labels, or None for all runs."""
    timeout: float | NotGiven | None
    """Overall timeout for each request in seconds, instead of the client's timeout."""
    page_size: int = PAGE_SIZE


class RunLister:
    """Lists runs."""

    def __init__(self, connection: Connection, recorder: Recorder) -> None:
        self._connection = connection
        self._recorder = recorder

    def list_runs(
        self,
        status: ExecutionStatus | str | None = None,
        limit: int | None = None,
        offset: int | None = None,
        **filters: Unpack[RunFilters],
    ) -> list[RunDetails]:
        """Return runs, newest first."""
        start = call_checks.check_limit(offset, "offset") or 0
        limit = call_checks.check_limit(limit, "limit")
        request = self._build_list_request(status, filters)
        if request.window.is_unlimited and request.ids is None:
            listed = self._request_page(request, limit, start)
            if not has_only_whole_seconds(listed):
                return listed
            if limit is None and not start:
                return sort_newest_first(listed)
            # A page that starts or ends in the middle of a second may be missing some of that second's runs.
        runs_read: list[RunDetails] = []
        end = None if limit is None else start + limit
        if end is None or end > start:
            request = request._replace(page_size=max(PAGE_SIZE, min(end or 0, 1000)))
            with closing(self._iterate_matching_runs(request)) as runs:
                for run in runs:
                    runs_read.append(run)
                    if len(runs_read) == end:
                        break
        return runs_read[start:]

    def iter_runs(
        self, status: ExecutionStatus | str | None = None, *, page_size: int = PAGE_SIZE, **filters: Unpack[RunFilters]
    ) -> Generator[RunDetails, None, None]:
        """Iterate over runs, newest first, fetching them page by page."""
        check_integer(page_size, "page_size", least=2)
        return self._iterate_matching_runs(self._build_list_request(status, filters)._replace(page_size=page_size))

    def _build_list_request(self, status: ExecutionStatus | str | None, filters: RunFilters) -> _ListRequest:
        """Check the filters and build a request from them."""
        name, only, labels = filters.get("flow_name"), filters.get("roots_only"), filters.get("labels")
        root, parent = filters.get("root_run_id"), filters.get("parent_run_id")
        window = CreationWindow(filters.get("since"), filters.get("until"))
        query = {
            "status": None if status is None else _parse_status_filter(status),
            "flow_name": None if name is None else check_text(name, "flow_name"),
            "root_run_id": None if root is None else call_checks.check_run_id(root),
            "parent_run_id": None if parent is None else call_checks.check_run_id(parent),
            "roots_only": None if only is None else check_flag(only, "roots_only"),
        }
        ids = None if labels is None else self._recorder.find_labeled_runs(labels)
        return _ListRequest(window, query, ids, filters.get("timeout", NOT_GIVEN))

    def _iterate_matching_runs(self, request: _ListRequest) -> Generator[RunDetails, None, None]:
        """Iterate over the matching runs, newest first."""
        ids = request.ids
        others = {name: value for name, value in request.filters.items() if name != "status" and value}
        if ids is not None and len(ids.run_ids) <= _MAX_SINGLE_REQUESTS and not ids.pending and not others:
            for run_id in sorted(ids.run_ids, reverse=True):
                query = api.list_runs(root_run_id=run_id, roots_only=True, status=request.filters["status"], limit=1)
                with call_scope(request.timeout):
                    listed = self._connection.call(query, responses.read_runs)
                for run in listed:
                    if run.run_id == run_id and run in request.window:
                        yield run
            return
        # Runs are listed newest first, so stop at the first one that's too old.
        min_run_id = "" if ids is None else ids.run_id_lower_bound
        with closing(self._iterate_runs_in_window(request)) as runs:
            for run in runs:
                if run.run_id < min_run_id:
                    return
                if ids is None or ids.includes(run):
                    if ids is not None and (entry := ids.pending.get(run.flow_id)) is not None:
                        self._recorder.confirm_or_remove_entry(entry.run_id, run.run_id, is_settled=True)
                    yield run

    def _iterate_runs_in_window(self, request: _ListRequest) -> Generator[RunDetails, None, None]:
        """Iterate over a window's runs, newest first, sorting runs from the same second on the client."""
        held: list[RunDetails] = []
        with closing(self._iterate_runs_of_all_pages(request)) as runs:
            for run in runs:
                if held and get_creation_second(run) != get_creation_second(held[0]):
                    for held_run in sort_newest_first(held):
                        yield held_run
                    held = []
                if request.window.is_run_too_old(run):
                    break
                if run in request.window:
                    held.append(run)
        for held_run in sort_newest_first(held):
            yield held_run

    def _iterate_runs_of_all_pages(self, request: _ListRequest) -> Generator[RunDetails, None, None]:
        """Iterate over runs in the server's order, without duplicates."""
        seen: set[str] = set()
        page_size = request.page_size
        offset = fruitless = 0
        while True:
            page = self._request_page(request, page_size, offset)
            new = [run for run in page if run.run_id not in seen]
            fruitless = 0 if new else fruitless + 1
            if fruitless > 10 + 3 * len(seen) // page_size:
                raise InvalidResponseError("the server returned inconsistent pages while listing runs")
            if offset and len(new) == len(page):
                offset = max(0, offset - page_size)
                continue
            for run in new:
                seen.add(run.run_id)
                yield run
            if len(page) < page_size:
                return
            offset += page_size - min(_PAGE_OVERLAP, page_size // 2)

    def _request_page(self, request: _ListRequest, limit: int | None, offset: int) -> list[RunDetails]:
        if offset and limit is None:
            # SQLite stores ignore an offset without a limit.
            limit = 2**31 - 1
        query = api.list_runs(limit=limit, offset=offset or None, **request.filters)
        with call_scope(request.timeout):
            return (self._connection.call(query, responses.read_runs)).runs


def _parse_status_filter(status: ExecutionStatus | str) -> Any:
    number = get_status_number(status) if isinstance(status, str) else None
    # Servers that don't recognize the number ignore the filter and list all runs.
    if number is None or ExecutionStatus(status) not in list(ExecutionStatus):
        raise argument_error("status", f"one of {', '.join(ExecutionStatus)}", status)
    from stepflow_api.models import RunStatus

    return RunStatus(number)

"""Listing runs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Generic, Unpack

from .._codec import requests
from .._data.arguments import check_flag, check_integer, check_text, wrong
from .._rules import operations as api
from .._rules.listing import Run, Window, is_coarse, newest_first, second
from ..errors import InvalidResponseError
from ..types.statuses import ExecutionStatus, status_number
from .connection import Connection

if TYPE_CHECKING:
    from .._shared.options import RunFilters
    from .._shared.recorder import Recorder


PAGE = 100
"""Default number of runs per request."""
_OVERLAP = 10
_FEW = 50
"""Up to this number, labelled runs are requested one by one instead of listing all runs."""


class RunLister(Generic[Run]):
    """Lists runs."""

    def __init__(self, connection: Connection, recorder: Recorder, read: Callable[[dict[str, Any]], list[Run]]) -> None:
        self._connection = connection
        self._recorder = recorder
        self._read = read

    async def list_runs(
        self,
        status: ExecutionStatus | str | None = None,
        limit: int | None = None,
        offset: int | None = None,
        **filters: Unpack[RunFilters],
    ) -> list[Run]:
        """Return runs, newest first."""
        start = requests.check_limit(offset, "offset") or 0
        limit = requests.check_limit(limit, "limit")
        timeout = filters.get("timeout")
        window, asked = _asked(status, filters)
        ids = self._labelled(filters)
        if window.is_open and ids is None:
            listed = await self._page(asked, limit, start, timeout)
            if not is_coarse(listed):
                return listed
            if limit is None and not start:
                return newest_first(listed)
            # If the page begins or ends within a second, other runs of that second may belong to it.
        found: list[Run] = []
        end = None if limit is None else start + limit
        if end is None or end > start:
            async with aclosing(self._chosen(asked, window, max(PAGE, min(end or 0, 1000)), timeout, ids)) as runs:
                async for run in runs:
                    found.append(run)
                    if len(found) == end:
                        break
        return found[start:]

    def iter_runs(
        self, status: ExecutionStatus | str | None = None, *, page_size: int = PAGE, **filters: Unpack[RunFilters]
    ) -> AsyncGenerator[Run, None]:
        """Iterate over runs, newest first, page by page."""
        check_integer(page_size, "page_size", least=2)
        window, asked = _asked(status, filters)
        return self._chosen(asked, window, page_size, filters.get("timeout"), self._labelled(filters))

    def _labelled(self, filters: RunFilters) -> frozenset[str] | None:
        labels = filters.get("labels")
        return None if labels is None else self._recorder.labelled(labels)

    async def _chosen(
        self,
        filters: dict[str, Any],
        window: Window,
        page_size: int,
        timeout: float | None,
        ids: frozenset[str] | None,
    ) -> AsyncGenerator[Run, None]:
        """Iterate over the runs of a window, newest first; only those with some ids, unless these are None."""
        others = {name: value for name, value in filters.items() if name != "status" and value}
        if ids is not None and len(ids) <= _FEW and not others:
            for run_id in sorted(ids, reverse=True):
                for run in await self._one(run_id, filters["status"], timeout):
                    if run in window:
                        yield run
            return
        # Ids begin with the time of the creation, and runs are listed newest first.
        oldest = min(ids, default="~") if ids is not None else ""
        async with aclosing(self._go_through(filters, window, page_size, timeout)) as runs:
            async for run in runs:
                if run.run_id < oldest:
                    return
                if ids is None or run.run_id in ids:
                    yield run

    async def _one(self, run_id: str, status: Any, timeout: float | None) -> list[Run]:
        """Return the run with an id and a status, or nothing if the server does not have it."""
        request = api.list_runs(root_run_id=run_id, roots_only=True, status=status, limit=1)
        return [
            run for run in await self._connection.call(request, self._read, timeout=timeout) if run.run_id == run_id
        ]

    async def _go_through(
        self, filters: dict[str, Any], window: Window, page_size: int, timeout: float | None
    ) -> AsyncGenerator[Run, None]:
        """Iterate over the runs of a window, newest first, regardless of the server's order within a second."""
        held: list[Run] = []
        async with aclosing(self._as_listed(filters, page_size, timeout)) as runs:
            async for run in runs:
                if held and second(run) != second(held[0]):
                    for each in newest_first(held):
                        yield each
                    held = []
                if window.is_over(run):
                    break
                if run in window:
                    held.append(run)
        for each in newest_first(held):
            yield each

    async def _as_listed(
        self, filters: dict[str, Any], page_size: int, timeout: float | None
    ) -> AsyncGenerator[Run, None]:
        """Iterate over runs in the server's order, each only once."""
        seen: set[str] = set()
        offset = fruitless = 0
        while True:
            page = await self._page(filters, page_size, offset, timeout)
            new = [run for run in page if run.run_id not in seen]
            fruitless = 0 if new else fruitless + 1
            if fruitless > 10 + 3 * len(seen) // page_size:
                raise InvalidResponseError("the server's pages of runs do not follow one another")
            if offset and len(new) == len(page):
                offset = max(0, offset - page_size)
                continue
            for run in new:
                seen.add(run.run_id)
                yield run
            if len(page) < page_size:
                return
            offset += page_size - min(_OVERLAP, page_size // 2)

    async def _page(self, filters: dict[str, Any], limit: int | None, offset: int, timeout: float | None) -> list[Run]:
        if offset and limit is None:
            # With SQLite, an offset without a limit is ignored.
            limit = 2**31 - 1
        request = api.list_runs(limit=limit, offset=offset or None, **filters)
        return await self._connection.call(request, self._read, timeout=timeout)


def _asked(status: ExecutionStatus | str | None, filters: RunFilters) -> tuple[Window, dict[str, Any]]:
    """Check filters, and return the period, which the client looks for, and the others as query parameters."""
    name, only = filters.get("flow_name"), filters.get("roots_only")
    root, parent = filters.get("root_run_id"), filters.get("parent_run_id")
    return Window(filters.get("since"), filters.get("until")), {
        "status": _status_filter(status),
        "flow_name": None if name is None else check_text(name, "flow_name"),
        "root_run_id": None if root is None else requests.check_run_id(root),
        "parent_run_id": None if parent is None else requests.check_run_id(parent),
        "roots_only": None if only is None else check_flag(only, "roots_only"),
    }


def _status_filter(status: ExecutionStatus | str | None) -> Any:
    if status is None:
        return None
    number = status_number(status) if isinstance(status, str) else None
    # Servers ignore the filter and list all runs if they do not know the number.
    if number is None or ExecutionStatus(status) not in list(ExecutionStatus):
        raise wrong("status", f"one of {', '.join(ExecutionStatus)}", status)
    from stepflow_api.models import RunStatus

    return RunStatus(number)

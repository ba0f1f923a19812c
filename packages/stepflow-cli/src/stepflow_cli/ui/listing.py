"""The runs of a list, read once for all pages that show it."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stepflow_client import RunDetails, StepflowClient

PAGE = 50
"""Runs or items per page: few enough to keep a page with a graph below 2,000 elements."""
_FRESH_SECONDS = 1.0
_MAX_LISTS = 100


def filters_of(fields: Mapping[str, str]) -> dict[str, Any]:
    """Return the filters of a list of runs for the fields of a checked query."""
    return {
        "status": fields.get("status"),
        "flow_name": fields.get("flow"),
        "since": fields.get("since"),
        "until": fields.get("until"),
        "roots_only": "include" not in fields or None,
    }


class Listings:
    """The lists of runs that pages show, each with its filters."""

    def __init__(self, client: StepflowClient) -> None:
        """Store the client; nothing is requested yet."""
        self._client = client
        self._locks: dict[object, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._newest: dict[object, tuple[float, list[RunDetails]]] = {}

    async def page(self, filters: Mapping[str, str], page: int) -> list[RunDetails]:
        """Return a page of runs, plus one more run if there is a next page."""
        found = await self._client.list_runs(limit=PAGE + 1, offset=(page - 1) * PAGE, **filters_of(filters))
        return found.runs

    async def newest(self, filters: Mapping[str, str]) -> list[RunDetails]:
        """Return the first page of runs. It is requested at most once per second, regardless of the open pages."""
        key = tuple(sorted(filters.items()))
        async with self._locks[key]:
            at, runs = self._newest.pop(key, (float("-inf"), []))
            if time.monotonic() - at > _FRESH_SECONDS:
                runs = await self.page(filters, 1)
                at = time.monotonic()
            # The most recently used list is last.
            self._newest[key] = at, runs
        if len(self._newest) > _MAX_LISTS:
            oldest = next(iter(self._newest))
            del self._newest[oldest], self._locks[oldest]
        return runs

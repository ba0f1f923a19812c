"""QUERY: words and fields that runs are searched with, on the command line and in the pages."""

from __future__ import annotations

import click
from stepflow_client._command import RunQuery, read_query

from ..errors import usage
from ..records.runs import STATUSES
from .times import parse_time


def parse_query(text: str) -> RunQuery:
    """Return the query that a person has written, with its times in ISO 8601.

    Raises:
        Problem: If a value of a field is invalid.
    """
    words, given = read_query(text)
    fields = dict(given)
    for name in ("since", "until"):
        if name in fields:
            fields[name] = parse_time(fields[name])
    status, include = fields.get("status", ""), fields.get("include", "sub-runs")
    if status and status not in STATUSES:
        raise usage(f"status:{status} is not a status", f"write {', '.join(STATUSES)}")
    if include != "sub-runs":
        raise usage(f"include:{include} has no meaning", "write include:sub-runs")
    return RunQuery(words, fields)


query_argument = click.argument(
    "query", nargs=-1, metavar="[QUERY]...", callback=lambda ctx, param, words: parse_query(" ".join(words))
)
"""Adds QUERY; the command gets `query`."""

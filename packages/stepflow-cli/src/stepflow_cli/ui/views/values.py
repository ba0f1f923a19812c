"""Outputs and inputs: a part of one as a page, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from ..item_urls import ItemUrls, write_path
from ..reports import ItemReport
from ..site import site_of
from .run import found_item, item_of

if TYPE_CHECKING:
    from stepflow_client._data.expressions import Path

_MOST_FOUND = 100
_MOST_SEARCHED = 2_000_000
"""Maximum number of values that are looked at for a text."""


@dataclass(frozen=True)
class Value:
    """The part of an output or an input that a request names."""

    found: ItemReport
    urls: ItemUrls
    step_id: str | None
    of: str
    path: Path
    value: Any


async def value_page(request: Request) -> Response:
    """Show a part of an output or input from an entry on, or where in it a text is."""
    shown = await _value(request)
    start = request.query_params.get("from", "")
    text = request.query_params.get("find", "").strip()
    return site_of(request).page(
        request,
        "value",
        run=shown.found.report.run,
        urls=shown.urls,
        step_id=shown.step_id,
        of=shown.of,
        here=shown.path,
        above=[(write_path(shown.path[:end]), shown.path[:end]) for end in range(len(shown.path) + 1)],
        value=shown.value,
        start=int(start) if start.isdecimal() and len(start) < 10 else 0,
        text=text,
        places=await run_in_threadpool(_first_places, shown, text) if text else [],
        most=_MOST_FOUND,
    )


async def output_json(request: Request) -> Response:
    """Send a part of an output or input as JSON, entry by entry: it may have 50 MB."""
    shown = await _value(request)
    headers = {}
    if request.query_params.get("download"):
        # The name consists of letters that no header gives a meaning.
        name = "-".join(filter(None, (shown.found.report.run.run_id, str(shown.urls.index), shown.of)))
        headers["content-disposition"] = f'attachment; filename="{name}.json"'
    return StreamingResponse(_encoded(shown.value), media_type="application/json", headers=headers)


async def _value(request: Request) -> Value:
    from stepflow_client import InvalidArgumentError
    from stepflow_client._data.expressions import PathError, parse_path

    site, query = site_of(request), request.query_params
    run = await site.run(request.path_params["run_id"])
    found = await found_item(site, run, item_of(request))
    step_id, of = query.get("step") or None, query.get("of") or "output"
    try:
        path = parse_path(query.get("path", ""))
    except PathError as error:
        raise InvalidArgumentError(f"path: {error}") from None
    value = _part(_whole(found, step_id, of), path)
    return Value(found, ItemUrls(run.run_id, found.item.index, found.total != 1), step_id, of, path, value)


def _whole(found: ItemReport, step_id: str | None, of: str) -> Any:
    from stepflow_client import NotFoundError

    report, index = found.report, found.item.index
    if of == "input" and step_id is not None:
        return report.input_of(index, step_id).value
    if of == "input":
        inputs = report.given.inputs if report.given is not None else None
        if inputs is not None and index < len(inputs):
            return inputs[index]
    elif of == "output" and step_id is not None:
        step = next((each for each in report.steps if each.step_id == step_id), None)
        if step is not None and step.error is None:
            return step.output
    elif of == "output" and found.item.result is not None and found.item.result.error is None:
        return found.item.result.output
    raise NotFoundError(f"no {of if of in ('input', 'output') else 'such part'} is known", status_code=404)


def _part(value: Any, path: Path) -> Any:
    from stepflow_client import NotFoundError
    from stepflow_client.flows.evaluation import part_at

    try:
        return part_at(value, path)
    except LookupError:
        raise NotFoundError(f"there is nothing at {write_path(path)}", status_code=404) from None


def _first_places(shown: Value, text: str) -> list[tuple[Path, Any]]:
    return list(islice(places_of(shown.value, text, shown.path), _MOST_FOUND))


def places_of(value: Any, text: str, path: Path) -> Iterator[tuple[Path, Any]]:
    """Yield the places at which a key or a value contains a text, in any case, level by level."""
    wanted = text.casefold()
    waiting: list[tuple[Path, Any]] = [(path, value)]
    seen = 0
    while waiting and seen < _MOST_SEARCHED:
        following: list[tuple[Path, Any]] = []
        for place, each in waiting:
            seen += 1
            has_entries = isinstance(each, (dict, list))
            texts = [place[-1]] if len(place) > len(path) and isinstance(place[-1], str) else []
            if not has_entries:
                texts.append(each if isinstance(each, str) else json.dumps(each))
            if any(wanted in one.casefold() for one in texts):
                yield place, each
            if has_entries:
                entries = each.items() if isinstance(each, dict) else enumerate(each)
                following += [((*place, key), inner) for key, inner in entries]
        waiting = following


_CHUNK = 1_000_000
"""Characters that are sent at once."""


def _encoded(value: Any) -> Iterator[bytes]:
    """Yield a value as JSON in chunks; the entries of the two outer levels are encoded one by one."""
    waiting: list[str] = []
    size = 0
    for text in _texts(value, 2):
        waiting.append(text)
        size += len(text)
        if size >= _CHUNK:
            yield "".join(waiting).encode("utf-8", "backslashreplace")
            waiting, size = [], 0
    yield ("".join(waiting) + "\n").encode("utf-8", "backslashreplace")


def _texts(value: Any, depth: int) -> Iterator[str]:
    if not depth or not isinstance(value, (list, Mapping)):
        yield json.dumps(value, ensure_ascii=False)
        return
    is_object = isinstance(value, Mapping)
    entries: Iterable[Any] = value.items() if isinstance(value, Mapping) else ((None, each) for each in value)
    yield "{" if is_object else "["
    for number, (key, each) in enumerate(entries):
        yield ("\n" if not number else ",\n") + (f"{json.dumps(key, ensure_ascii=False)}: " if is_object else "")
        yield from _texts(each, depth - 1)
    yield "}" if is_object else "]"

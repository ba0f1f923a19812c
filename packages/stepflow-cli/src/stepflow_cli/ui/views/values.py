"""Outputs and inputs: a part of one as a page, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from stepflow_client import InvalidArgumentError, NotFoundError
from stepflow_client._command import encode
from stepflow_client.flows.expressions import PathError, parse_path, write_path
from stepflow_client.flows.interpreter import part_at

from ..item_urls import ItemUrls
from ..reports import ItemReport
from ..site import site_of
from .run import found_item, item_of

if TYPE_CHECKING:
    from stepflow_client._command import OutputDecoder
    from stepflow_client.flows.expressions import Path

_MAX_FOUND = 100
_MAX_SEARCHED = 2_000_000
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
    reading: OutputDecoder
    """How the value is read."""


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
        reading=shown.reading,
        start=int(start) if start.isdecimal() and len(start) < 10 else 0,
        text=text,
        places=await run_in_threadpool(_first_places, shown, text) if text else [],
        most=_MAX_FOUND,
    )


async def output_json(request: Request) -> Response:
    """Send a part of an output or input as JSON, entry by entry: it may have 50 MB."""
    shown = await _value(request)
    headers = {}
    if request.query_params.get("download"):
        # The name consists of letters that no header gives a meaning.
        name = "-".join(filter(None, (shown.found.report.run.run_id, str(shown.urls.index), shown.of)))
        headers["content-disposition"] = f'attachment; filename="{name}.json"'
    return StreamingResponse(_encoded(shown.value, shown.reading), media_type="application/json", headers=headers)


async def _value(request: Request) -> Value:
    site, query = site_of(request), request.query_params
    run = await site.run(request.path_params["run_id"])
    found = await found_item(site, run, item_of(request))
    step_id, of = query.get("step") or None, query.get("of") or "output"
    try:
        path = parse_path(query.get("path", ""))
    except PathError as error:
        raise InvalidArgumentError(f"path: {error}") from None
    urls = ItemUrls(run.run_id, found.item.index, found.total != 1)
    value = _part(_whole(found, step_id, of), path)
    return Value(found, urls, step_id, of, path, value, found.decoder_of(step_id, of).at(path))


def _whole(found: ItemReport, step_id: str | None, of: str) -> Any:
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
    elif of == "output" and found.item.status.is_finished and found.item.error is None:
        return found.item.output
    raise NotFoundError(f"no {of if of in ('input', 'output') else 'such part'} is known", status_code=404)


def _part(value: Any, path: Path) -> Any:
    try:
        return part_at(value, path)
    except LookupError:
        raise NotFoundError(f"there is nothing at {write_path(path)}", status_code=404) from None


def _first_places(shown: Value, text: str) -> list[tuple[Path, Any]]:
    places = islice(places_of(shown.value, text, shown.path, shown.reading), _MAX_FOUND)
    return [(place, how.whole(each)) for place, each, how in places]


def places_of(value: Any, text: str, path: Path, reading: OutputDecoder) -> Iterator[tuple[Path, Any, OutputDecoder]]:
    """Yield the places at which a key or a value contains a text, in any case, level by level."""
    wanted = text.casefold()
    if not isinstance(value, (dict, list)) and wanted in _text_of(reading.whole(value)):
        yield path, value, reading
    waiting = [(path, value, reading)] if isinstance(value, (dict, list)) else []
    seen = 0
    while waiting and seen < _MAX_SEARCHED:
        following: list[tuple[Path, Any, OutputDecoder]] = []
        for place, each, how in waiting:
            seen += len(each)
            for key, inner, within in how.entries(each, 0, len(each)):
                has_entries = isinstance(inner, (dict, list))
                is_found = isinstance(key, str) and wanted in key.casefold()
                if is_found or (not has_entries and wanted in _text_of(inner)):
                    yield (*place, key), inner, within
                if has_entries:
                    following.append(((*place, key), inner, within))
        waiting = following


def _text_of(value: Any) -> str:
    """Return what a value without entries is found by."""
    if isinstance(value, str):
        return value.casefold()
    # What `json.dumps` returns for a number, which is slower.
    return repr(value) if type(value) in (int, float) else json.dumps(value)


_CHUNK = 1_000_000
"""Bytes that are sent at once."""


def _encoded(value: Any, reading: OutputDecoder) -> Iterator[bytes]:
    """Yield a value as JSON in chunks; the entries of the two outer levels are encoded one by one."""

    def text(value: Any) -> bytes:
        try:
            return encode(value)
        except UnicodeEncodeError:
            # Half of a surrogate pair, which only an escape can write.
            return json.dumps(value).encode()

    waiting = bytearray()
    for part in _texts(value, reading, 2, text):
        waiting += part
        if len(waiting) >= _CHUNK:
            yield bytes(waiting)
            waiting.clear()
    yield bytes(waiting) + b"\n"


def _texts(value: Any, reading: OutputDecoder, depth: int, text: Callable[[Any], bytes]) -> Iterator[bytes]:
    if not isinstance(value, (list, dict)):
        yield text(reading.whole(value))
        return
    is_object = isinstance(value, dict)
    yield b"{" if is_object else b"["
    before = b"\n"
    for key, each, how in reading.entries(value, 0, len(value)):
        start = before + text(key) + b": " if is_object else before
        if depth > 1:
            yield start
            yield from _texts(each, how, depth - 1, text)
        else:
            yield start + text(how.whole(each))
        before = b",\n"
    yield b"}" if is_object else b"]"

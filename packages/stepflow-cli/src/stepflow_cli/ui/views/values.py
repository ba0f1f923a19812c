"""Show, search and download outputs and inputs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, NamedTuple

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from stepflow_client import InvalidArgumentError, NotFoundError
from stepflow_client._command import OutputDecoder, to_json
from stepflow_client.flows.expressions import Path, PathError, format_path, parse_path
from stepflow_client.flows.interpreter import get_value_at_path

from ..item_page_data import ItemReport
from ..links import ItemUrls
from ..site_state import get_site, parse_query_index_or_none
from .run import parse_item_index_or_zero, read_item_or_404

_MAX_MATCHES = 100
# Maximum number of values to search.
_MAX_SEARCHED_VALUES = 2_000_000
_ABSENT: Any = object()


class RequestedValue(NamedTuple):
    """The part of an output or input that was requested."""

    item_report: ItemReport
    urls: ItemUrls
    step_id: str | None
    of: str
    path: Path
    value: Any
    decoder: OutputDecoder


async def value_page(request: Request) -> Response:
    """Show part of an output or input (starting at a given entry), or the results of searching it."""
    shown = await _read_requested_value(request)
    text = request.query_params.get("find", "").strip()
    places: list[tuple[Path, Any]] = []
    if text:
        matches = iter_matching_entries(shown.value, text, shown.path, shown.decoder)
        places = await run_in_threadpool(
            lambda: [(place, decoder.restore_value(value)) for place, value, decoder in islice(matches, _MAX_MATCHES)]
        )
    return get_site(request).render(
        request,
        "value",
        run=shown.item_report.report.run,
        urls=shown.urls,
        step_id=shown.step_id,
        of=shown.of,
        here=shown.path,
        above=[(format_path(shown.path[:end]), shown.path[:end]) for end in range(len(shown.path) + 1)],
        value=shown.value,
        decoder=shown.decoder,
        start=parse_query_index_or_none(request.query_params, "from") or 0,
        text=text,
        places=places,
        limit=_MAX_MATCHES,
    )


async def stream_value_json(request: Request) -> Response:
    """Send part of an output or input as JSON. It's streamed because it can be as large as 50 MB."""
    shown = await _read_requested_value(request)
    headers = {}
    if request.query_params.get("download"):
        # The name contains no characters that have a special meaning in headers.
        name = "-".join(filter(None, (shown.item_report.report.run.run_id, str(shown.urls.index), shown.of)))
        headers["content-disposition"] = f'attachment; filename="{name}.json"'
    chunks = _encode_json_in_chunks(shown.value, shown.decoder)
    return StreamingResponse(chunks, media_type="application/json", headers=headers)


async def _read_requested_value(request: Request) -> RequestedValue:
    site, query = get_site(request), request.query_params
    run = await site.read_run_details(request.path_params["run_id"])
    item_report = await read_item_or_404(site, run, parse_item_index_or_zero(request))
    step_id, of = query.get("step") or None, query.get("of") or "output"
    try:
        path = parse_path(query.get("path", ""))
    except PathError as error:
        raise InvalidArgumentError(f"path: {error}") from None
    report, index, value = item_report.report, item_report.item.index, _ABSENT
    if of == "input" and step_id is not None:
        value = report.input_of(index, step_id).value
    elif of == "input":
        inputs = report.given.inputs if report.given is not None else None
        value = inputs[index] if inputs is not None and index < len(inputs) else _ABSENT
    elif of == "output" and step_id is not None:
        step = next((step for step in report.steps if step.step_id == step_id), None)
        value = step.output if step is not None and step.error is None else _ABSENT
    elif of == "output" and item_report.item.status.is_finished and item_report.item.error is None:
        value = item_report.item.output
    if value is _ABSENT:
        raise NotFoundError(f"no {of if of in ('input', 'output') else 'such part'} is known", status_code=404)
    try:
        value = get_value_at_path(value, path)
    except LookupError:
        raise NotFoundError(f"there is nothing at {format_path(path)}", status_code=404) from None
    urls = ItemUrls(run.run_id, index, item_report.total != 1)
    decoder = item_report.get_value_decoder(step_id, of).get_part_decoder(path)
    return RequestedValue(item_report, urls, step_id, of, path, value, decoder)


def iter_matching_entries(
    value: Any, text: str, path: Path, decoder: OutputDecoder
) -> Iterator[tuple[Path, Any, OutputDecoder]]:
    """Yield every entry whose key or value contains `text` (ignoring case), level by level."""
    text = text.casefold()
    if not isinstance(value, (dict, list)) and text in _format_scalar_for_search(decoder.restore_value(value)):
        yield path, value, decoder
    waiting = [(path, value, decoder)] if isinstance(value, (dict, list)) else []
    count = 0
    while waiting and count < _MAX_SEARCHED_VALUES:
        below: list[tuple[Path, Any, OutputDecoder]] = []
        for place, outer, outer_decoder in waiting:
            count += len(outer)
            for key, entry, inner in outer_decoder.iter_decoded_children(outer, 0, len(outer)):
                has_entries = isinstance(entry, (dict, list))
                is_match = isinstance(key, str) and text in key.casefold()
                if is_match or (not has_entries and text in _format_scalar_for_search(entry)):
                    yield (*place, key), entry, inner
                if has_entries:
                    below.append(((*place, key), entry, inner))
        waiting = below


def _format_scalar_for_search(value: Any) -> str:
    if isinstance(value, str):
        return value.casefold()
    # For numbers, this gives the same result as `json.dumps` but is faster.
    return repr(value) if type(value) in (int, float) else json.dumps(value)


# The approximate number of bytes to send at a time.
_CHUNK_SIZE = 1_000_000


def _encode_json_in_chunks(value: Any, decoder: OutputDecoder) -> Iterator[bytes]:
    """Yield a value as JSON in chunks, encoding the entries of the two outermost levels one at a time."""

    def encode_scalar(value: Any) -> bytes:
        try:
            return to_json(value)
        except UnicodeEncodeError:
            # UTF-8 can't encode a lone surrogate, so write it as a JSON escape.
            return json.dumps(value).encode()

    waiting = bytearray()
    for part in _iter_json_parts(value, decoder, 2, encode_scalar):
        waiting += part
        if len(waiting) >= _CHUNK_SIZE:
            yield bytes(waiting)
            waiting.clear()
    yield bytes(waiting) + b"\n"


def _iter_json_parts(value: Any, decoder: OutputDecoder, depth: int, text: Callable[[Any], bytes]) -> Iterator[bytes]:
    if not isinstance(value, (list, dict)):
        yield text(decoder.restore_value(value))
        return
    is_object = isinstance(value, dict)
    yield b"{" if is_object else b"["
    before = b"\n"
    for key, entry, inner in decoder.iter_decoded_children(value, 0, len(value)):
        start = before + text(key) + b": " if is_object else before
        if depth > 1:
            yield start
            yield from _iter_json_parts(entry, inner, depth - 1, text)
        else:
            yield start + text(inner.restore_value(entry))
        before = b",\n"
    yield b"}" if is_object else b"]"

"""Reads flows, inputs and variables from files, and recognizes which objects are flows."""

from __future__ import annotations

import json
import math
import os
import re
import select
import stat
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from io import FileIO
from os import PathLike, fsdecode
from typing import Any, TypeAlias

from .._base.suggestions import explain_missing_file
from .._base.text_formatting import cut
from .._data.json_encoding import Builder, FlowLike, HasSteps, StoredFlowId, build_if_builder, is_data_object
from .._data.wire import check_json
from .._rules.deadlines import current_deadline, limit_by_deadline
from ..errors import FlowFileError, FlowFileNotFoundError, InvalidArgumentError, NotAFlowError

MAX_FILE_BYTES = 256 * 2**20
"""Maximum file size in bytes. Servers accept requests of up to 250 MiB (2 MiB on older ones)."""
MAX_YAML_LENGTH = 32 * 2**20
"""Maximum YAML length in characters. Parsing that much takes minutes and uses up to 150 times as much memory."""
_PIPE_TIMEOUT_SECONDS = 30.0
_CHUNK_SIZE = 2**20

_STRING_OR_CONSTANT = re.compile(r'"(?:[^"\\]|\\.)*"|(NaN|-?Infinity)')


def load_file(path: str | PathLike[str]) -> Any:
    """Load a YAML or JSON file. Files ending in `.json` are parsed as JSON, all others as YAML.

    Raises:
        FlowFileError: If the file can't be read. The message includes the path and, if known, the line and column.
    """
    name = fsdecode(path)
    return parse_content(read_file_bytes(name), name)


def parse_content(content: bytes, name: str) -> Any:
    """Parse a file's content, choosing the format by the file's name, as `load_file` does.

    Raises:
        FlowFileError: If the content is invalid.
    """
    parse = parse_json if name.lower().endswith(".json") else parse_yaml
    return parse(decode_text(content, name), name)


def decode_text(content: bytes, name: str) -> str:
    """Decode a file's content.

    Raises:
        FlowFileError: If it isn't UTF-8.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode("utf-8").split("\n")
        message, column = f"{name} is not UTF-8 text (byte {error.start})", len(before[-1]) + 1
        is_utf_16 = content.startswith((BOM_UTF16_LE, BOM_UTF16_BE))
        hint = "it is UTF-16 text: save it as UTF-8" if is_utf_16 else "save it as UTF-8"
        raise FlowFileError(message, path=name, line=len(before), column=column, hint=hint) from None


def read_file_bytes(path: str | PathLike[str]) -> bytes:
    """Read a file of up to 256 MiB (`MAX_FILE_BYTES`), which is more than any server accepts.

    Devices and pipes also work, up to the same size. Reading from a pipe fails if no data arrives for 30 seconds, or by
    the call's deadline, whichever comes first.

    Raises:
        FlowFileNotFoundError: If the file doesn't exist.
        FlowFileError: If the file is too large or can't be read.
    """
    name = fsdecode(path)
    try:
        # Without O_NONBLOCK, opening a pipe that has no writer would block forever.
        descriptor = os.open(name, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            return _read_open_file(file, name)
    except FileNotFoundError:
        raise make_missing_file_error(name) from None
    except IsADirectoryError:
        hint = explain_missing_file(os.path.join(name, "*.yaml"))
        raise FlowFileError(f"{name} is a folder, not a file", path=name, hint=hint) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FlowFileError(f"{name} cannot be read: {reason}", path=name) from None


def make_missing_file_error(name: str) -> FlowFileNotFoundError:
    """Return the error for a missing file, with a hint that suggests the closest name in its folder."""
    fault = "is a URL, not a file" if "://" in name else "does not exist"
    return FlowFileNotFoundError(f"{name} {fault}", path=name, hint=explain_missing_file(name))


def _read_open_file(file: FileIO, name: str) -> bytes:
    status = os.fstat(file.fileno())
    if stat.S_ISREG(status.st_mode) and status.st_size > MAX_FILE_BYTES:
        raise FlowFileError(format_file_too_large(name), path=name)
    if stat.S_ISFIFO(status.st_mode):

        def read_pipe(size: int) -> bytes | None:
            seconds = limit_by_deadline(current_deadline(), _PIPE_TIMEOUT_SECONDS)
            poll = select.poll()
            poll.register(file.fileno(), select.POLLIN)
            if not poll.poll(seconds * 1000):
                raise FlowFileError(f"{name} is a pipe that received no data for {seconds:.3g} s", path=name)
            return file.read(size)

        return read_stream(read_pipe, name)
    if hasattr(os, "O_NONBLOCK"):
        os.set_blocking(file.fileno(), True)
    return read_stream(file.read, name)


def read_stream(read: Callable[[int], bytes | None], name: str) -> bytes:
    """Read a stream to its end, up to 256 MiB (`MAX_FILE_BYTES`).

    `read` is called with the maximum number of bytes to return. It must return no bytes (or None) at the end of the
    stream.

    Raises:
        FlowFileError: If the stream exceeds that size.
    """
    chunks: list[bytes] = []
    left = MAX_FILE_BYTES
    while chunk := read(_CHUNK_SIZE):
        left -= len(chunk)
        if left < 0:
            raise FlowFileError(format_file_too_large(name), path=name)
        chunks.append(chunk)
    return b"".join(chunks)


def format_file_too_large(name: str) -> str:
    """Return the error message for a file that is too large."""
    return f"{name} is larger than {MAX_FILE_BYTES >> 20} MiB, the maximum"


def parse_yaml(text: str, source: str = "the YAML text") -> Any:
    """Parse YAML text (or JSON, which is also YAML).

    Args:
        text: A single YAML document.
        source: What to call the text in error messages.

    Raises:
        FlowFileError: If the text is not YAML, contains values JSON can't represent, or is over 32 MiB and not JSON.
    """
    if text.lstrip()[:1] in ("{", "[", '"'):
        # Try JSON first: YAML doesn't support escaped surrogate pairs or keys longer than 1,024 characters.
        with suppress(ValueError, RecursionError):
            return _parse_strict_json(text)
    if len(text) > MAX_YAML_LENGTH:
        longest = MAX_YAML_LENGTH >> 20
        raise FlowFileError(f"{source} contains more than {longest} MiB of YAML; write it as JSON", path=source)
    from .._data.yaml_format import read_yaml

    return read_yaml(text, source)


def parse_json(text: str, source: str = "the JSON text") -> Any:
    """Parse JSON text.

    Raises:
        FlowFileError: If the text is not JSON, or an object contains a duplicate key.
    """
    try:
        return _parse_strict_json(text)
    except json.JSONDecodeError as error:
        from .._data.syntax_faults import explain_json_error

        raise explain_json_error(error).make_error(source, "is not JSON") from None
    except RecursionError:
        raise FlowFileError(f"{source} is nested too deeply", path=source) from None
    except ValueError as error:
        reason = str(error)
    # Errors about invalid constants have no position, so search for the constant here. For any other error, let the
    # YAML parser find the position, since JSON is also YAML.
    for token in _STRING_OR_CONSTANT.finditer(text):
        if token[1]:
            from .._data.syntax_faults import build_fault

            fault = build_fault(text, token.start(), reason, "write null, or a string in double quotes")
            raise fault.make_error(source, "is not JSON")
    from .._data.yaml_format import read_yaml

    if len(text) <= MAX_YAML_LENGTH:
        try:
            read_yaml(text, source)
        except FlowFileError as error:
            if "is not YAML" not in error.message:
                raise
    raise FlowFileError(f"{source} is not JSON: {reason}", path=source)


def _parse_strict_json(text: str) -> Any:
    return json.loads(
        text,
        object_pairs_hook=_build_unique_dict,
        parse_constant=_parse_finite_number,
        parse_float=_parse_finite_number,
    )


def _build_unique_dict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = next(key for key, count in counts.items() if count > 1)
        raise ValueError(f"the key {twice!r} appears twice in one object")
    return value


def _parse_finite_number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{cut(text, 40)} is not a number that JSON can represent")
    return number


FlowSource: TypeAlias = str | PathLike[str] | Mapping[str, Any] | FlowLike | HasSteps | Builder
"""A flow, the path to its YAML or JSON file, or a stored flow.

A flow is a mapping with `steps` or `output`; an object with `steps` (a pydantic model, dataclass, attrs object or
msgspec struct); a flow written with `stepflow_client.authoring` or generated by `stepflow codegen`; or a builder whose
`build` method returns one of these. A stored flow is the result of `get_flow` or `get_run_flow`. Methods that accept
flows stored only on the server also take the result of `store_flow`, or the flow's ID as a string.

An object with a `__flow__` method stands for the flow that the method returns.
"""

FLOW_HINT = "a flow has steps: [...] and output: ..."
"""Hint for errors about values that aren't flows."""

_FLOW_ID = re.compile("[0-9a-f]{64}")
_OWN_PACKAGES = ("stepflow_client", "stepflow_api")
# Keys that flows share with many other kinds of documents.
_COMMON_KEYS = frozenset({"name", "description", "version", "metadata", "schema", "$schema"})
# Other tools' files, recognized by their keys.
_OTHER_FILES = {
    "on jobs": "a GitHub Actions workflow",
    "apiVersion kind": "a Kubernetes manifest",
    "services": "a Docker Compose file",
    "nodes connections": "an n8n workflow",
    "graphs dependencies": "a LangGraph configuration",
    "openapi paths": "an OpenAPI description",
    "plugins routes": "the configuration of a server",
}


def is_flow_id(flow: object) -> bool:
    """Return whether this is a stored flow's ID: a str of 64 lowercase hexadecimal digits that doesn't name a file.

    Every server release uses IDs of this form. If a file with that name exists, it takes precedence. A path that isn't
    a str is always treated as a file, and so is a str that starts with `./`.
    """
    return isinstance(flow, str) and _FLOW_ID.fullmatch(flow) is not None and not os.path.lexists(flow)


def resolve_flow_argument(flow: FlowSource) -> FlowSource:
    """Resolve a flow argument to a `StoredFlowId`, a file path, a mapping or a data object.

    Raises:
        FlowFileError: If the function behind a Python flow is invalid.
        InvalidArgumentError: If the argument is not a flow.
    """
    # Skip all checks for plain dicts: this is the hot path.
    if type(flow) is dict:
        return flow
    stands_for = getattr(type(flow), "__flow__", None)
    try:
        if stands_for is not None:
            source = resolve_flow_argument(stands_for(flow))
        else:
            source = flow if isinstance(flow, str) else build_if_builder(flow)
    except (FlowFileError, InvalidArgumentError):
        # Don't wrap these errors, because they may point to the mistake in a Python flow's function.
        raise
    except Exception as error:
        raise InvalidArgumentError(f"{type(flow).__name__} built no flow: {error}", hint=FLOW_HINT) from error
    if isinstance(source, str):
        if "\n" in source:
            raise InvalidArgumentError("a string is treated as a path; parse the flow first and pass the mapping")
        return StoredFlowId(source) if _FLOW_ID.fullmatch(source) and is_flow_id(source) else source
    if isinstance(source, (PathLike, Mapping)):
        return source
    # Check for flow objects last: results also have an output, and a run's step list also has steps.
    if is_data_object(source) and type(source).__module__.partition(".")[0] not in _OWN_PACKAGES:
        return source
    message = f"a flow must be a path, a mapping, a builder, or an object with steps, not {type(source).__name__}"
    raise InvalidArgumentError(message, hint=FLOW_HINT)


def get_flow_file_path(flow: FlowSource) -> str | PathLike[str] | None:
    """Return the path to a flow's file, or None if it wasn't passed as a path.

    Raises:
        FlowFileError, InvalidArgumentError: See `resolve_flow_argument`.
    """
    source = resolve_flow_argument(flow)
    return source if isinstance(source, (str, PathLike)) and not isinstance(source, StoredFlowId) else None


def load_flow(flow: FlowSource) -> dict[str, Any]:
    """Load a flow as a dict. If the flow is an object, its unset optional fields are dropped.

    Raises:
        FlowFileError: If the file can't be read, or doesn't contain a flow (NotAFlowError).
        InvalidArgumentError: If the argument is not a flow, or is a stored flow's ID.
    """
    source = resolve_flow_argument(flow)
    if isinstance(source, StoredFlowId):
        hint = "fetch the flow with get_flow() and pass the result"
        raise InvalidArgumentError("a flow ID is not the flow itself", hint=hint)
    if isinstance(source, (str, PathLike)):
        return require_flow(load_file(source), fsdecode(source))
    content: Any = source
    if not isinstance(source, Mapping):
        content = check_json(source, "the flow")
        if not isinstance(content, dict):
            problem = f"is not a flow: it yields {_name_json_kind(content)}, not a mapping"
            raise InvalidArgumentError(f"{type(source).__name__} {problem}", hint=FLOW_HINT)
        content = _drop_optional_nulls(content)
    reason = explain_not_a_flow(content)
    if reason is not None:
        name = "" if isinstance(source, Mapping) else f"{type(source).__name__}: "
        raise InvalidArgumentError(f"{name}{reason[0]}", hint=reason[1])
    return dict(content)


def require_flow(content: Any, name: str) -> dict[str, Any]:
    """Return a file's content after checking that it is a flow.

    Args:
        content: The parsed content.
        name: The file's path, or another name to use in the error.

    Raises:
        NotAFlowError: If it isn't a flow.
    """
    if not isinstance(content, dict):
        reason = "it is empty" if content is None else f"it contains {_name_json_kind(content)}, not a mapping"
        message, hint = f"{name} is not a flow: {reason}", FLOW_HINT
    elif (explained := explain_not_a_flow(content)) is not None:
        message, hint = f"{name}: {explained[0]}", explained[1]
    else:
        return content
    raise NotAFlowError(message, path=name, hint=hint)


def explain_not_a_flow(document: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return why a mapping isn't a flow, along with a hint, or None if it is one.

    Without this check, servers would run the mapping as an empty flow.
    """
    if "steps" in document or "output" in document:
        return None
    if isinstance(document.get("flow"), Mapping):
        return "the flow is under the key 'flow'", f"remove the key 'flow': {FLOW_HINT}"
    keys = [key for key in document if key not in _COMMON_KEYS] or list(document)
    has = ", ".join(cut(repr(key), 40) for key in keys[:4])
    what = next((name for marks, name in _OTHER_FILES.items() if document.keys() >= {*marks.split()}), None)
    reason = f"has {has}, but neither steps nor output" if keys else "is empty"
    return f"this is {f'{what}, not a flow' if what else 'not a flow'}: it {reason}", FLOW_HINT


def _name_json_kind(value: Any) -> str:
    return {type(None): "nothing", str: "text", list: "a list", bool: "a boolean"}.get(type(value), "a number")


# The parts of a flow that have optional keys. Everything else is data.
_FLOW_PARTS: Mapping[str, Any] = {
    "steps": {"onError": {}}, "examples": {}, "schemas": {"properties": {}}, "test": {"cases": {}},
}  # fmt: skip


def _drop_optional_nulls(value: Any, parts: Mapping[str, Any] = _FLOW_PARTS) -> Any:
    """Remove a flow's optional keys that are null.

    Servers treat null like a missing key, but releases before 0.11 reject some nulls. Nulls inside inputs and outputs
    are kept.
    """
    if isinstance(value, list):
        return [_drop_optional_nulls(element, parts) for element in value]
    if not isinstance(value, dict):
        return value
    # Keep a null input, because servers reject examples without an input.
    kept = {key: part for key, part in value.items() if part is not None or key == "input"}
    return kept | {key: _drop_optional_nulls(kept[key], inner) for key, inner in parts.items() if key in kept}

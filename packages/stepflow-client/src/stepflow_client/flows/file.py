"""Reads flow, input, variable and override files as plain JSON values, without loss.

Values that JSON cannot represent (NaN, keys that are not strings, duplicate keys) are errors with line and column.
"""

from __future__ import annotations

import json
import math
import os
import re
import select
import stat
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from os import PathLike, fsdecode
from typing import TYPE_CHECKING, Any

from .._base.lazy import lazy_module
from .._base.near_files import explain_missing_file
from .._base.text import cut
from .._rules.deadline import current_deadline, limit_to_deadline
from ..errors import FlowFileError, FlowFileNotFoundError

if TYPE_CHECKING:
    from .._data import syntax_faults
else:
    syntax_faults = lazy_module("stepflow_client._data.syntax_faults")

MAX_FILE_BYTES = 256 * 2**20
"""Maximum size of a file in bytes. Servers accept requests of up to 250 MiB, older ones of up to 2 MiB."""
MAX_YAML_LENGTH = 32 * 2**20
"""Maximum length of a YAML text in characters: parsing takes up to 150 times its size in memory, and minutes."""
_PIPE_SECONDS = 30.0
_CHUNK = 2**20

_STRING_OR_CONSTANT = re.compile(r'"(?:[^"\\]|\\.)*"|(NaN|-?Infinity)')


def load_file(path: str | PathLike[str]) -> Any:
    """Return the value in a YAML or JSON file. Files with the extension `.json` are parsed as JSON, others as YAML.

    Raises:
        FlowFileError: If the file cannot be read; the message contains the path and, if known, line and column.
    """
    name = fsdecode(path)
    return parse_content(read_file_bytes(name), name)


def parse_content(content: bytes, name: str) -> Any:
    """Return the value in the content of a file of this name, as `load_file` does.

    Raises:
        FlowFileError: If it cannot be parsed.
    """
    parse = parse_json if name.lower().endswith(".json") else parse_yaml
    return parse(decode_text(content, name), name)


def decode_text(content: bytes, name: str) -> str:
    """Return the content of a file as text.

    Raises:
        FlowFileError: If it is not UTF-8.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode("utf-8").split("\n")
        wrong = FlowFileError(
            f"{name} is not UTF-8 text (byte {error.start})", path=name, line=len(before), column=len(before[-1]) + 1
        )
        is_utf_16 = content.startswith((BOM_UTF16_LE, BOM_UTF16_BE))
        wrong.hint = "it is UTF-16 text: save it as UTF-8" if is_utf_16 else "save it as UTF-8"
        raise wrong from None


def read_file_bytes(path: str | PathLike[str]) -> bytes:
    """Return the bytes of a file of up to 256 MiB (`MAX_FILE_BYTES`), which is more than any server accepts.

    Devices and pipes can be read too, up to the same size. If nothing is written to a pipe for 30 seconds, or until the
    deadline of the call, this is an error.

    Raises:
        FlowFileNotFoundError: If the file does not exist.
        FlowFileError: If the file is larger, or cannot be read.
    """
    name = fsdecode(path)
    try:
        # Without O_NONBLOCK, opening a pipe without a writer would block forever.
        descriptor = os.open(name, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            return _read_open_file(file, name)
    except FileNotFoundError:
        raise missing_file_error(name) from None
    except IsADirectoryError:
        directory = FlowFileError(f"{name} is a directory, not a file", path=name)
        directory.hint = explain_missing_file(os.path.join(name, "*.yaml"))
        raise directory from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise FlowFileError(f"{name} cannot be read: {reason}", path=name) from None


def missing_file_error(name: str) -> FlowFileNotFoundError:
    """Return the error for a file that does not exist; its hint suggests the nearest name in its folder."""
    error = FlowFileNotFoundError(f"{name} does not exist", path=name)
    error.hint = explain_missing_file(name)
    return error


def _read_open_file(file: FileIO, name: str) -> bytes:
    status = os.fstat(file.fileno())
    if stat.S_ISREG(status.st_mode) and status.st_size > MAX_FILE_BYTES:
        raise FlowFileError(format_too_long(name), path=name)
    if stat.S_ISFIFO(status.st_mode):

        def read_pipe(size: int) -> bytes | None:
            seconds = limit_to_deadline(current_deadline(), _PIPE_SECONDS)
            poll = select.poll()
            poll.register(file.fileno(), select.POLLIN)
            if not poll.poll(seconds * 1000):
                raise FlowFileError(f"{name} is a pipe to which nothing was written for {seconds:.3g} s", path=name)
            return file.read(size)

        return read_stream(read_pipe, name)
    if hasattr(os, "O_NONBLOCK"):
        os.set_blocking(file.fileno(), True)
    return read_stream(file.read, name)


def read_stream(read: Callable[[int], bytes | None], name: str) -> bytes:
    """Return the content of a stream, up to 256 MiB (`MAX_FILE_BYTES`).

    `read` returns up to the given number of bytes, and none at the end of the stream.

    Raises:
        FlowFileError: If the content is larger.
    """
    chunks: list[bytes] = []
    left = MAX_FILE_BYTES
    while chunk := read(_CHUNK):
        left -= len(chunk)
        if left < 0:
            raise FlowFileError(format_too_long(name), path=name)
        chunks.append(chunk)
    return b"".join(chunks)


def format_too_long(name: str) -> str:
    """Return the message about a file that is too large."""
    return f"{name} holds more than {MAX_FILE_BYTES >> 20} MiB, the most that is read"


def parse_yaml(text: str, source: str = "the YAML text") -> Any:
    """Return the value of a YAML text (JSON is YAML too).

    Args:
        text: One YAML document.
        source: The name of the text in errors.

    Raises:
        FlowFileError: If the text is not YAML, contains values that JSON cannot represent, or has more than 32 MiB and
            is not JSON either.
    """
    if text.lstrip()[:1] in ("{", "[", '"'):
        # Parse JSON as JSON: YAML supports neither escaped surrogate pairs nor keys of more than 1,024 characters.
        with suppress(ValueError, RecursionError):
            return _parse_strict_json(text)
    if len(text) > MAX_YAML_LENGTH:
        longest = MAX_YAML_LENGTH >> 20
        raise FlowFileError(f"{source} holds more than {longest} MiB of YAML; write it as JSON", path=source)
    from .._data.yaml_reader import read_yaml

    return read_yaml(text, source)


def parse_json(text: str, source: str = "the JSON text") -> Any:
    """Return the value of a JSON text.

    Raises:
        FlowFileError: If the text is not JSON, or has a duplicate key in an object.
    """
    try:
        return _parse_strict_json(text)
    except json.JSONDecodeError as error:
        raise syntax_faults.explain_json_error(error).error(source, "is not JSON") from None
    except RecursionError:
        raise FlowFileError(f"{source} is nested too deeply", path=source) from None
    except ValueError as error:
        reason = str(error)
    # json does not report the position. Constants can be searched for; the YAML parser finds the rest, as JSON is YAML.
    for token in _STRING_OR_CONSTANT.finditer(text):
        if token[1]:
            fault = syntax_faults.fault_at(text, token.start(), reason, "write null, or a text in double quotes")
            raise fault.error(source, "is not JSON")
    from .._data.yaml_reader import read_yaml

    if len(text) <= MAX_YAML_LENGTH:
        try:
            read_yaml(text, source)
        except FlowFileError as error:
            if "is not YAML" not in error.message:
                raise
    raise FlowFileError(f"{source} is not JSON: {reason}", path=source)


def _parse_strict_json(text: str) -> Any:
    return json.loads(text, object_pairs_hook=_check_unique, parse_constant=_parse_finite, parse_float=_parse_finite)


def _check_unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = next(key for key, count in counts.items() if count > 1)
        raise ValueError(f"the key {twice!r} appears twice in one object")
    return value


def _parse_finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{cut(text, 40)} is not a number that JSON can hold")
    return number

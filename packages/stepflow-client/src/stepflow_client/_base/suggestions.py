"""Hints for misspelled names, unknown arguments, and missing files and packages."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from functools import wraps
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import unquote, urlsplit

# Maximum length of a word to look up. Comparing words takes time that's at least quadratic in their length.
_MAX_NAME_LENGTH = 200


def find_nearest(word: str, known: Iterable[str], similarity: float = 0.6) -> str | None:
    """Return the known name that's closest to a word (ignoring case), or None if nothing is similar enough."""
    from difflib import get_close_matches

    if len(word) > _MAX_NAME_LENGTH:
        return None
    lowered = {name.lower(): name for name in known}
    matches = get_close_matches(word.lower(), lowered, n=3, cutoff=similarity)
    # Prefer names with the same first letter, e.g. `set` over `use` for `ste`.
    matches.sort(key=lambda name: name[:1] != word[:1].lower())
    return lowered[matches[0]] if matches else None


def format_did_you_mean(name: str) -> str:
    """Return a hint that suggests a name."""
    return f"did you mean {name!r}?"


def parse_suggested_name(hint: str | None) -> str | None:
    """Return the name a hint suggests, or None if it doesn't suggest exactly one."""
    match = re.fullmatch(r"""(?:did you mean|write) (['"])(.+)\1\??""", hint or "")
    return match[2] if match else None


def suggest_nearest(word: str, known: Iterable[str]) -> str | None:
    """Return a hint with the closest known name, or None if nothing is similar."""
    name = find_nearest(word, known)
    return None if name is None else format_did_you_mean(name)


def suggest_or_list(word: str, known: Iterable[Any], what: str = "known") -> str:
    """Return a hint with the closest known name, or else a list of all of them."""
    names = list(map(str, known))
    if not names:
        return f"{what}: none"
    listed = f"{what}: {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}"
    return suggest_nearest(word, names) or listed


def install_command(package: str, extra: str) -> str:
    """Return the command that installs an extra.

    If the package was installed from a folder (e.g. a checkout), so is the extra, because an index might not have it.
    """
    from importlib.metadata import PackageNotFoundError, distribution

    what = f"'{package}[{extra}]'"
    with suppress(PackageNotFoundError, ValueError, OSError):
        origin = json.loads(distribution(package).read_text("direct_url.json") or "{}")
        if "dir_info" in origin:
            editable = "-e " if origin["dir_info"].get("editable") else ""
            what = editable + shlex.quote(f"{unquote(urlsplit(origin['url']).path)}[{extra}]")
    # Environments created by uv have no pip, and a pip from elsewhere would install into its own environment.
    tool = "pip install" if find_spec("pip") else f"uv pip install --python {shlex.quote(sys.executable)}"
    return f"{tool} {what}"


Function = TypeVar("Function", bound=Callable[..., Any])


class _AsyncWithRequiredError(AttributeError, TypeError):
    """The error for an unsupported `with` statement. It's an AttributeError because `hasattr` and `mock` expect one."""


class _EnterDescriptor:
    """The `__enter__` attribute of a class that only supports `async with`."""

    def __get__(self, instance: object, owner: type) -> Any:
        hint = "; use `async with`" if hasattr(owner, "__aenter__") else ""
        message = f"{owner.__name__!r} object does not support the context manager protocol{hint}"
        raise _AsyncWithRequiredError(message, name="__enter__")


class SuggestsNames:
    """Base class that suggests the closest name if an attribute doesn't exist."""

    if not TYPE_CHECKING:
        __enter__ = _EnterDescriptor()

        def __getattr__(self, name: str) -> Any:
            message = f"{type(self).__name__!r} object has no attribute {name!r}"
            if not name.startswith("_"):
                members = [member for member in dir(type(self)) if not member.startswith("_")]
                message += f" ({suggest_or_list(name, members)})"
            raise AttributeError(message, name=name)


def with_argument_suggestions(function: Function) -> Function:
    """Decorate a function so that its errors about unknown arguments suggest the closest name."""
    code = function.__code__
    known = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        reject_unknown_arguments(kwargs, known)
        return function(*args, **kwargs)

    return cast("Function", call)


def reject_unknown_arguments(names: Iterable[str], known: Collection[str]) -> None:
    """Check that a function accepts arguments with these names.

    Raises:
        TypeError: If one is unknown. The message suggests the closest name.
    """
    for name in names:
        if name not in known:
            raise TypeError(f"unknown argument {name!r} ({suggest_or_list(name, known)})")


_VALUES = (".yaml", ".yml", ".json")
# Groups of interchangeable file extensions.
_SIMILAR_EXTENSIONS = (_VALUES, (".py",), (".jsonl", ".ndjson", ".csv", ".parquet", *_VALUES))
_MAX_FOLDER_ENTRIES = 1000
_MAX_NAMED = 5


def explain_missing_file(path: str) -> str:
    """Return a hint for a missing file: the closest name in its folder, or else a list of similar files.

    Args:
        path: The file's path. Without an extension, it is treated as YAML or JSON.
    """
    if "://" in path:
        return "download it and pass the path of the file"
    folder = Path(path).parent
    if not folder.is_dir():
        return f"the folder {folder} does not exist"
    hint = suggest_nearest_file(path)
    if hint is not None:
        return hint
    names = _list_sibling_files(path)
    where = "the working folder" if folder == Path() else f"the folder {folder}"
    if not names:
        return f"{where} has no file that ends in {' or '.join(_get_interchangeable_extensions(path))}"
    return f"{where} has {', '.join(names[:_MAX_NAMED])}{', ...' if len(names) > _MAX_NAMED else ''}"


def suggest_nearest_file(path: str) -> str | None:
    """Return a hint with the closest name in a missing file's folder, or None if nothing is close."""
    # Leave out extensions, because they'd make all short names look similar.
    folder, names = Path(path).parent, _list_sibling_files(path)
    stem = find_nearest(Path(path).stem, (Path(name).stem for name in names))
    if stem is None:
        return None
    candidates = [name for name in names if Path(name).stem.lower() == stem.lower()]
    name = find_nearest(Path(path).name, candidates) or candidates[0]
    return f"did you mean {name if folder == Path() else folder / name}?"


def _list_sibling_files(path: str) -> list[str]:
    """Return the names of files with a similar extension in the same folder."""
    endings = _get_interchangeable_extensions(path)
    try:
        entries = list(islice(Path(path).parent.iterdir(), _MAX_FOLDER_ENTRIES))
    except (OSError, ValueError):
        return []
    return sorted(entry.name for entry in entries if entry.suffix.lower() in endings)


def _get_interchangeable_extensions(path: str) -> tuple[str, ...]:
    ending = Path(path).suffix.lower()
    return next((endings for endings in _SIMILAR_EXTENSIONS if ending in endings), (ending,) if ending else _VALUES)

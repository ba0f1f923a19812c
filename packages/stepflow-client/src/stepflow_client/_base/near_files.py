"""Hints for a file that does not exist: a similar name, or the files in its folder."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from .text import nearest

_VALUES = (".yaml", ".yml", ".json")
# The extensions of files that are read for the same purpose.
_KINDS = (_VALUES, (".py",), (".jsonl", ".ndjson", ".csv", ".parquet", *_VALUES))
_MAX_ENTRIES = 1000
_MAX_SHOWN = 5


def explain_missing_file(path: str) -> str:
    """Return the hint for a missing file: the nearest name in its folder, or the files of its kind there.

    Args:
        path: The path of the file; without an extension, it counts as YAML or JSON.
    """
    if "://" in path:
        return "only files can be read: download it and pass the path of the file"
    folder = Path(path).parent
    if not folder.is_dir():
        return f"there is no folder {folder}"
    hint = suggest_nearest_file(path)
    if hint is not None:
        return hint
    names = _list_sibling_files(path)
    where = "the working folder" if folder == Path() else f"the folder {folder}"
    if not names:
        return f"{where} has no file that ends in {' or '.join(_get_similar_endings(path))}"
    return f"{where} has {', '.join(names[:_MAX_SHOWN])}{', ...' if len(names) > _MAX_SHOWN else ''}"


def suggest_nearest_file(path: str) -> str | None:
    """Return the hint with the nearest name in the folder of a missing file; None if none is near."""
    # Compare names without extensions, which would make every short name similar.
    folder, names = Path(path).parent, _list_sibling_files(path)
    stem = nearest(Path(path).stem, (Path(name).stem for name in names))
    if stem is None:
        return None
    candidates = [name for name in names if Path(name).stem.lower() == stem.lower()]
    name = nearest(Path(path).name, candidates) or candidates[0]
    return f"did you mean {name if folder == Path() else folder / name}?"


def _list_sibling_files(path: str) -> list[str]:
    """Return the names of the files of the same kind in the folder of a file."""
    endings = _get_similar_endings(path)
    try:
        entries = list(islice(Path(path).parent.iterdir(), _MAX_ENTRIES))
    except (OSError, ValueError):
        return []
    return sorted(entry.name for entry in entries if entry.suffix.lower() in endings)


def _get_similar_endings(path: str) -> tuple[str, ...]:
    ending = Path(path).suffix.lower()
    return next((each for each in _KINDS if ending in each), (ending,) if ending else _VALUES)

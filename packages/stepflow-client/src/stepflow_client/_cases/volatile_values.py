"""Texts that differ from run to run, and what stands for them in an expected output. Pure.

These are UUIDs, and times about when the run was executed. A text that the case was given, in its input, its mocks or
its flow, is none: it is the same in each run. Ids of blobs are digests of their content, and are the same as well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ..flows.matching import is_like_matcher, is_run_id

_NO_RUN = "00000000-0000-0000-0000-000000000000"
_UUID, _TIME = "[0-9a-fA-F-]{36}", r"\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)"
"""The patterns that are written."""
_NOISE = re.compile(
    r"(?<![\w-])(?P<uuid>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?![\w-])"
    r"|(?<![\w-])(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d))(?![\w-])",
    re.IGNORECASE,
)
_ABOUT = timedelta(days=1)
"""Times within this span are those of the run, whatever its server's clock shows."""


def level(value: Any, given: Iterable[Any] = (), at: datetime | None = None) -> Any:
    """Return an expected value that matches an actual one, and those of further runs.

    A text with a UUID or a time of the run becomes a `$regex`. A UUID under the key `run_id`, which matches any other,
    becomes zeros. Keys of objects that are such texts are left out.

    Args:
        value: The actual value.
        given: What the run was given: texts in these values are the same in each run.
        at: When the run was executed. None, the default, is now.
    """
    known = json.dumps(list(given), ensure_ascii=False).lower()
    return _leveled(value, _Noise(known, datetime.now(UTC) if at is None else at))


class _Noise:
    """Tells which parts of texts are noise."""

    def __init__(self, known: str, at: datetime) -> None:
        self._known = known
        self._at = at

    def parts(self, text: str) -> list[re.Match[str]]:
        """Return the parts of a text that differ from run to run."""
        return [each for each in _NOISE.finditer(text) if self._is_noise(each)]

    def _is_noise(self, found: re.Match[str]) -> bool:
        if found[0].lower() in self._known:
            return False
        if found["time"] is None:
            return True
        try:
            # Servers write nanoseconds, which Python does not read.
            return abs(datetime.fromisoformat(re.sub(r"\.\d+", "", found[0].upper())) - self._at) < _ABOUT
        except ValueError:
            return False


def _leveled(value: Any, noise: _Noise) -> Any:
    if is_like_matcher(value):
        return {"$equals": value}
    if isinstance(value, Mapping):
        kept = {
            key: _NO_RUN if is_run_id(key, each) else _leveled(each, noise)
            for key, each in value.items()
            if not noise.parts(key)
        }
        return kept if kept or not value else {"$type": "object"}
    if isinstance(value, list):
        return [_leveled(each, noise) for each in value]
    parts = noise.parts(value) if isinstance(value, str) else []
    return {"$regex": _pattern(value, parts)} if parts else value


def _pattern(text: str, parts: list[re.Match[str]]) -> str:
    pattern, end = "^", 0
    for each in parts:
        pattern += _escaped(text[end : each.start()]) + (_UUID if each["uuid"] else _TIME)
        end = each.end()
    return f"{pattern}{_escaped(text[end:])}$"


def _escaped(text: str) -> str:
    return re.sub(r"[\\.^$*+?{}\[\]|()]", r"\\\g<0>", text)

"""Replaces texts that differ from run to run by matchers in an expected output. Pure.

These are UUIDs, and times near that of the run. Texts in the input, the mocks or the flow of a case are the same in
each run, and so are the ids of blobs, which are digests of their content.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from ..flows.matching import is_like_matcher, is_run_id

_NO_RUN = "00000000-0000-0000-0000-000000000000"
# The patterns that are written.
_UUID, _TIME = "[0-9a-fA-F-]{36}", r"\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)"
_VOLATILE = re.compile(
    r"(?<![\w-])(?P<uuid>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?![\w-])"
    r"|(?<![\w-])(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d))(?![\w-])",
    re.IGNORECASE,
)
# Times within this distance of the run vary from run to run, even if the server's clock is wrong.
_MAX_DISTANCE = timedelta(days=1)


def replace_volatile(value: Any, given: Iterable[Any] = (), at: datetime | None = None) -> Any:
    """Return an expected value that matches an actual one, and the values of later runs.

    A text with a UUID or a time of the run becomes a `$regex`. A UUID under the key `run_id`, which matches any other,
    becomes zeros. Keys of objects that are such texts are left out.

    Args:
        value: The actual value.
        given: What the run was given: texts in these values are the same in each run.
        at: When the run was executed. None, the default, is now.
    """
    known = json.dumps(list(given), ensure_ascii=False).lower()
    now = datetime.now(UTC) if at is None else at

    def is_volatile(found: re.Match[str]) -> bool:
        if found[0].lower() in known:
            return False
        if found["time"] is None:
            return True
        try:
            # Servers write nanoseconds, which Python does not read.
            return abs(datetime.fromisoformat(re.sub(r"\.\d+", "", found[0].upper())) - now) < _MAX_DISTANCE
        except ValueError:
            return False

    def replaced(value: Any) -> Any:
        if is_like_matcher(value):
            return {"$equals": value}
        if isinstance(value, Mapping):
            kept = {
                key: _NO_RUN if is_run_id(key, item) else replaced(item)
                for key, item in value.items()
                if not any(map(is_volatile, _VOLATILE.finditer(key)))
            }
            return kept if kept or not value else {"$type": "object"}
        if isinstance(value, list):
            return [replaced(each) for each in value]
        parts = list(filter(is_volatile, _VOLATILE.finditer(value))) if isinstance(value, str) else []
        if not parts:
            return value
        pattern, end = "^", 0
        for part in parts:
            pattern += _escape(value[end : part.start()]) + (_UUID if part["uuid"] else _TIME)
            end = part.end()
        return {"$regex": f"{pattern}{_escape(value[end:])}$"}

    return replaced(value)


def _escape(text: str) -> str:
    return re.sub(r"[\\.^$*+?{}\[\]|()]", r"\\\g<0>", text)

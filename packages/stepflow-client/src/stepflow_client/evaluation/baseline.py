"""Joins the items of an evaluation with those of an earlier one of the same cases."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import Any

from .._data.values import encode
from ..errors import InvalidArgumentError
from .item_records import RereadItems
from .records import EvaluationItem


def join_reports(report: Any, baseline: Any, name: str) -> dict[str, Any]:
    """Return the arguments of the report of two evaluations, for `with_baseline`.

    Raises:
        InvalidArgumentError: If they have no case in common, or if a variant has the name of the baseline.
    """
    if not report.variants or not baseline.variants:
        raise InvalidArgumentError("an evaluation without items cannot be compared")
    earlier = {each: each if each in baseline.variants else baseline.variants[0] for each in report.variants}
    used = list(dict.fromkeys(earlier.values()))
    new_names = {each: name if len(used) == 1 else f"{name} {each}" for each in used}
    taken = next((each for each in new_names.values() if each in report.variants), None)
    if taken is not None:
        raise InvalidArgumentError(f"a variant is called {taken!r}, too", hint="give the baseline another name")
    # Digests instead of inputs: there may be many.
    inputs = {item.case: _input_digest(item) for item in report}

    def earlier_items() -> Iterator[EvaluationItem]:
        for item in baseline:
            if item.variant in new_names and inputs.get(item.case) == _input_digest(item):
                yield replace(item, variant=new_names[item.variant])

    missing = len(inputs) - len({item.case for item in earlier_items()})
    if missing == len(inputs):
        raise InvalidArgumentError(
            "the baseline has none of these cases", hint="cases are the same if they have the same name and input"
        )
    remark = (
        f"The baseline lacks {missing:,} of {len(inputs):,} cases, or has another input for them: they are left out."
    )
    return {
        "items": RereadItems(lambda: chain(report, earlier_items())),
        "variants": [*new_names.values(), *report.variants],
        "baselines": {each: new_names[before] for each, before in earlier.items()},
        "remarks": [remark] if missing else [],
    }


def _input_digest(item: EvaluationItem) -> bytes:
    return hashlib.sha256(encode(item.input)).digest()

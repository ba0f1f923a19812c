"""What an evaluation runs: its variants with their flows and arguments. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._codec import requests
from .._data.arguments import check_mapping, check_text, wrong
from .._data.values import LOCAL_DEPTH, check_json, encode, merge_overrides
from .._runs.client_metadata import without_cases
from ..errors import InvalidArgumentError
from ..flows.flow_argument import load_flow
from .records import Variant

_MANY = 5_000
"""Number of items of a variant for which `map` makes enough runs by itself."""


@dataclass(frozen=True, slots=True)
class PlannedVariant:
    """A variant with its flow and its arguments."""

    name: str
    flow: dict[str, Any]
    """The content of the flow, without its test cases."""
    variables: dict[str, Any]
    overrides: dict[str, Any] | None
    """The changes by step id."""

    @property
    def arguments(self) -> dict[str, Any]:
        """The flow, the variables and the overrides, as `map` takes them."""
        overrides = None if self.overrides is None else {"steps": self.overrides}
        return {"flow": self.flow, "variables": self.variables or None, "overrides": overrides}

    @property
    def settings(self) -> str:
        """A digest of the flow and the arguments. Secrets cannot be read from it."""
        settings = [self.flow, self.variables, self.overrides]
        return hashlib.sha256(encode(check_json(settings, "the variant", max_depth=LOCAL_DEPTH))).hexdigest()


def plan_variants(flow: Mapping[str, Any], variants: Any, variables: Any, overrides: Any) -> list[PlannedVariant]:
    """Return the variants of an evaluation.

    Args:
        flow: The content of the flow.
        variants: The variants by name, as the caller gave them; None for the flow as it is.
        variables: The variables of all variants.
        overrides: The overrides of all variants.

    Raises:
        FlowFileError: If the flow of a variant cannot be read.
        InvalidArgumentError: If there is no variant, or if one of them is no `Variant`.
    """
    by_name = check_mapping({"flow": Variant()} if variants is None else variants, "variants")
    if not by_name:
        raise InvalidArgumentError("variants is empty", hint="leave it out to evaluate the flow as it is")
    common = requests.run_variables(variables)
    planned = []
    for name, each in by_name.items():
        check_text(name, "the name of a variant")
        if not isinstance(each, Variant):
            raise wrong(f"variant {name!r}", "a Variant", each)
        content = flow if each.flow is None else load_flow(each.flow)
        own = requests.run_variables(each.variables)
        changes = merge_overrides([part for part in (overrides, each.overrides) if part is not None])
        planned.append(PlannedVariant(name, without_cases(content), {**common, **own}, changes))
    return planned


def limit(most: int | None, variants: int) -> int | None:
    """Return the `max_concurrency` of each of several variants: the same for all, so that none is faster."""
    return None if most is None else max(1, most // variants)


def default_size(items: int, variants: int) -> int | None:
    """Return the number of items of one run; None leaves it to `map`.

    Times are compared by run. The runs of `map` are too few for that, unless there are thousands of items.
    """
    return None if variants == 1 or items >= _MANY else max(2, min(items // 24, 32))

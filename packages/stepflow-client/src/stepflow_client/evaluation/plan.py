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
from .records import Block, Variant

# Number of items of a variant for which `map` makes enough runs by itself.
_MANY = 5_000


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
    def settings_digest(self) -> str:
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
    for name, variant in by_name.items():
        check_text(name, "the name of a variant")
        if not isinstance(variant, Variant):
            raise wrong(f"variant {name!r}", "a Variant", variant)
        content = flow if variant.flow is None else load_flow(variant.flow)
        values = requests.run_variables(variant.variables)
        changes = merge_overrides([part for part in (overrides, variant.overrides) if part is not None])
        planned.append(PlannedVariant(name, without_cases(content), {**common, **values}, changes))
    return planned


def limit(most: int | None, variants: int) -> int | None:
    """Return the `max_concurrency` of each of several variants: the same for all, so that none is faster."""
    return None if most is None else max(1, most // variants)


def choose_chunk_size(items: int, variants: int) -> int | None:
    """Return the number of items of one run; None leaves it to `map`.

    Times are compared by run. The runs of `map` are too few for that, unless there are thousands of items.
    """
    return None if variants == 1 or items >= _MANY else max(2, min(items // 24, 32))


class RunLabels:
    """Labels the runs of an evaluation: all by `eval` and `variant`, and those that have ended by their items too.

    Args:
        client: The client; without a history, it has no labels.
        name: The name of the evaluation.
        repeat: The number of repeats of each case.
        more: Labels that the caller adds.
    """

    def __init__(self, client: Any, name: str, repeat: int, more: Mapping[str, str] | None) -> None:
        self._history = getattr(client, "history", None)
        self._server = getattr(client, "url", None)
        self._repeat = repeat
        # Without a history, `map` refuses labels, and says why.
        self._held: dict[str, tuple[PlannedVariant, Block] | None] = {}
        """The first block of each variant. `map` records its first run again when it creates the next."""
        self.common = None if self._history is None and more is None else {"eval": name, **(more or {})}

    def of(self, variant: PlannedVariant) -> dict[str, str] | None:
        """Return the labels of the batch of a variant."""
        return None if self.common is None else {**self.common, "variant": variant.name}

    def record(self, variant: PlannedVariant, block: Block) -> None:
        """Record the run of a block that has ended, with the cases and repeats of its items."""
        if variant.name not in self._held:
            self._held[variant.name] = variant, block
            return
        self._record_held(variant.name)
        self._record_runs(variant, block)

    def end(self) -> None:
        """Record the runs that are left; all have ended."""
        for name in self._held:
            self._record_held(name)

    def _record_held(self, name: str) -> None:
        held, self._held[name] = self._held[name], None
        if held is not None:
            self._record_runs(*held)

    def _record_runs(self, variant: PlannedVariant, block: Block) -> None:
        labels = self.of(variant)
        if self._history is None or labels is None:
            return
        for run_id, places in block.runs.items():
            repeats = [(block.first + place) % self._repeat for place in places]
            labels["case"] = _format_range(block.cases[places[0]].name, block.cases[places[-1]].name)
            labels["repeat"] = _format_range(min(repeats), max(repeats))
            self._history.record(
                run_id, server=self._server, omitted=("input",), labels=dict(labels), **variant.arguments
            )
            has_failed = any(block.statuses[place] != "completed" for place in places)
            self._history.update(run_id, status="failed" if has_failed else "completed")


def _format_range(first: object, last: object) -> str:
    return str(first) if first == last else f"{first}..{last}"

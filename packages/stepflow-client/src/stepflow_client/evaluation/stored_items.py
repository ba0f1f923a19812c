"""The items in the folder of an evaluation, as reports read them."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from .._data.secrets import Secrets, secrets_of
from ..drawing.report_data import environment_of
from .item_records import Results
from .records import EvaluationItem
from .store import EvaluationStore


class TemporaryFolder:
    """A folder that is removed with this object."""

    def __init__(self) -> None:
        """Create the folder."""
        self.path = tempfile.mkdtemp(prefix="stepflow-eval-")
        # A `TemporaryDirectory` warns unless it is closed, and nobody closes a report.
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


class StoredItems:
    """The items in the folder of an evaluation, which are read again each time.

    Args:
        folder: The folder.
        keep: An object that is kept as long: a temporary folder, which is removed with it.
        hidden: Whether outputs have `***` in place of the secrets of the evaluation. Default False.
    """

    def __init__(self, folder: str | os.PathLike[str], keep: object = None, *, hidden: bool = False) -> None:
        """Read nothing yet."""
        self._folder = folder
        self._keep = keep
        self._is_hidden = hidden

    def __iter__(self) -> Iterator[EvaluationItem]:
        """Yield the items."""
        with EvaluationStore(self._folder) as store:
            yield from store.items(hidden=self._is_hidden)

    def results(self) -> Iterator[Results]:
        """Yield what a report keeps of the items, without reading their inputs and outputs."""
        with EvaluationStore(self._folder) as store:
            yield from store.results()

    def describe(self, variables: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], Mapping[str, int], Secrets]:
        """Return the arguments of the report, when each variant ran first, and the values that pages must not show.

        Args:
            variables: The values of variables that were passed to each variant; empty if they are not known.

        Raises:
            JournalError: If the folder has no evaluation, or cannot be read.
        """
        with EvaluationStore(self._folder) as store:
            arguments = {"name": store.value("name", ""), "variants": list(store.variants)}
            arguments |= {name: store.value(name, []) for name in ("lower_is_better", "timed")}
            return arguments, store.value("moments", {}), report_secrets(store.value("flows", []), variables)


def report_secrets(flows: Iterable[Mapping[str, Any]], variables: Sequence[Mapping[str, Any]] = ()) -> Secrets:
    """Return the secrets of the flows of all variants: defaults, values of the environment, and passed values.

    Args:
        flows: The flows.
        variables: The values of variables that were passed to each flow. Default: they are not known.
    """
    declared: dict[str, Any] = {}
    values: dict[str, Any] = {}
    for number, flow in enumerate(flows):
        # A variable may be secret in one of the flows only.
        declarations, defaults = environment_of(flow)
        passed = variables[number] if number < len(variables) else {}
        declared |= {f"{number}.{name}": each for name, each in declarations.items()}
        values |= {f"{number}.{name}": each for name, each in {**defaults, **passed}.items()}
    return secrets_of(values, declared)

"""The report of an evaluation in a folder."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .._data.secrets import Secrets, secrets_of
from ..drawing.report_data import environment_of
from .records import EvaluationItem
from .report import EvaluationReport
from .store import EvaluationStore


class StoredItems:
    """The items of a folder, which are read each time they are iterated.

    Args:
        folder: The folder.
        keep: An object that keeps the folder from being removed.
    """

    def __init__(self, folder: str | os.PathLike[str], keep: object = None) -> None:
        """Read nothing yet."""
        self._folder = folder
        self._keep = keep
        self._lock = threading.Lock()
        self._store: EvaluationStore | None = None
        self._readers = 0

    def __iter__(self) -> Iterator[EvaluationItem]:
        """Yield the items."""
        with self.opened() as store:
            yield from store.items()

    @contextmanager
    def opened(self) -> Iterator[EvaluationStore]:
        """Open the folder for the first of several readers, and close it after the last one."""
        with self._lock:
            self._store = self._store or EvaluationStore(self._folder)
            self._readers += 1
            store = self._store
        try:
            yield store
        finally:
            with self._lock:
                self._readers -= 1
                if not self._readers:
                    store.close()
                    self._store = None


def stored_report(
    folder: str | os.PathLike[str], *, keep: object = None, variables: Iterable[Mapping[str, Any]] = ()
) -> EvaluationReport:
    """Return the report of the evaluation in a folder.

    Args:
        folder: The folder.
        keep: An object that keeps the folder from being removed.
        variables: The values of variables that were passed, for each flow.
    """
    items = StoredItems(folder, keep)
    with items.opened() as store:
        shared = store.about("shared", [])
        return EvaluationReport(
            items,
            name=store.about("name", ""),
            variants=store.variants,
            lower_is_better=store.about("lower_is_better", []),
            remarks=[f"Steps that ran once for each case, for all variants: {', '.join(shared)}."] if shared else [],
            secrets=_secrets(store.about("flows", []), list(variables)),
        )


def _secrets(flows: Iterable[Mapping[str, Any]], variables: list[Mapping[str, Any]]) -> Secrets:
    """Return the secrets of several flows. Variables of the same name may be secret in one of them only."""
    declared: dict[str, Any] = {}
    given: dict[str, Any] = {}
    for number, flow in enumerate(flows):
        names, values = environment_of(flow)
        passed = variables[number] if number < len(variables) else {}
        declared |= {f"{number}.{name}": each for name, each in names.items()}
        given |= {f"{number}.{name}": each for name, each in {**values, **passed}.items()}
    return secrets_of(given, declared)

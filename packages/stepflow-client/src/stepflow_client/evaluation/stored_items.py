"""The items in the folder of an evaluation, as reports read them."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .item_records import Results
from .records import EvaluationItem
from .report_secrets import report_secrets
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

    def told(self, variables: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
        """Return what a report says beside the items, by the names of its arguments, and its secrets.

        Args:
            variables: The values of variables that were passed to each variant. Default: they are not known.

        Raises:
            JournalError: If the folder has no evaluation, or cannot be read.
        """
        with EvaluationStore(self._folder) as store:
            return {
                "name": store.about("name", ""),
                "variants": list(store.variants),
                "lower_is_better": store.about("lower_is_better", []),
                "timed": store.about("timed", []),
                "moments": store.about("moments", {}),
                "secrets": report_secrets(store.about("flows", []), variables),
            }

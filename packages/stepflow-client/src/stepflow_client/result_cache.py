"""A cache of the results of successful runs, for later calls with the same flow, input and settings.

A client returns the cached result if there is one, and runs the flow if there is none. The cache never makes a run
fail: errors are logged once, as a warning, and the flow is run.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ._data.arguments import check_flag
from ._stores.cached_results import ResultFile, default_path

__all__ = ["ResultCache", "default_path"]

_DAY = 86_400.0


class ResultCache:
    """The results of successful runs, in an SQLite file. Several processes and threads can use it at the same time.

    Example:
        ```python
        cache = ResultCache("results.db", max_age=3600)
        first = await client.run("workflow.yaml", {"name": "World"}, cache=cache)
        again = await client.run("workflow.yaml", {"name": "World"}, cache=cache)
        assert again.run_id == first.run_id and again.cached_at is not None
        ```

    The key of a result is the SHA-256 digest of the flow's content, the input, the variables and the overrides
    together; none of them is in the file. The server is not part of the key: if servers return different results for
    the same flow, use a different `namespace` for each. An output that contains the value of a secret variable is not
    cached.

    A cache can be pickled, with its path and its settings. The file is created by the first call that writes to it.

    Args:
        path: The path of the file; by default `default_path()`. The file is created with mode 0600, its folder with
            mode 0700.
        max_age: Seconds for which a result is kept. Default 7 days. `math.inf` keeps it until there is no room.
        max_bytes: Maximum size in bytes of all outputs together, as JSON. Default 256 MiB; the oldest are removed
            first. An output that takes more than a quarter of it is not cached.
        refresh: Whether to run flows even if there is a cached result, and replace it with the new one. Default False.
        namespace: A text for what else the results depend on, such as the server or the release of its workers.
        on_failure: A function that is called once, with a sentence, if something cannot be read or cached; by default
            the sentence is logged. It must be picklable if the cache is pickled.

    Raises:
        InvalidArgumentError: If a limit is not positive, or if the namespace is not a str.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        max_age: float = 7 * _DAY,
        max_bytes: int = 256 * 2**20,
        refresh: bool = False,
        namespace: str = "",
        on_failure: Callable[[str], object] | None = None,
    ) -> None:
        """Store the settings. No file is opened."""
        self._file = ResultFile(path, max_age=max_age, max_bytes=max_bytes, namespace=namespace, on_failure=on_failure)
        self._refresh = check_flag(refresh, "refresh")

    @property
    def path(self) -> Path:
        """The path of the file."""
        return self._file.path

    @property
    def refresh(self) -> bool:
        """Whether flows are run even if there is a cached result."""
        return self._refresh

    def __repr__(self) -> str:
        return f"ResultCache({str(self.path)!r})"

    def clear(self, *, max_age: float = 0.0) -> int:
        """Remove results and return how many were removed. Their content is overwritten in the file.

        Args:
            max_age: Remove only results cached more than this many seconds ago. Default 0: all results.

        Raises:
            StepflowClientError: If the file cannot be changed.
        """
        return self._file.clear(max_age=max_age)

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        self._file.close()

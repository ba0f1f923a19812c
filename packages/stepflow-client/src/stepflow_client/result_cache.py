"""Results of runs that succeeded, kept in a SQLite file for the next call with the same flow, input and settings.

A client takes a result from it where one is there, and runs the flow where none is. The cache never fails a run: what
goes wrong is logged once, as a warning, and the flow is run.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ._stores.results import ResultFile, default_path

__all__ = ["ResultCache", "default_path"]

_DAY = 86_400.0


class ResultCache:
    """Results of runs that succeeded, in a SQLite file; several processes and threads may use it at once.

    Example:
        ```python
        cache = ResultCache("results.db", ttl=3600)
        first = await client.run("workflow.yaml", {"name": "World"}, cache=cache)
        again = await client.run("workflow.yaml", {"name": "World"}, cache=cache)
        assert again.run_id == first.run_id and again.cached_at is not None
        ```

    A result is found by the content of the flow, the input, the variables and the overrides, by the SHA-256 digest of
    all of them together: none of them is in the file. It is not found by the server: where servers give different
    results for the same flow, give each a `namespace`. An output that holds a value of a secret variable is not kept.

    It can be pickled: the path and the settings travel. The file is made by the first call.

    Args:
        path: The file; by default `default_path()`. It is made with mode 0600, its folder with mode 0700.
        ttl: Seconds that a result is kept; by default 7 days. `math.inf` keeps it until there is no room.
        max_bytes: How large all outputs together may be, as JSON, by default 256 MiB; the oldest are removed first.
            A single one that takes more than a quarter of it is not kept.
        refresh: Whether flows are run although a result is there, which the new one then replaces.
        namespace: What else the results depend on, such as the server or the release of its workers.
        on_failure: Called with a sentence, once, when something cannot be read or kept; by default it is logged. To
            pickle the cache, it must be picklable.

    Raises:
        InvalidArgumentError: If a limit is not positive, or the namespace is no text.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        ttl: float = 7 * _DAY,
        max_bytes: int = 256 * 2**20,
        refresh: bool = False,
        namespace: str = "",
        on_failure: Callable[[str], object] | None = None,
    ) -> None:
        """Keep the settings; nothing is opened."""
        self._file = ResultFile(path, ttl=ttl, max_bytes=max_bytes, namespace=namespace, on_failure=on_failure)
        self._refresh = bool(refresh)

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    @property
    def refresh(self) -> bool:
        """Whether flows are run although a result is there."""
        return self._refresh

    def __repr__(self) -> str:
        return f"ResultCache({str(self.path)!r})"

    def clear(self, *, older_than: float = 0.0) -> int:
        """Remove results and return how many were removed; what they held is overwritten in the file.

        Args:
            older_than: Only those kept more than this many seconds ago.

        Raises:
            StepflowClientError: If the file cannot be changed.
        """
        return self._file.clear(older_than=older_than)

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        self._file.close()

"""A cache of successful results, reused by later calls with the same flow, input and settings.

On a cache miss, the client runs the flow as usual. The cache never makes a run fail: an error is logged once, as a
warning, and the flow still runs.
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
    """A cache of successful results in an SQLite file. Threads and processes can share it.

    Example:
        ```python
        cache = ResultCache("results.db", max_age=3600)
        first = await client.run("workflow.yaml", {"name": "World"}, cache=cache)
        again = await client.run("workflow.yaml", {"name": "World"}, cache=cache)
        assert again.run_id == first.run_id and again.cached_at is not None
        ```

    The key is a single SHA-256 digest of the flow's content, input, variables and overrides. None of these are stored
    in the file. The server isn't part of the key: if servers return different results for the same flow, use a
    different `namespace` for each. Outputs that contain a secret variable's value are not cached.

    Pickling a cache keeps its path and settings. The file is created on first write.

    Args:
        path: The file's path. Defaults to `default_path()`. The file is created with mode 0600, its folder with mode
            0700.
        max_age: Seconds to keep a result. Defaults to 7 days. With `math.inf`, results are kept until space runs out.
        max_bytes: Maximum total size of all outputs, in bytes of JSON. Defaults to 256 MiB. The oldest results are
            removed first. An output larger than a quarter of the limit is not cached.
        refresh: Whether to run flows even if there's a cached result, and replace it. Defaults to False.
        namespace: A string for anything else that results depend on, e.g. the server or its workers' release.
        on_failure: Called once, with a one-sentence message, if something can't be read or cached. By default, the
            message is logged. Must be picklable if the cache is to be pickled.

    Raises:
        InvalidArgumentError: If a limit is not positive, or the namespace is not a str.
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
        """Store the settings without opening the file."""
        self._file = ResultFile(path, max_age=max_age, max_bytes=max_bytes, namespace=namespace, on_failure=on_failure)
        self._refresh = check_flag(refresh, "refresh")

    @property
    def path(self) -> Path:
        """The file's path."""
        return self._file.path

    @property
    def refresh(self) -> bool:
        """Whether flows run even if there's a cached result."""
        return self._refresh

    def __repr__(self) -> str:
        return f"ResultCache({str(self.path)!r})"

    def clear(self, *, max_age: float = 0.0) -> int:
        """Remove results and return how many were removed. Their content is overwritten on disk.

        Args:
            max_age: Remove only results cached more than this many seconds ago. Defaults to 0, i.e. all results.

        Raises:
            StepflowClientError: If the file can't be changed.
        """
        return self._file.clear(max_age=max_age)

    def close(self) -> None:
        """Close the file. The next call reopens it."""
        self._file.close()

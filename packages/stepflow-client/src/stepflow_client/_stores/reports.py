"""Reports that a store cannot be used. Such a failure never makes a run fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .._base.logging import logger
from .._data.arguments import check_function


class Reports:
    """Base class of stores: reports the first failure.

    Args:
        on_failure: Called with a sentence when the store cannot be used; None logs a warning instead.
    """

    _what = "store"
    """The name of the store in messages."""

    def __init__(self, on_failure: Callable[[str], object] | None) -> None:
        """Store the function."""
        self._on_failure = check_function(on_failure, "on_failure")
        self._has_warned = False

    @property
    def location(self) -> str:
        """The location of the store, without passwords."""
        raise NotImplementedError

    @property
    def _logged_location(self) -> str:
        return self.location

    @contextmanager
    def warning(self, action: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            # The run continues whatever the cause: a full disk, a file of another program, a value that is not JSON.
            self.report(action, getattr(error, "strerror", None) or error)

    def report(self, action: str, reason: object) -> None:
        """Report that an action failed, unless a failure was reported before."""
        if not self._has_warned:
            self._has_warned = True
            self._warn(action, reason)

    def _warn(self, action: str, reason: object) -> None:
        """Pass a sentence about the store to `on_failure`, or log it."""
        if self._on_failure is None:
            logger.warning("the %s cannot %s in %s: %s", self._what, action, self._logged_location, reason)
        else:
            self._on_failure(f"the {self._what} cannot {action} in {self.location}: {reason}")

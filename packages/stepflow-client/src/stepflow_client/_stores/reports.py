"""Reporting that a store cannot be used, which never makes a run fail."""

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
    def warning(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            # Whatever the cause, the run continues: a full disk, a file of another program, a value that is not JSON.
            self.report(what, getattr(error, "strerror", None) or error)

    def report(self, what: str, why: object) -> None:
        """Report that something failed, unless something was reported before."""
        if not self._has_warned:
            self._has_warned = True
            self._warn("the {} cannot {} in {}: {}", what, why)

    def _warn(self, sentence: str, what: str, why: object) -> None:
        """Pass a sentence about the store to `on_failure`, or log it."""
        if self._on_failure is None:
            logger.warning(sentence.replace("{}", "%s"), self._what, what, self._logged_location, why)
        else:
            self._on_failure(sentence.format(self._what, what, self.location, why))

"""Decides which inputs of a batch run again after a failure. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from .._base.text import nearest_hint
from .._data.arguments import check_function, check_integer, check_texts
from ..errors import InvalidArgumentError
from ..types.results import ErrorCode

if TYPE_CHECKING:
    from ..types.outcomes import Outcome

RetryOn: TypeAlias = "Iterable[ErrorCode | str] | Callable[[Outcome[Any]], bool]"
"""The codes of the errors after which an input runs again, or a function of its outcome."""

_NEWER_CODE = re.compile(r"unknown_\d+")


class RetryRule:
    """Chooses the inputs that run again.

    Args:
        max_attempts: Maximum number of runs of an input; None for 1.
        retry_on: The codes of the errors after which an input runs again, or a function of the outcome; None for all
            retryable errors.

    Raises:
        InvalidArgumentError: If an argument is invalid, or only `retry_on` is given.
    """

    def __init__(self, max_attempts: int | None, retry_on: RetryOn | None) -> None:
        if max_attempts is None and retry_on is not None:
            raise InvalidArgumentError("retry_on needs max_attempts", hint="max_attempts=3 runs an input up to 3 times")
        self._max_attempts = 1 if max_attempts is None else check_integer(max_attempts, "max_attempts", least=1)
        self._function = check_function(retry_on, "retry_on") if callable(retry_on) else None
        self._codes: set[ErrorCode] | None = None
        if retry_on is not None and self._function is None:
            self._codes = set()
            known = [code.value for code in ErrorCode]
            texts: Any = retry_on
            for text in check_texts(texts, "retry_on"):
                if text not in known and not _NEWER_CODE.fullmatch(text):
                    hint = nearest_hint(text, known) or f"the codes are {', '.join(known)}"
                    raise InvalidArgumentError(f"retry_on has {text!r}, which is not an error code", hint=hint)
                self._codes.add(ErrorCode(text))
        self.is_enabled = self._max_attempts > 1
        """Whether an input may run more than once."""

    def choose_retries(self, outcomes: Iterable[Outcome[Any]], attempt: int) -> list[Outcome[Any]]:
        """Return the outcomes of an attempt whose inputs run again.

        Args:
            outcomes: The outcomes of inputs that were run.
            attempt: The number of the attempt, from 1.
        """
        if attempt >= self._max_attempts:
            return []
        return [outcome for outcome in outcomes if not outcome.is_success and self._is_retried(outcome)]

    def _is_retried(self, outcome: Outcome[Any]) -> bool:
        if self._function is not None:
            return bool(self._function(outcome))
        error = outcome.error
        if self._codes is None:
            return error is not None and error.is_retryable
        code = error.code if error is not None else ErrorCode.CANCELLED if outcome.is_cancelled else None
        return code in self._codes

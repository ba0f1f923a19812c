"""Error handling for steps, e.g. `on_error=on_error.retry(3)`."""

from __future__ import annotations

from typing import Any, Generic, Never, TypeVar, overload

from ._lazy_modules import arguments
from ._placeholders import authoring_error
from ._scopes import encode_data

__all__ = ["OnError", "fail", "retry", "use_default"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class OnError(Generic[T_co]):
    """What to do when a step fails. `T_co` is the type of the value that replaces the step's output."""

    __slots__ = ("action", "fields")

    def __init__(self, action: str, **fields: Any) -> None:
        """Use this module's functions instead."""
        self.action, self.fields = action, fields

    def to_dict(self) -> dict[str, Any]:
        """Return the error handling in the form used in flow files."""
        return {"action": self.action, **self.fields}


def fail() -> OnError[Never]:
    """Fail the step, and with it any steps that read its output. This is the default."""
    return OnError("fail")


def retry(max_retries: int | None = None) -> OnError[Never]:
    """Retry the step.

    Args:
        max_retries: Maximum number of retries. Defaults to the server's default of 3. Servers before 0.11 ignore it.

    Raises:
        AuthoringError: If it isn't an integer from 0 to 2**32 - 1.
    """
    if max_retries is None:
        return OnError("retry")
    if isinstance(max_retries, bool) or not isinstance(max_retries, int) or not 0 <= max_retries < 2**32:
        raise authoring_error(f"the number of retries must be an integer >= 0, not {arguments.short_repr(max_retries)}")
    return OnError("retry", maxRetries=max_retries)


@overload
def use_default(value: None = None) -> OnError[Any]: ...
@overload
def use_default(value: T) -> OnError[T]: ...
def use_default(value: Any = None) -> OnError[Any]:
    """Use a default value in place of the step's output.

    Args:
        value: The value, which isn't evaluated. If it's None, the output and all its fields are null.

    Raises:
        AuthoringError: If it contains flow values.
    """
    return OnError("useDefault", defaultValue=encode_data(value, "the default of a step"))

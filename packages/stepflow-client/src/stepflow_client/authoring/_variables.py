"""The variables of flows."""

from __future__ import annotations

from typing import Any, TypeVar, overload

from .._base.not_given import NOT_GIVEN
from ._lazy import arguments
from ._objects import encode_data

T = TypeVar("T")


class Variable:
    """A variable of a flow, as `variable` declares it."""

    def __init__(
        self,
        default: Any = NOT_GIVEN,
        description: str | None = None,
        env_var: str | None = None,
        secret: bool = False,
        required: bool = True,
    ) -> None:
        """Use `variable` instead."""
        self.default, self.description, self.env_var, self.secret = default, description, env_var, secret
        self.is_required = required and default is NOT_GIVEN
        """Whether each run must set it."""

    @classmethod
    def of(cls, default: Any, *, is_given: bool) -> Variable:
        """Return the variable for the default of an argument."""
        return default if isinstance(default, Variable) else cls(default) if is_given else cls()

    @property
    def has_default(self) -> bool:
        """Whether it has a default."""
        return self.default is not NOT_GIVEN

    def schema(self, of_type: dict[str, Any]) -> dict[str, Any]:
        """Return its schema in the flow file: the schema of its type, its default and its other properties."""
        result = dict(of_type)
        if self.description is not None:
            result["description"] = self.description
        if self.has_default:
            result["default"] = encode_data(self.default, "the default of a variable")
        if self.env_var is not None:
            result["env_var"] = self.env_var
        if self.secret:
            result["is_secret"] = True
        return result


@overload
def variable(*, default: T, description: str | None = None, env_var: str | None = None, secret: bool = False) -> T: ...
@overload
def variable(
    *, description: str | None = None, env_var: str | None = None, secret: bool = False, required: bool = True
) -> Any: ...
def variable(
    *,
    default: Any = NOT_GIVEN,
    description: str | None = None,
    env_var: str | None = None,
    secret: bool = False,
    required: bool = True,
) -> Any:
    """Describe a variable of a flow: a keyword-only argument of its function.

    Example:
        ```python
        @flow
        def greet(
            given: Person, *, tone: str = variable(default="friendly"), key: str = variable(env_var="KEY", secret=True)
        ) -> str: ...
        ```

    Args:
        default: The value in runs that do not set it.
        description: A description.
        env_var: The environment variable that `variables_from_env=True` and `--variables-from-env` read it from.
        secret: Whether to hide its value wherever this package shows or stores it.
        required: Whether each run must set it if it has no default. With False, an unset `str` is `""`, a number is 0
            and a `bool` is False. Other types, such as `str | None`, have no value: read them with `if_unset`.

    Raises:
        InvalidArgumentError: If an argument has the wrong type.
    """
    for name, value in (("description", description), ("env_var", env_var)):
        if value is not None:
            arguments.check_text(value, name)
    arguments.check_flags(secret=secret, required=required)
    return Variable(default, description, env_var, secret, required)

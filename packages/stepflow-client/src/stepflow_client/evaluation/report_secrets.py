"""The values that the pages and files of an evaluation do not show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .._data.secrets import Secrets, secrets_of
from ..drawing.report_data import environment_of


def report_secrets(flows: Iterable[Mapping[str, Any]], variables: Sequence[Mapping[str, Any]] = ()) -> Secrets:
    """Return the secrets of the flows of all variants: defaults, values of the environment, and what was passed.

    Args:
        flows: The flows.
        variables: The values of variables that were passed to each flow. Default: they are not known.
    """
    declared: dict[str, Any] = {}
    given: dict[str, Any] = {}
    for number, flow in enumerate(flows):
        # A variable may be secret in one of the flows only.
        names, values = environment_of(flow)
        passed = variables[number] if number < len(variables) else {}
        declared |= {f"{number}.{name}": each for name, each in names.items()}
        given |= {f"{number}.{name}": each for name, each in {**values, **passed}.items()}
    return secrets_of(given, declared)

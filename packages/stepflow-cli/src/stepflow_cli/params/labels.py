"""Labels of runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..errors import usage
from .options import option_in


def label_option(help: str, section: str = "Options") -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds --label; the command gets `labels`, for `labels_of`."""
    return option_in("--label", "labels", multiple=True, section=section, metavar="NAME=VALUE", help=help)


def labels_of(given: Iterable[str]) -> dict[str, str]:
    """Return the labels as a dict.

    Raises:
        Problem: If a label has no name, or a name is given twice with different values.
    """
    labels: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not name or not equals:
            raise usage(f"a label is NAME=VALUE, not {text!r}")
        if labels.setdefault(name, value) != value:
            raise usage(f"label {name} is given twice, with different values")
    return labels

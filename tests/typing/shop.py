"""Components as `stepflow components stubs` writes them, for the flows of the type tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypedDict

from stepflow_client.authoring import Name, OnError, component


@dataclass
class Price:
    eur: float
    tags: list[str]
    lines: list[Line]
    vat_rate: Annotated[float, Name("vat-rate")]
    note: str | None = None


@dataclass
class Line:
    sku: str
    eur: float


@component("/shop/price")
def price(
    *,
    sku: str,
    qty: int | None = None,
    currency: Literal["EUR", "USD"] | None = None,
    step: str | None = None,
    on_error: OnError[Price] | None = None,
    must_execute: bool = False,
    metadata: Mapping[str, Any] | None = None,
) -> Price:
    """Price an article."""
    raise NotImplementedError


class Mail(TypedDict):
    id: str
    receivers: list[str]


@component("/shop/mail")
def mail(
    *,
    to: str,
    text: str,
    data: dict[str, Any] | None = None,
    step: str | None = None,
    on_error: OnError[Mail] | None = None,
    must_execute: bool = False,
    metadata: Mapping[str, Any] | None = None,
) -> Mail:
    """Send a mail."""
    raise NotImplementedError


@dataclass
class Review:
    is_good: bool
    text: str


@component("/shop/review")
def review(*, text: str, step: str | None = None, on_error: OnError[Review] | None = None) -> Review:
    """Review a text."""
    raise NotImplementedError


@component("/shop/echo")
def echo(input: Any, /, *, step: str | None = None, on_error: OnError[Any] | None = None) -> Any:
    """Return the input."""
    raise NotImplementedError

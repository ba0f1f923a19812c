"""Flows in Python that are correct: checked by mypy and pyright in strict mode, and built by a test."""

# pyright: strict

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, assert_type

import attrs
import msgspec
import shop
from pydantic import BaseModel
from stepflow_client import FlowResult, OutcomeStream, RunHandle, StepflowClient, SyncStepflowClient
from stepflow_client.authoring import (
    Flow,
    ItemResult,
    Iterated,
    MapOutput,
    Turn,
    again,
    coalesce,
    construct,
    done,
    each,
    exists,
    flow,
    if_unset,
    item,
    iterate,
    literal,
    on_error,
    variable,
    when,
)


@dataclass
class Order:
    sku: str
    qty: int
    gift: bool
    others: list[Order]
    address: Address | None = None


@dataclass
class Address:
    street: str
    lines: list[str]


@dataclass
class Receipt:
    total: float
    text: str


class Keys(TypedDict):
    sku: str
    sizes: dict[str, int]


class Model(BaseModel):
    total: float
    text: str | None = None


@attrs.define
class Attrs:
    total: float


class Packed(msgspec.Struct):
    total: float


@flow(version="2")
def path(given: Order) -> float:
    return shop.price(sku=given.sku, qty=given.qty).eur


@flow
def ideal(given: Order, *, tone: str = variable(default="friendly")) -> Receipt:
    price = shop.price(sku=given.sku, qty=given.qty)
    note = coalesce(price.note, "no note")
    assert_type(note, str)
    text = when(given.gift, note, item(price.tags, 0))
    assert_type(text, str)
    mail = shop.mail(to=tone, text=text)
    return Receipt(total=price.eur, text=mail["id"])


@flow
def mapped(given: Order) -> MapOutput[float]:
    prices = each(given.others, lambda other: shop.price(sku=other.sku).eur)
    assert_type(prices, MapOutput[float])
    assert_type(prices.results[0], ItemResult[float])
    return prices


@flow
def mapped_with_outer(given: Order) -> MapOutput[Receipt]:
    price = shop.price(sku=given.sku)
    return each(given.others, lambda other: Receipt(total=price.eur, text=other.sku))


def refine(draft: str) -> Turn[str, str]:
    review = shop.review(text=draft)
    return when(review.is_good, done(draft), again(review.text))


@flow
def turns(given: Order) -> str:
    whole = iterate(given.sku, refine, max_iterations=5)
    assert_type(whole, Iterated[str])
    return whole.result


@flow
def without_input(*, tone: str) -> str:
    return shop.review(text=tone).text


@flow
def typed_dict(given: Keys) -> int:
    return given["sizes"]["small"]


@flow
def of_pydantic(given: Model) -> Model:
    return construct(Model, total=given.total, text=given.text)


@flow
def of_attrs(given: Attrs) -> Attrs:
    return Attrs(given.total)


@flow
def of_msgspec(given: Packed) -> Packed:
    return Packed(total=given.total)


@flow
def as_dict(given: Order) -> dict[str, Any]:
    return {"sku": given.sku, "list": [given.qty, 1, None]}


@flow
def choice_without_else(given: Order) -> str | None:
    return when(given.gift, given.sku)


@flow
def there(given: Order) -> str:
    price = shop.price(sku=given.sku)
    return when(exists(price.note), coalesce(price.note, ""), "none")


@flow
def defaults(given: Order) -> float:
    default = shop.Price(eur=1.0, tags=[], lines=[], vat_rate=0.2)
    return shop.price(sku=given.sku, on_error=on_error.use_default(default)).eur


@flow
def null_default(given: Order) -> float:
    return coalesce(shop.price(sku=given.sku, on_error=on_error.use_default()).eur, 0)


@flow
def retried(given: Order) -> float:
    price = shop.price(sku=given.sku, on_error=on_error.retry(3), step="price", metadata={"owner": "shop"})
    shop.mail(to="me", text=given.sku, must_execute=True, on_error=on_error.fail())
    return price.eur


@flow
def inner_path(given: Order) -> str:
    price = shop.price(sku=given.sku, currency="EUR")
    return price.lines[0].sku


@flow
def three(given: Order) -> str:
    price = shop.price(sku=given.sku)
    return coalesce(price.note, when(given.gift, given.sku), "end")


@flow
def called(given: Order) -> float:
    receipt = ideal(given, tone="formal")
    assert_type(receipt, Receipt)
    return receipt.total


@flow
def map_of_a_flow(given: Order) -> MapOutput[float]:
    return each(given.others, path)


@flow
def unset(given: Order, *, tone: str, level: int = 1) -> str:
    return if_unset(tone, given.sku)


@flow
def data(given: Order) -> Any:
    return shop.echo(literal({"$input": "$.sku"}))


@flow
def kept(given: Order) -> float:
    price = shop.price(sku=given.sku)
    assert_type(price.vat_rate, float)
    return price.vat_rate


def shared(skus: Sequence[str]) -> MapOutput[float]:
    return each(skus, lambda sku: shop.price(sku=sku).eur)


@flow
def with_function(given: Order) -> int:
    return shared([given.sku, "coffee"]).successful


@flow
def listed(given: Order) -> list[float]:
    prices = [shop.price(sku=sku) for sku in ("tea", "coffee")]
    return [each.eur for each in prices]


def synchronous(client: SyncStepflowClient, given: Order) -> None:
    result = ideal.run(client, given, timeout=5, variables=ideal.variables(tone="formal"))
    assert_type(result, FlowResult[Receipt])
    assert_type(result.unwrap().total, float)
    assert_type(without_input.submit(client, None), str)
    ideal.example("tea", given)
    ideal.case("tea", given, output=Receipt(total=1, text=""))


async def asynchronous(client: StepflowClient, given: Order) -> None:
    assert_type(await ideal.run(client, given), FlowResult[Receipt])
    assert_type(await ideal.start_run(client, given), RunHandle[Receipt])
    assert_type(ideal.map(client, [given]), OutcomeStream[Receipt])
    await client.run(ideal, given)


def stored(flow: Flow[Order, Receipt, ...]) -> str:
    flow.write("order.yaml")
    return flow.name

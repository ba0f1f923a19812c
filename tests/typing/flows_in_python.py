"""Correct flows in Python: checked by mypy and pyright in strict mode, and built by a test."""

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
def path(order: Order) -> float:
    return shop.price(sku=order.sku, qty=order.qty).eur


@flow
def ideal(order: Order, *, tone: str = variable(default="friendly")) -> Receipt:
    price = shop.price(sku=order.sku, qty=order.qty)
    note = coalesce(price.note, "no note")
    assert_type(note, str)
    text = when(order.gift, note, item(price.tags, 0))
    assert_type(text, str)
    mail = shop.mail(to=tone, text=text)
    return Receipt(total=price.eur, text=mail["id"])


@flow
def mapped(order: Order) -> MapOutput[float]:
    prices = each(order.others, lambda other: shop.price(sku=other.sku).eur)
    assert_type(prices, MapOutput[float])
    assert_type(prices.results[0], ItemResult[float])
    return prices


@flow
def mapped_with_outer(order: Order) -> MapOutput[Receipt]:
    price = shop.price(sku=order.sku)
    return each(order.others, lambda other: Receipt(total=price.eur, text=other.sku))


def refine(draft: str) -> Turn[str, str]:
    review = shop.review(text=draft)
    return when(review.is_good, done(draft), again(review.text))


@flow
def turns(order: Order) -> str:
    whole = iterate(order.sku, refine, max_iterations=5)
    assert_type(whole, Iterated[str])
    return whole.result


@flow
def without_input(*, tone: str) -> str:
    return shop.review(text=tone).text


@flow
def typed_dict(keys: Keys) -> int:
    return keys["sizes"]["small"]


@flow
def of_pydantic(model: Model) -> Model:
    return construct(Model, total=model.total, text=model.text)


@flow
def of_attrs(value: Attrs) -> Attrs:
    return Attrs(value.total)


@flow
def of_msgspec(value: Packed) -> Packed:
    return Packed(total=value.total)


@flow
def as_dict(order: Order) -> dict[str, Any]:
    return {"sku": order.sku, "list": [order.qty, 1, None]}


@flow
def choice_without_else(order: Order) -> str | None:
    return when(order.gift, order.sku)


@flow
def there(order: Order) -> str:
    price = shop.price(sku=order.sku)
    return when(exists(price.note), coalesce(price.note, ""), "none")


@flow
def defaults(order: Order) -> float:
    default = shop.Price(eur=1.0, tags=[], lines=[], vat_rate=0.2)
    return shop.price(sku=order.sku, on_error=on_error.use_default(default)).eur


@flow
def null_default(order: Order) -> float:
    return coalesce(shop.price(sku=order.sku, on_error=on_error.use_default()).eur, 0)


@flow
def retried(order: Order) -> float:
    price = shop.price(sku=order.sku, on_error=on_error.retry(3), step="price", metadata={"owner": "shop"})
    shop.mail(to="me", text=order.sku, must_execute=True, on_error=on_error.fail())
    return price.eur


@flow
def inner_path(order: Order) -> str:
    price = shop.price(sku=order.sku, currency="EUR")
    return price.lines[0].sku


@flow
def three(order: Order) -> str:
    price = shop.price(sku=order.sku)
    return coalesce(price.note, when(order.gift, order.sku), "end")


@flow
def called(order: Order) -> float:
    receipt = ideal(order, tone="formal")
    assert_type(receipt, Receipt)
    return receipt.total


@flow
def map_of_a_flow(order: Order) -> MapOutput[float]:
    return each(order.others, path)


@flow
def unset(order: Order, *, tone: str, level: int = 1) -> str:
    return if_unset(tone, order.sku)


@flow
def data(order: Order) -> Any:
    return shop.echo(literal({"$input": "$.sku"}))


@flow
def kept(order: Order) -> float:
    price = shop.price(sku=order.sku)
    assert_type(price.vat_rate, float)
    return price.vat_rate


def shared(skus: Sequence[str]) -> MapOutput[float]:
    return each(skus, lambda sku: shop.price(sku=sku).eur)


@flow
def with_function(order: Order) -> int:
    return shared([order.sku, "coffee"]).successful


@flow
def listed(order: Order) -> list[float]:
    prices = [shop.price(sku=sku) for sku in ("tea", "coffee")]
    return [each.eur for each in prices]


def synchronous(client: SyncStepflowClient, order: Order) -> None:
    result = ideal.run(client, order, timeout=5, variables=ideal.variables(tone="formal"))
    assert_type(result, FlowResult[Receipt])
    assert_type(result.unwrap().total, float)
    assert_type(without_input.submit(client, None), str)
    ideal.example("tea", order)
    ideal.case("tea", order, output=Receipt(total=1, text=""))


async def asynchronous(client: StepflowClient, order: Order) -> None:
    assert_type(await ideal.run(client, order), FlowResult[Receipt])
    assert_type(await ideal.start_run(client, order), RunHandle[Receipt])
    assert_type(ideal.map(client, [order]), OutcomeStream[Receipt])
    await client.run(ideal, order)


def stored(flow: Flow[Order, Receipt, ...]) -> str:
    flow.write("order.yaml")
    return flow.name

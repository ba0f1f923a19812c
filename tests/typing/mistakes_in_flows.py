"""Mistakes in flows in Python, each found by both mypy and pyright.

An ignore comment on a correct line makes `make types` fail.
"""

# mypy: warn-unused-ignores
# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

import shop
from flows_in_python import Order, Receipt, ideal
from stepflow_client import SyncStepflowClient
from stepflow_client.authoring import MapOutput, coalesce, each, flow, when


@flow
def component(order: Order) -> float:
    return shop.prise(sku=order.sku).eur  # type: ignore[attr-defined, no-any-return]


@flow
def input_key(order: Order) -> float:
    return shop.price(sku=order.sku, quantity=1).eur  # type: ignore[call-arg]


@flow
def input_type(order: Order) -> float:
    return shop.price(sku=order.qty).eur  # type: ignore[arg-type]


@flow
def missing_input(order: Order) -> float:
    return shop.price(qty=order.qty).eur  # type: ignore[call-arg]


@flow
def enum(order: Order) -> float:
    return shop.price(sku=order.sku, currency="GBP").eur  # type: ignore[arg-type]


@flow
def output_path(order: Order) -> float:
    return shop.price(sku=order.sku).euro  # type: ignore[attr-defined, no-any-return]


@flow
def path_into_a_list(order: Order) -> str:
    return shop.price(sku=order.sku).lines.sku  # type: ignore[attr-defined, no-any-return]


@flow
def null_read_as_not_null(order: Order) -> str:
    return shop.review(text=shop.price(sku=order.sku).note).text  # type: ignore[arg-type]


@flow
def wrong_branch_type(order: Order) -> str:
    return shop.review(text=when(order.gift, order.sku, order.qty)).text  # type: ignore[arg-type]


@flow
def output_key(order: Order) -> Receipt:
    return Receipt(total=1, texts=order.sku)  # type: ignore[call-arg]


@flow
def output_type(order: Order) -> Receipt:
    return Receipt(total=order.sku, text="")  # type: ignore[arg-type]


def variable_name(client: SyncStepflowClient, order: Order) -> None:
    ideal.run(client, order, variables=ideal.variables(tonne="formal"))  # type: ignore[call-arg]
    ideal.run(client, order, variables={"tonne": "formal"})  # type: ignore[call-overload]
    ideal.case("tea", order, variables={"tonne": "formal"})  # type: ignore[arg-type]


@flow
def item_type_of_each(order: Order) -> MapOutput[float]:
    return each(order.others, lambda other: shop.price(sku=other.name).eur)  # type: ignore[attr-defined]


@flow
def result_of_each(order: Order) -> MapOutput[str]:
    return each(order.others, lambda other: shop.price(sku=other.sku).eur)  # type: ignore[arg-type, return-value]


@flow
def coalesced_type(order: Order) -> str:
    return coalesce(shop.price(sku=order.sku).note, order.qty)  # type: ignore[return-value]


def input_of_a_flow(client: SyncStepflowClient) -> None:
    ideal.run(client, {"sku": "tea"})  # type: ignore[call-overload]


@flow
def condition(order: Order) -> str:
    return when(order.sku, "a", "b")  # type: ignore[call-overload, no-any-return]

"""Mistakes in flows in Python, each of which both mypy and pyright find.

A comment of a line without a mistake is an error of `make types`.
"""

# mypy: warn-unused-ignores
# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

import shop
from flows_in_python import Order, Receipt, ideal
from stepflow_client import SyncStepflowClient
from stepflow_client.authoring import MapOutput, coalesce, each, flow, when


@flow
def component(given: Order) -> float:
    return shop.prise(sku=given.sku).eur  # type: ignore[attr-defined, no-any-return]


@flow
def input_key(given: Order) -> float:
    return shop.price(sku=given.sku, quantity=1).eur  # type: ignore[call-arg]


@flow
def input_type(given: Order) -> float:
    return shop.price(sku=given.qty).eur  # type: ignore[arg-type]


@flow
def missing_input(given: Order) -> float:
    return shop.price(qty=given.qty).eur  # type: ignore[call-arg]


@flow
def enum(given: Order) -> float:
    return shop.price(sku=given.sku, currency="GBP").eur  # type: ignore[arg-type]


@flow
def output_path(given: Order) -> float:
    return shop.price(sku=given.sku).euro  # type: ignore[attr-defined, no-any-return]


@flow
def path_into_a_list(given: Order) -> str:
    return shop.price(sku=given.sku).lines.sku  # type: ignore[attr-defined, no-any-return]


@flow
def null_read_as_not_null(given: Order) -> str:
    return shop.review(text=shop.price(sku=given.sku).note).text  # type: ignore[arg-type]


@flow
def wrong_branch_type(given: Order) -> str:
    return shop.review(text=when(given.gift, given.sku, given.qty)).text  # type: ignore[arg-type]


@flow
def output_key(given: Order) -> Receipt:
    return Receipt(total=1, texts=given.sku)  # type: ignore[call-arg]


@flow
def output_type(given: Order) -> Receipt:
    return Receipt(total=given.sku, text="")  # type: ignore[arg-type]


def variable_name(client: SyncStepflowClient, given: Order) -> None:
    ideal.run(client, given, variables=ideal.variables(tonne="formal"))  # type: ignore[call-arg]
    ideal.run(client, given, variables={"tonne": "formal"})  # type: ignore[call-overload]
    ideal.case("tea", given, variables={"tonne": "formal"})  # type: ignore[arg-type]


@flow
def item_type_of_each(given: Order) -> MapOutput[float]:
    return each(given.others, lambda other: shop.price(sku=other.name).eur)  # type: ignore[attr-defined]


@flow
def result_of_each(given: Order) -> MapOutput[str]:
    return each(given.others, lambda other: shop.price(sku=other.sku).eur)  # type: ignore[arg-type, return-value]


@flow
def coalesced_type(given: Order) -> str:
    return coalesce(shop.price(sku=given.sku).note, given.qty)  # type: ignore[return-value]


def input_of_a_flow(client: SyncStepflowClient) -> None:
    ideal.run(client, {"sku": "tea"})  # type: ignore[call-overload]


@flow
def condition(given: Order) -> str:
    return when(given.sku, "a", "b")  # type: ignore[call-overload, no-any-return]

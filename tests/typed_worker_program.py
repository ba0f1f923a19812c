"""A worker with typed components (`price`, `post` and `stock`), for the tests of type checks.

It runs with the Python of the newest release's worker environment.
"""

import sys

import msgspec
from stepflow_py.worker import StepflowServer

server = StepflowServer(include_builtins=False)


class PriceInput(msgspec.Struct):
    """The input of `price`."""

    sku: str
    amount: int = 1


class Price(msgspec.Struct):
    """The output of `price`."""

    eur: float
    note: str | None = None


class Letter(msgspec.Struct):
    """The input and output of `post`."""

    text: str
    tags: list[str] = []


class Line(msgspec.Struct):
    """An item in stock."""

    sku: str
    count: int


class StockInput(msgspec.Struct):
    """The input of `stock`."""

    skus: list[str]


class Stock(msgspec.Struct):
    """The output of `stock`."""

    lines: list[Line]


@server.component
def price(input: PriceInput) -> Price:
    return Price(eur=2.5 * input.amount)


@server.component
def post(input: Letter) -> Letter:
    return input


@server.component
def stock(input: StockInput) -> Stock:
    return Stock([Line(sku, len(sku)) for sku in input.skus])


if __name__ == "__main__":
    from stepflow_py.worker import main as program

    sys.argv = sys.argv[:1]
    program.server = server
    program.main()

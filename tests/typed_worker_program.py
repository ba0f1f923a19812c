"""A worker with typed components (a price, a post and a stock), for the checks of types.

It is run with the Python of the newest release's worker environment, with `grpc` as its argument.
"""

import sys

import msgspec
from stepflow_py.worker import StepflowServer

server = StepflowServer(include_builtins=False)


class Asked(msgspec.Struct):
    """The input of `price`."""

    sku: str
    amount: int = 1


class Price(msgspec.Struct):
    """A price."""

    eur: float
    note: str | None = None


class Letter(msgspec.Struct):
    """The input and output of `post`."""

    text: str
    tags: list[str] = []


class Line(msgspec.Struct):
    """A number of one thing."""

    sku: str
    count: int


class Wanted(msgspec.Struct):
    """The input of `stock`."""

    skus: list[str]


class Stock(msgspec.Struct):
    """The output of `stock`."""

    lines: list[Line]


@server.component
def price(input: Asked) -> Price:
    """Return the price of a thing."""
    return Price(eur=2.5 * input.amount)


@server.component
def post(input: Letter) -> Letter:
    """Return the input."""
    return input


@server.component
def stock(input: Wanted) -> Stock:
    """Return the stock."""
    return Stock([Line(sku, len(sku)) for sku in input.skus])


if __name__ == "__main__":
    from stepflow_py.worker import main as program

    sys.argv = sys.argv[:1]
    program.server = server
    program.main()

"""A worker whose components have types: a price, a post and a stock, for the checks of types.

Run by the Python of the newest release's worker environment, with `grpc` as its argument.
"""

import sys

import msgspec
from stepflow_py.worker import StepflowServer

server = StepflowServer(include_builtins=False)


class Asked(msgspec.Struct):
    """What a price is asked for."""

    sku: str
    amount: int = 1


class Price(msgspec.Struct):
    """A price."""

    eur: float
    note: str | None = None


class Letter(msgspec.Struct):
    """What is sent."""

    text: str
    tags: list[str] = []


class Line(msgspec.Struct):
    """How many there are of one thing."""

    sku: str
    count: int


class Wanted(msgspec.Struct):
    """What is looked for."""

    skus: list[str]


class Stock(msgspec.Struct):
    """What there is."""

    lines: list[Line]


@server.component
def price(input: Asked) -> Price:
    """Return the price of a thing."""
    return Price(eur=2.5 * input.amount)


@server.component
def post(input: Letter) -> Letter:
    """Return what is sent."""
    return input


@server.component
def stock(input: Wanted) -> Stock:
    """Return how many there are."""
    return Stock([Line(sku, len(sku)) for sku in input.skus])


if __name__ == "__main__":
    from stepflow_py.worker import main as program

    sys.argv = sys.argv[:1]
    program.server = server
    program.main()

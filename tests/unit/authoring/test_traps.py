"""Python that would silently build a wrong flow raises at its line, and the message names the alternative."""

from __future__ import annotations

import asyncio
import inspect
import json
import linecache
import pickle
import sys
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypedDict

import pytest
from pydantic import BaseModel
from stepflow_client import AuthoringError, FlowFileError, InvalidArgumentError, StepflowClient, authoring
from stepflow_client.authoring import OnError, builtin, component, flow


@dataclass
class Line:
    name: str


@dataclass
class Price:
    eur: float
    note: str | None = None
    tags: list[str] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    pair: tuple[int, str] = (1, "")
    sizes: dict[str, int] = field(default_factory=dict)
    either: Line | str = ""


class Keys(TypedDict):
    sku: str


class Model(BaseModel):
    total: float


@component("/shop/price")
def price_of(
    *, sku: str, step: str | None = None, on_error: OnError[Price] | None = None, must_execute: bool = False,
    metadata: Any = None,
) -> Price:  # fmt: skip
    raise NotImplementedError


@flow
def another(given: Any, *, tone: str) -> Any:
    return tone


LEAKED: list[Any] = []


def leak(value: Any) -> Any:
    LEAKED.append(value)
    return value


_KIND = "keyword-only " if sys.version_info >= (3, 12) else ""

TRAPS = [
    # Truth, text and comparisons.
    ("if price.eur > 3: pass", "price.eur is a value of a flow and cannot be compared yet (flows cannot compare"),
    ("if price.eur: pass", "price.eur is a value of a flow and has no truth value yet: if, and, or, not and assert"),
    ("assert price", "use when(condition, then, otherwise) for a choice and coalesce(a, b)"),
    ("x = price.note or 'none'", "no truth value yet"),
    ("x = price.note and 'none'", "no truth value yet"),
    ("x = not price.note", "no truth value yet"),
    ("x = 1 if price.eur else 2", "no truth value yet"),
    ("while price.eur: pass", "no truth value yet"),
    ("x = price.eur == 3", "compared"),
    ("x = price.eur != 3", "compared"),
    ("x = 3 < price.eur", "compared"),
    ("x = price.eur in (1, 2)", "compared"),
    ("x = 1 in price.tags", "has no elements yet: for, in, unpacking"),
    ("x = f'{price.eur}'", "has no text yet: str(), print() and f-strings cannot use it (flows cannot concatenate"),
    ("x = '%s' % price.eur", "no text"),
    ("x = '{}'.format(price.eur)", "no text"),
    ("x = str(price.eur)", "no text"),
    ("x = 'a' + price.note", "cannot be used in a calculation (flows cannot compute; call a component that does)"),
    ("x = ', '.join([price.note])", None),
    ("x = price.eur + 1", "in a calculation"),
    ("x = 1 + price.eur", "in a calculation"),
    ("x = -price.eur", "in a calculation"),
    ("x = price.eur ** 2", "in a calculation"),
    ("x = divmod(price.eur, 2)", "in a calculation"),
    ("x = price.eur // 2 % 3", "in a calculation"),
    ("price.eur += 1", "in a calculation"),
    ("x = len(price.tags)", "has no length yet (call a component that counts)"),
    ("x = int(price.eur)", "is not a number yet"),
    ("x = float(price.eur)", "a number yet"),
    ("x = round(price.eur)", "a number yet"),
    ("x = [1, 2][price.eur]", "a number yet"),
    ("x = range(price.eur)", "a number yet"),
    ("x = 1 if price.note is None else 2", "price.note is a value of a flow and is never None while"),
    ("x = given.any['a'][0] is not None", "given.any['a'][0] is a value of a flow and is never None"),
    # Iteration and containers.
    ("for x in price.tags: pass", "use each(values, function) to run a sub-flow for each element"),
    ("x = [each for each in price.tags]", "no elements"),
    ("a, b = price.pair", "no elements"),
    ("x = [*price.tags]", "no elements"),
    ("x = list(price.tags)", "no elements"),
    ("x = sorted(price.tags)", "no elements"),
    ("x = max(price.tags)", "no elements"),
    ("x = dict(price.sizes)", None),
    ("x = {**price.sizes}", None),
    ("x = {price.eur: 1}", "cannot be a key of a dict or an element of a set"),
    ("x = {price.eur}", "key of a dict"),
    ("x = hash(price.eur)", "key of a dict"),
    ("x = {'a': 1}[price.note]", "key of a dict"),
    ("x = isinstance(price.note, str)", "has no class yet: isinstance(), match and json.dumps() cannot use it"),
    ("match price.either:\n        case str(): pass", "no class"),
    ("match price.eur:\n        case 3: pass", "compared"),
    ("x = json.dumps({'a': price.eur})", "no class"),
    ("with price: pass", "cannot be awaited or entered"),
    ("async def wait(): await price\n    asyncio.run(wait())", "cannot be awaited"),
    ("x = pickle.dumps(price)", "cannot be pickled"),
    # Fields.
    ("x = price.euro", "price: Price has no field 'euro' (did you mean 'eur'?)"),
    ("x = price.lines.name", "price.lines: list[tests.unit.authoring.test_traps.Line] has no fields"),
    ("x = price.lines[0].nam", "Line has no field 'nam' (did you mean 'name'?)"),
    ("x = price.note.upper()", "price.note: str has no field 'upper' (values of a flow have no methods"),
    ("x = price.sizes.get('a')", "a field of dict[str, int] is not an attribute (write ['get'])"),
    ("x = price['eur']", "price: Price has no keys"),
    ("x = price.eur['a']", "price.eur: float has no keys"),
    ("x = price.eur[0]", "price.eur: float cannot be indexed by position"),
    ("x = price.tags['a']", "price.tags: list[str] has no keys"),
    ("x = price.tags[-1]", "price.tags[-1] counts from the end (paths only count from the beginning)"),
    ("x = price.tags[0:1]", "a slice of price.tags cannot be read"),
    ("x = price.tags[True]", "is not a path"),
    ("x = price.tags[given.number]", "needs a key or a position that is known when the flow is built"),
    ("x = price.pair[2]", "has only 2 elements"),
    ("x = price.either.nam", "Line has no field 'nam'"),
    ("x = given.keys.sku", "a field of Keys is not an attribute (write ['sku'])"),
    ("x = given.keys['sk']", "Keys has no field 'sk'"),
    ("x = given.any['a]b']", "the name 'a]b' cannot be written in a path"),
    ("x = given.any()", "cannot be called: values of a flow have no methods"),
    ("x = item(price.tags, -1)", "counts from the end"),
    ("x = item([1], 0)", "item() reads a value of the flow, not list"),
    ("price.eur = 3", "cannot be changed (values of a flow are read only"),
    ("del price.eur", "cannot be changed"),
    ("price.tags[0] = 'a'", "cannot be changed"),
    # Steps.
    ("x = price_of()", f"price_of(): missing a required {_KIND}argument: 'sku'"),
    ("x = price_of(sku='a', quantity=1)", "got an unexpected keyword argument 'quantity' (its arguments are sku)"),
    ("x = price_of('a')", "too many positional arguments"),
    ("x = price_of(sku={1, 2})", "set cannot be represented in JSON"),
    ("x = price_of(sku=float('nan'))", "nan is not a number that JSON can represent"),
    ("x = price_of(sku={1: 2})", "1 cannot be a key: JSON keys are strings"),
    ("x = price_of(sku={'$step': 'price'})", "an object with the key '$step' is an expression of flow files ("),
    ("x = price_of(sku=f'{price!r}')", "was made from a value of the flow"),
    ("x = price_of(sku=[repr(price)])", "was made from a value of the flow"),
    ("x = price_of(sku='a', step='')", "a step ID must be a string, not ''"),
    ("x = [price_of(sku='a', step='b'), price_of(sku='a', step='b')]", "two steps have the ID 'b'"),
    ("x = price_of(sku='a', must_execute=given.flag)", "must_execute must be True or False"),
    ("x = price_of(sku='a', on_error='retry')", "on_error must come from a function like on_error.retry()"),
    ("x = price_of(sku='a', metadata={'a': price.eur})", "the metadata of a step is data that is never evaluated"),
    ("x = price_of(sku='a', on_error=on_error.use_default(Price(price.eur)))", "the default of a step is data"),
    ("x = on_error.retry(-1)", "the number of retries must be an integer >= 0, not -1"),
    # Expressions.
    ("x = when(price.eur, 1, 2)", "price.eur is not a bool but float, and servers treat 0, empty text"),
    ("x = when(3, 1, 2)", "the condition of when() must be a value of the flow, not 3"),
    ("x = exists(3)", "exists() expects a value of the flow, not 3"),
    ("x = coalesce(price.lines[0], price.lines[1]).name", "a part of coalesce(...) cannot be read"),
    ("x = literal({'a': price.eur})", "the literal is data that is never evaluated"),
    ("x = literal({1, 2})", "the literal"),
    ("x = if_unset(price.eur, 1)", "if_unset() expects a variable of the flow (use coalesce() for other values)"),
    ("x = construct(Model, totl=price.eur)", "Model has no field 'totl' (did you mean 'total'?)"),
    ("x = Model(total=price.eur)", "Model validates its fields, and rejects values of the flow"),
    # Sub-flows, and other flows.
    ("x = each(price.eur, lambda each: each)", "price.eur is not a list but float"),
    ("x = each({'a': 1}, lambda each: each)", "each() expects a list, not dict"),
    ("x = each(price.tags, 3)", "each() expects a function with one argument, not 3"),
    ("x = each(price.tags, lambda each: None)", "the function of each() returns nothing"),
    ("x = each(price.tags, lambda each: each.upper())", "str has no field 'upper'"),
    ("each(price.tags, leak); x = price_of(sku=LEAKED.pop())", "value is a value of the function of each()"),
    ("x = iterate(3, lambda n: n + 1)", "in a calculation"),
    ("x = each(price.tags, str)", "each() expects a function with a known signature, not <class 'str'> (use a lambda)"),
    ("x = each(price.tags, lambda: 1)", "each() expects a function with one argument"),
    ("x = each(price.tags, lambda a, b: 1)", "each() expects a function with one argument"),
    ("x = another(tone='a')", "the flow another needs its input (pass given)"),
    ("x = another(given)", "the flow another needs the variable 'tone' (pass tone=)"),
    ("x = another(given, tome='a')", "the flow another has no variable 'tome' (did you mean 'tone'?)"),
    ("x = written(given)", "the flow written calls itself (iterate() runs a function again and again)"),
]  # fmt: skip


@dataclass
class Given:
    sku: str
    number: int
    flag: bool
    keys: Keys
    any: Any


AUTHORING_NAMES = {name: getattr(authoring, name) for name in [*authoring.__all__, "on_error"]}
NAMESPACE = {**AUTHORING_NAMES, **globals(), "asyncio": asyncio, "json": json, "pickle": pickle}


def build_error(line: str) -> AuthoringError:
    """Build a flow function that contains `line` and return the error."""
    source = (
        f"@flow\ndef written(given: Given):\n    price = price_of(sku=given.sku)\n    {line}\n    return price.eur\n"
    )
    name = f"<trap {len(linecache.cache)}>"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    namespace = dict(NAMESPACE)
    exec(compile(source, name, "exec"), namespace)
    with pytest.raises(AuthoringError) as caught:
        namespace["written"].to_dict()
    assert caught.value.path == name
    return caught.value


@pytest.mark.parametrize(("line", "message"), [each for each in TRAPS if each[1] is not None])
def test_a_trap_raises_at_its_line(line: str, message: str) -> None:
    error = build_error(line)
    # `case` and `asyncio.run` are on the second line of their statements.
    assert error.line == 4 + ("\n" in line and "await" not in line)
    assert message in str(error)
    assert isinstance(error, (TypeError, FlowFileError))


@pytest.mark.parametrize("line", [each for each, message in TRAPS if message is None])
def test_python_itself_rejects_the_value(line: str) -> None:
    source = (
        f"@flow\ndef written(given: Given):\n    price = price_of(sku=given.sku)\n    {line}\n    return price.eur\n"
    )
    namespace = dict(NAMESPACE)
    exec(source, namespace)
    with pytest.raises((TypeError, AttributeError)):
        namespace["written"].to_dict()


def nested(levels: int) -> Any:
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


def chained(given: Any, levels: int) -> Any:
    for _ in range(levels):
        given = authoring.coalesce(given, 1)
    return given


@pytest.mark.parametrize(
    ("body", "levels"),
    [
        (lambda given, levels: builtin.noop(a=nested(levels)), 2_000),
        (lambda given, levels: builtin.noop(a=nested(levels)), 250),
        (lambda given, levels: builtin.noop(metadata={"a": nested(levels)}), 250),
        (lambda given, levels: authoring.literal(nested(levels)), 250),
        (lambda given, levels: authoring.coalesce(given, nested(levels)), 250),
        (lambda given, levels: builtin.noop(a=Line(nested(levels))), 250),
        (chained, 600),
    ],
)
def test_a_deeply_nested_value_is_rejected(body: Any, levels: int) -> None:
    @flow
    def deep(given: Any) -> Any:
        return body(given, levels)

    with pytest.raises(AuthoringError, match=r"test_traps\.py:\d+: .* nested too deeply"):
        deep.to_dict()


@pytest.mark.parametrize(
    ("value", "message"), [("\ud800", "half of a surrogate pair"), (10**400, "servers cannot read an integer of")]
)
def test_a_value_that_cannot_be_sent_is_rejected(value: Any, message: str) -> None:
    @flow
    def unsent(given: Any) -> Any:
        return {"a": [given, value]}

    with pytest.raises(AuthoringError, match=rf"test_traps\.py:\d+: the flow unsent .* {message}.*\.output\.a\[1\]"):
        unsent.to_dict()


def test_variable_is_only_valid_as_a_default() -> None:
    @flow
    def misplaced(given: str) -> Any:
        return price_of(sku=authoring.variable(default="tea"))

    with pytest.raises(AuthoringError, match="Variable cannot be represented in JSON"):
        misplaced.to_dict()


def test_a_signature_does_not_show_the_default_of_a_secret_variable() -> None:
    @flow
    def signed(given: str, *, key: str = authoring.variable(default="sesame", secret=True)) -> Any:
        return price_of(sku=key)

    assert "sesame" not in str(inspect.signature(signed))


@pytest.mark.parametrize("value", [None, 1, partial(nested, 1)])
def test_decorators_require_a_function(value: Any) -> None:
    for decorator, name in ((flow(name="a"), "@flow"), (component("/a/b"), "@component")):
        with pytest.raises(InvalidArgumentError, match=f"what {name} decorates must be a function, not "):
            decorator(value)


@pytest.mark.parametrize(
    "options",
    [{"name": ""}, {"version": 2}, {"metadata": [1]}, {"metadata": {1: 2}}, {"test_config": 3}],
    ids=str,
)
def test_invalid_flow_options_are_rejected(options: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=f"{next(iter(options))} must be a "):
        flow(**options)


@pytest.mark.parametrize("client", [None, 5, "http://localhost:7837", StepflowClient], ids=str)
def test_run_methods_require_a_client(client: Any) -> None:
    @flow
    def same(given: int) -> int:
        return given

    for call in (same.run, same.submit, same.start_run, same.map, same.result):
        with pytest.raises(InvalidArgumentError, match="client must be a client or a runtime"):
            call(client, [])

    @flow
    def within(given: int) -> int:
        same.run(client, given)
        return given

    with pytest.raises(InvalidArgumentError, match="client must be a client or a runtime"):
        within.to_dict()

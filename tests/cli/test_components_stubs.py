"""`stepflow components stubs` generates functions that type checkers check and that create steps."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from stepflow_cli.codegen.component_stubs import generate_stubs
from stepflow_client.authoring import flow, literal, on_error

from tests.cli.codegen_components import COMPONENTS, large_components
from tests.cli.command import Stepflow
from tests.cli.golden import Golden
from tests.type_checkers import run_mypy

BUILTIN = Path(__file__).parents[2] / "packages/stepflow-client/src/stepflow_client/authoring/builtin.py"

_CALLS = """
from dataclasses import dataclass
from typing import Any, Literal, assert_type

import shop
from stepflow_client.authoring import builtin, each, flow, item, on_error


@dataclass
class Address:
    city: str
    zip: str | None = None


@dataclass
class Order:
    sku: str
    qty: int
    to: Address
    note: str | None
    others: list[str]


@flow
def right(given: Order) -> Any:
    price = shop.price(sku=given.sku, qty=given.qty, to=given.to, step="p", metadata={"a": 1})
    assert_type(price, shop.PriceOutput)
    assert_type(price.eur, float)
    assert_type(price.note, str | None)
    assert_type(item(price.tags, 0), str)
    assert_type(price.lines[0].vat_rate, float)
    assert_type(price.currency, Literal["EUR", "USD"])
    again = shop.price(sku=price.tags[0], to={"city": given.to.city}, must_execute=True, on_error=on_error.retry(3))
    other = shop.price(sku="a", on_error=on_error.use_default(shop.PriceOutput(eur=0.0, tags=[], lines=[])))
    first = shop.complete(messages=[{"role": "user", "content": given.sku}], options={"top-p": 1}, pair=["a", 1])
    next = shop.complete(messages=first.messages, tools={"a": {"f": given.sku}})
    odd = shop.list_(class_="a", x_y=1, step_="b", metadata_="c", from_="d", list="e")
    assert_type(odd.list_, str | None)
    assert_type(shop.python_echo(a=1, b=price), Any)
    assert_type(shop.other_echo(), str)
    tree = shop.walk(value=1, children=[{"value": 2, "children": []}])
    shop.walk(value=2, children=[tree.root])
    shop.list_of([{"role": "user", "content": "a"}])
    shop.one(a=None, b="it's", c=7)
    shop.one(a=next.messages[0])
    shop.component_1_2(a=1)["x"]
    made = builtin.create_messages(user_prompt=given.sku, system_instructions=given.note)
    blob = builtin.put_blob(data=made.messages[0].content, blob_type="data")
    prices = each(given.others, lambda sku: shop.price(sku=sku).eur)
    assert_type(prices.results[0].result, float)
    return [again.eur, other.eur, blob.blob_id]


@flow
def wrong(given: Order) -> Any:
    price = shop.price(sku=given.sku)
    shop.prise(sku=given.sku)  # type: ignore
    shop.price(skew=given.sku)  # type: ignore
    shop.price(sku=given.qty)  # type: ignore
    shop.price(qty=given.qty)  # type: ignore
    shop.price(sku=given.note)  # type: ignore
    shop.price(sku="a", to={"town": "b"})  # type: ignore
    shop.price(sku="a", to=price)  # type: ignore
    shop.price(sku="a", on_error=on_error.use_default("b"))  # type: ignore
    shop.complete(messages=[{"role": "you", "content": "a"}])  # type: ignore
    shop.complete(messages=price.tags)  # type: ignore
    price.euro  # type: ignore
    price.lines.vat_rate  # type: ignore
    price.tags[0].text  # type: ignore
    shop.one(a=None, c=8)  # type: ignore
    builtin.put_blob(data=1, blob_type="text")  # type: ignore
"""
_STRICT = '{"typeCheckingMode": "strict", "pythonVersion": "3.11", "reportUnnecessaryTypeIgnoreComment": true, ' \
          '"reportUnusedExpression": false}'  # fmt: skip


@pytest.fixture(scope="module")
def source() -> str:
    """The source of the module for all components."""
    return generate_stubs(COMPONENTS, ("*",))


@pytest.fixture(scope="module")
def shop(source: str) -> Iterator[ModuleType]:
    """The imported module."""
    module = ModuleType("shop")
    sys.modules["shop"] = module
    exec(compile(source, "shop.py", "exec"), module.__dict__)
    yield module
    del sys.modules["shop"]


@pytest.mark.exhaustive
def test_type_checkers_find_all_mistakes_and_nothing_else(source: str, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(source)
    (tmp_path / "calls.py").write_text(_CALLS)
    (tmp_path / "pyrightconfig.json").write_text(_STRICT)
    mypy = run_mypy(tmp_path / "cache", tmp_path / "shop.py", tmp_path / "calls.py")
    assert mypy.returncode == 0, mypy.stdout + mypy.stderr
    for command in (["pyright", "--pythonpath", sys.executable], ["ruff", "check", "--isolated", "shop.py"],
                    ["ruff", "format", "--isolated", "--check", "--line-length", "120", "shop.py"]):  # fmt: skip
        done = subprocess.run([sys.executable, "-m", *command], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_generated_module(stepflow: Stepflow, golden: Golden) -> None:
    (stepflow.folder / "stepflow.toml").write_text('components = "lock.json"\n')
    (stepflow.folder / "lock.json").write_text(json.dumps(COMPONENTS))
    golden(stepflow("components", "stubs", "--only", "/shop/*", "--only", "/chat/*"))


def test_functions_create_steps(source: str, shop: ModuleType) -> None:
    assert not any(isinstance(node, ast.Import) for node in ast.walk(ast.parse(source)))
    functions = [node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    assert {"price", "list_", "other_echo", "python_echo", "component_1_2", "import_", "any_"} <= {*functions}
    assert len({*functions}) == len(functions) == len(COMPONENTS)

    @flow
    def example() -> Any:
        price = shop.price(sku="tea", to={"city": "Rome"})
        odd = shop.list_(class_=price.tags[0], x_y=1, step_="b", field_1st="c", uni="d", dunder=price.lines[0].vat_rate)
        echo = shop.python_echo(a=odd.class_, b=None, on_error=on_error.retry(2))
        shop.list_of([{"role": "user", "content": echo.x}], step="last", must_execute=True)
        shop.one(a=literal(None), step="none")
        return [odd.x_y, price.currency]

    flow_dict = example.to_dict()
    assert [step["component"] for step in flow_dict["steps"]] == [
        *("/shop/price", "/shop/list", "/python/echo", "/a/list of", "/union/one"),
    ]
    tag, rate = {"$step": "price", "path": "$.tags[0]"}, {"$step": "price", "path": "$.lines[0].vat-rate"}
    assert flow_dict["steps"][1]["input"] == {
        "class": tag,
        "x-y": 1,
        "step": "b",
        "1st": "c",
        "ünï": "d",
        "__dunder": rate,
    }
    assert flow_dict["steps"][2]["input"] == {"a": {"$step": "odd", "path": "$.class"}, "b": None}
    assert flow_dict["steps"][3]["input"] == [{"role": "user", "content": {"$step": "echo", "path": "$.x"}}]
    assert flow_dict["output"] == [{"$step": "odd", "path": "$.x-y"}, {"$step": "price", "path": "$.currency"}]


def test_output_does_not_depend_on_the_order(source: str) -> None:
    def reverse_keys(value: Any) -> Any:
        """Reverse the keys of all mappings, since servers send them in any order."""
        if isinstance(value, dict):
            return {key: reverse_keys(value[key]) for key in reversed(value)}
        return [reverse_keys(each) for each in value] if isinstance(value, list) else value

    assert generate_stubs([reverse_keys(each) for each in reversed(COMPONENTS)], ("*",)) == source


@pytest.mark.exhaustive
def test_two_hundred_large_components() -> None:
    components = large_components(200)
    started = time.process_time()
    source = generate_stubs(components, ())
    # It takes 1 s on an idle machine.
    assert time.process_time() - started < 20
    assert source.count("\n@component(") == 200
    assert source.count("\nclass ") > 1000


def test_sources_of_components(stepflow: Stepflow, server: str) -> None:
    (stepflow.folder / "lock.json").write_text(json.dumps(COMPONENTS))
    module = stepflow("components", "stubs", "--from", "lock.json", "-O", "shop.py")
    assert (module.code, module.stdout) == (0, "")
    assert "stepflow: /bad/type: unknown type 5; any value is accepted there\n" in module.stderr
    again = stepflow("components", "stubs", "--from", "lock.json", "-O", "shop.py", "--check")
    assert again.stderr.endswith("stepflow: shop.py is up to date\n")
    (stepflow.folder / "lock.json").write_text(json.dumps(COMPONENTS[:5]))
    outdated = stepflow("components", "stubs", "--from", "lock.json", "-O", "shop.py", "--check")
    hint = "hint: to update it, leave out --check\n"
    assert (outdated.code, outdated.stderr) == (1, f"stepflow: shop.py is out of date\n{hint}")
    # The client's builtin stubs match a server of the newest release.
    checked = stepflow("components", "stubs", "--url", server, "--only", "/builtin/*", "-O", str(BUILTIN), "--check")
    assert checked.code == 0, checked
    # Servers do not report routes.
    unrouted = [{**each, "path": None} for each in COMPONENTS]
    (stepflow.folder / "lock.json").write_text(json.dumps(unrouted))
    guessed = stepflow("components", "stubs", "--from", "lock.json", "--only", "/p/price")
    assert '@component("/p/price")' in guessed.stdout
    assert "servers do not report routes" in guessed.stderr


def test_invalid_arguments(stepflow: Stepflow, golden: Golden) -> None:
    (stepflow.folder / "lock.json").write_text(json.dumps(COMPONENTS))
    (stepflow.folder / "none.json").write_text("[]")
    calls: list[list[str]] = [
        ["hello.yaml"],
        ["--from", "none.json"],
        ["--from", "lock.json", "--url", "http://localhost:9"],
        ["--from", "lock.json", "--only", "/shop/prise"],
        ["--from", "hello.yaml"],
        ["--check"],
        ["--url", "http://localhost:9"],
    ]
    golden(*(stepflow("components", "stubs", *each) for each in calls))

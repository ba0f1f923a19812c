"""`stepflow infer` infers types, and `stepflow validate --type-check` checks them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from stepflow_client.flows.reading import load_flow

from tests.cli.command import Stepflow
from tests.cli.golden import Golden
from tests.cli.terminal import Terminal
from tests.cli.test_validate import _SHOP

pytestmark = pytest.mark.in_process

_FAULTS = Path(__file__).parents[1] / "flows" / "type_faults"
_BUYS = """\
name: buys  # kept
description: 'it''s'
steps:
- {id: price, component: /shop/price, input: {sku: {$input: $.sku}}}
- {id: again, component: /shop/price, input: {sku: {$step: price, path: $.eur}}}
output: {first: {$step: price}, second: {$step: again, path: $.eur}}
"""


@pytest.fixture
def shop(stepflow: Stepflow) -> Stepflow:
    """The command, with the configuration of a shop and a flow that buys there."""
    (stepflow.folder / "shop.yml").write_text(_SHOP)
    (stepflow.folder / "buys.yaml").write_text(_BUYS)
    (stepflow.folder / "fine.yaml").write_text(_BUYS.replace("{$step: price, path: $.eur}", "tea"))
    return stepflow


@pytest.fixture
def faulty(stepflow: Stepflow) -> Stepflow:
    """The command, with flows that have type errors."""
    shutil.copytree(_FAULTS, stepflow.folder / "faults")
    return stepflow


def test_types(stepflow: Stepflow, golden: Golden) -> None:
    forms = ("json", "jsonl", "yaml", "name")
    golden(
        stepflow("infer", "hello.yaml", "--offline"),
        stepflow("infer", "--flow", "hello.yaml", "--offline", "--show-step-inputs"),
        *(stepflow("infer", "hello.yaml", "--offline", "-o", form) for form in forms),
        stepflow("infer", "hello.yaml", "--offline", "-o", "json", "--fields", "name,type"),
        stepflow("infer", "-", "--offline", "-q", stdin=(stepflow.folder / "echo.yaml").read_text()),
    )


def test_type_errors(faulty: Stepflow, golden: Golden) -> None:
    saved = ("--components", "faults/components.json")
    golden(
        faulty("infer", "faults/outputs.yaml", *saved),
        faulty("infer", "faults/outputs.yaml", *saved, "--strict", "-o", "json", "--fields", "name,type"),
        faulty("infer", "faults/uses.yaml", *saved),
        faulty("infer", "faults/uses.yaml", "--offline"),
        faulty("infer", "faults/uses.yaml", "--offline", "--strict"),
    )


def test_type_check(faulty: Stepflow, golden: Golden) -> None:
    check = ("validate", "--offline", "--components", "faults/components.json")
    golden(
        faulty(*check, "faults", "--type-check"),
        faulty(*check, "faults/uses.yaml", "--type-check", "--strict"),
        faulty(*check, "faults", "--type-check", "--select", "possible-mismatch", "-o", "github"),
        faulty(*check, "faults", "--type-check", "--ignore", "type-mismatch,possible-mismatch,untyped-output"),
        faulty(*check, "faults"),
    )


def test_type_check_is_a_setting(faulty: Stepflow) -> None:
    settings = faulty.folder / "stepflow.toml"
    check = ("validate", "--offline", "--components", "faults/components.json", "faults/inputs.yaml")
    settings.write_text("[validate]\ntype-check = true\n")
    assert "[type-mismatch]" in faulty(*check).stdout
    settings.write_text("[validate]\ntype-check = 1\n")
    done = faulty(*check)
    assert (done.code, done.stderr) == (2, "stepflow: stepflow.toml: type-check must be true or false, not 1\n")


def test_components_of_a_server(shop: Stepflow) -> None:
    done = shop("infer", "buys.yaml", "--config", "shop.yml")
    assert done.code == 3
    assert "/shop/price expects a string for sku, but step 'price' at $.eur returns a number" in done.stderr
    checked = shop("validate", "buys.yaml", "--config", "shop.yml", "--type-check")
    assert checked.code == 3
    assert "buys.yaml:5:52: error: /shop/price expects a string for sku" in checked.stdout
    assert shop("validate", "buys.yaml", "--config", "shop.yml").code == 0
    fine = shop("infer", "fine.yaml", "--config", "shop.yml", "-o", "json")
    assert fine.code == 0
    number = {"type": "number"}
    price = {"type": "object", "properties": {"eur": number}, "additionalProperties": False}
    assert json.loads(fine.stdout)["output"]["properties"] == {"first": price, "second": number}


def test_flow_with_inferred_schemas(shop: Stepflow) -> None:
    named = shop("infer", "fine.yaml", "--config", "shop.yml", "--output", "typed.yaml")
    assert (named.code, named.stdout.count("\n")) == (0, 5)
    beside = shop("infer", "fine.yaml", "--config", "shop.yml", "--output")
    assert beside.code == 0
    typed = (shop.folder / "typed.yaml").read_text()
    assert (shop.folder / "fine.inferred.yaml").read_text() == typed
    printed = shop("infer", "fine.yaml", "--config", "shop.yml", "--output", "-")
    assert printed.stdout == typed
    before, after = typed[: typed.index("schemas:")], typed[typed.index("steps:\n- ") :]
    assert before + after == (shop.folder / "fine.yaml").read_text()
    assert load_flow(shop.folder / "typed.yaml")["schemas"]["properties"].keys() == {"input", "output", "steps"}
    assert shop("validate", "typed.yaml", "--config", "shop.yml", "--type-check").code == 0
    again = shop("infer", "typed.yaml", "--config", "shop.yml", "--output", "typed.yaml")
    assert again.code == 0
    assert (shop.folder / "typed.yaml").read_text() == typed


def test_invalid_arguments(stepflow: Stepflow, golden: Golden) -> None:
    (stepflow.folder / "list.yaml").write_text("[1]")
    (stepflow.folder / "broken.yaml").write_text("a: [")
    (stepflow.folder / "alias.yaml").write_text("output: 1\nmetadata: &m {}\nschemas: *m\n")
    golden(
        stepflow("infer"),
        stepflow("infer", "helo.yaml"),
        stepflow("infer", "list.yaml", "--offline"),
        stepflow("infer", "broken.yaml", "--offline"),
        stepflow("infer", "alias.yaml", "--offline", "--output", "-"),
        stepflow("infer", "-", "--offline", "--output", stdin="output: 1\n"),
        stepflow("infer", "hello.yaml", "--offline", "--output", "no/such/folder.yaml"),
        stepflow("infer", "hello.yaml", "--components", "hello.yaml"),
        stepflow("infer", "hello.yaml", "--url", "http://127.0.0.1:9"),
        stepflow("infer", "hello.yaml", "--url", "http://127.0.0.1:9", "-o", "json"),
    )


def test_on_a_terminal(terminal: Callable[..., Terminal], golden: Golden) -> None:
    golden(
        terminal("infer", "hello.yaml", "--offline"),
        terminal("infer", "hello.yaml", "--offline", "--show-step-inputs"),
    )

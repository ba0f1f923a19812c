"""Sub-flows that read values of the outer flow can be mocked, checked, typed and drawn."""

from __future__ import annotations

from typing import Any

from stepflow_client._checks.inferred_flow import infer
from stepflow_client.authoring import builtin, component, each, flow
from stepflow_client.drawing import to_mermaid
from stepflow_client.flows import check
from stepflow_client.testing import fake_server, run_mocked

from tests.unit.authoring.constructs import FLOWS


@component("/shop/price")
def price_of(*, sku: str, of: Any = None) -> Any:
    raise NotImplementedError


@flow
def captured(given: Any) -> Any:
    """Price all."""
    first = price_of(sku="first")
    return each(given.skus, lambda sku: price_of(sku=sku, of=first.eur).eur).results


def test_mocked_sub_flow_steps_receive_values_of_the_outer_flow() -> None:
    result = run_mocked(
        fake_server({"/shop/price": None}).sync_client(),
        captured,
        {"skus": ["a", "b"]},
        mocks={"first": {"eur": 3}, "price": lambda step_input: {"eur": [step_input["sku"], step_input["of"]]}},
    )
    assert result.output == [{"outcome": "success", "result": ["a", 3]}, {"outcome": "success", "result": ["b", 3]}]


def test_a_diagnostic_in_a_sub_flow_has_its_path_and_line() -> None:
    @flow
    def unused(given: Any) -> Any:
        """Has an unused step."""
        first = price_of(sku="first")

        def body(sku: Any) -> Any:
            price_of(sku=first)
            return sku

        return each(given.skus, body)

    (diagnostic,) = check(unused).diagnostics
    assert (diagnostic.rule, diagnostic.path) == ("unused-step", "$.steps[1].input.workflow.steps.$literal[0].id")
    assert diagnostic.line == unused.sources["price"].line


def test_sub_flow_output_type_is_inferred() -> None:
    @flow
    def typed(given: Any) -> Any:
        blob = builtin.put_blob(data=given, blob_type="data")
        return each(["a"], lambda text: {"text": text, "id": blob.blob_id})

    assert (
        infer(typed)
        .summary["output"]
        .startswith('{results: [{outcome: "success", result: {text: string, id: unknown}}')
    )


def test_sub_flow_steps_are_drawn() -> None:
    assert '-.->|"runs"|' in to_mermaid(FLOWS["for_each_of_each"])

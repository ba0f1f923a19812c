"""Sub-flows that read the flow around them: checked, mocked, drawn, and known to the language server's places."""

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


def test_steps_of_a_sub_flow_are_mocked_with_what_they_read_of_the_outer_flow() -> None:
    done = run_mocked(
        fake_server({"/shop/price": None}).sync_client(),
        captured,
        {"skus": ["a", "b"]},
        mocks={"first": {"eur": 3}, "price": lambda given: {"eur": [given["sku"], given["of"]]}},
    )
    assert done.output == [{"outcome": "success", "result": ["a", 3]}, {"outcome": "success", "result": ["b", 3]}]


def test_a_finding_in_a_sub_flow_has_its_path_and_its_line() -> None:
    @flow
    def unused(given: Any) -> Any:
        """Has an unused step."""
        first = price_of(sku="first")

        def body(sku: Any) -> Any:
            price_of(sku=first)
            return sku

        return each(given.skus, body)

    (found,) = check(unused).diagnostics
    assert (found.rule, found.path) == ("unused-step", "$.steps[1].input.workflow.steps.$literal[0].id")
    assert found.line == unused.sources["price"].line


def test_its_output_has_a_type() -> None:
    @flow
    def typed(given: Any) -> Any:
        blob = builtin.put_blob(data=given, blob_type="data")
        return each(["a"], lambda text: {"text": text, "id": blob.blob_id})

    assert (
        infer(typed)
        .summary["output"]
        .startswith('{results: [{outcome: "success", result: {text: string, id: unknown}}')
    )


def test_its_steps_are_drawn() -> None:
    assert '-.->|"runs"|' in to_mermaid(FLOWS["for_each_of_each"])

"""Any JSON value survives the round trip through a server unchanged, as an input, a literal or a variable.

Servers of all releases parse decimals quickly rather than exactly: a float of up to 15 digits is exact, but the last
digits of a float of 16 or 17 digits may change a little each time a server reads it.
"""

from __future__ import annotations

import math
import string
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from stepflow_client import FlowResult, InvalidArgumentError, StepflowRuntime, SyncStepflowClient

from tests.differences import has
from tests.server.flows import ECHO, one_step

EXACT = 2**53
PASSTHROUGH = {"steps": [], "output": {"$input": "$"}}

# JSON cannot represent lone surrogates.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-EXACT, EXACT)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.builds(lambda digits, places: digits / 10**places, st.integers(-(10**15), 10**15), st.integers(0, 15))
    | st.sampled_from([0, 0.0, -0.0, 1, 1.0, True, EXACT, -EXACT, 5e-324, 1e-300, 1e300, 0.1, "", "1", "null"])
    | texts
)
keys = texts | st.sampled_from(["$", "$step", "$input", "$literal", "$from", "a.b", "0", "value", *string.punctuation])
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=12,
)
bundles = st.lists(values, min_size=1, max_size=30)
many = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def client(worker_runtime: StepflowRuntime) -> Iterator[SyncStepflowClient]:
    with SyncStepflowClient(worker_runtime.url) as opened:
        yield opened


def same(sent: Any, received: Any) -> bool:
    """Return whether two JSON values are equal and of the same type; a whole float may come back as an integer."""
    if isinstance(sent, dict):
        return (
            isinstance(received, dict)
            and sent.keys() == received.keys()
            and all(same(value, received[key]) for key, value in sent.items())
        )
    if isinstance(sent, list):
        return isinstance(received, list) and len(sent) == len(received) and all(map(same, sent, received))
    if isinstance(sent, float):
        tolerance = 0.0 if is_exact(sent) else 8 * math.ulp(sent)
        return type(received) in (float, int) and abs(sent - received) <= tolerance
    if type(sent) is int and abs(sent) == EXACT:
        # At the limit of exact integers, a float may stand for a neighbouring integer, so it stays a float.
        return type(received) in (float, int) and sent == received
    return type(sent) is type(received) and sent == received


def is_exact(number: float) -> bool:
    """Return whether a float has few enough digits for servers to read it exactly."""
    _, digits, exponent = Decimal(repr(number)).as_tuple()
    assert isinstance(exponent, int)
    return len(digits) <= 15 and abs(exponent) <= 22


def differing(sent: list[Any], received: list[Any]) -> list[tuple[Any, Any]]:
    return [pair for pair in zip(sent, received, strict=True) if not same(*pair)]


@pytest.mark.parametrize("flow", [PASSTHROUGH, one_step(ECHO)], ids=["expression", "component"])
@many
@given(bundle=bundles)
def test_inputs_round_trip(client: SyncStepflowClient, flow: Any, bundle: list[Any]) -> None:
    # Send all values in one item, so that the component is called once.
    assert differing(bundle, client.run(flow, [bundle]).raise_for_failure().output) == []


@many
@given(bundle=bundles)
def test_batch_items_round_trip(client: SyncStepflowClient, bundle: list[Any]) -> None:
    results = client.get_results(client.submit(PASSTHROUGH, bundle))
    assert differing(bundle, [result.output for result in results]) == []


@many
@given(bundle=bundles)
def test_literals_round_trip(client: SyncStepflowClient, bundle: list[Any]) -> None:
    flow = {"steps": [], "output": {"$literal": bundle}}
    assert differing(bundle, client.run(flow).raise_for_failure().output) == []


@many
@given(bundle=bundles)
def test_variables_round_trip(client: SyncStepflowClient, bundle: list[Any]) -> None:
    flow = {"steps": [], "output": {"$variable": "them"}}
    result = client.run(flow, variables={"them": bundle})
    assert differing(bundle, result.raise_for_failure().output) == []


@pytest.mark.parametrize("number", [EXACT + 1, -EXACT - 1, 2**63 - 1])
def test_integers_beyond_a_float(client: SyncStepflowClient, release: str, number: int) -> None:
    calls: list[Callable[[], FlowResult]] = [
        lambda: client.run(PASSTHROUGH, {"deep": [number]}),
        lambda: client.get_result(client.submit({"steps": [], "output": {"$variable": "v"}}, variables={"v": number})),
    ]
    if has(release, "exact_integers_refused"):
        for call in calls:
            with pytest.raises(InvalidArgumentError, match=r"2\*\*53"):
                call()
    else:
        assert [call().output for call in calls] == [{"deep": [number]}, number]


def test_integers_of_a_flow_stay_integers(client: SyncStepflowClient, worker_runtime: Any, release: str) -> None:
    component, step_input = (
        ("/builtin/sleep", {"duration_ms": 10}) if has(release, "sleep_component") else (ECHO, {"n": 10})
    )
    flow = one_step(component, step_input, metadata={"a": 1, "b": 2})
    flow["steps"][0]["onError"] = {"action": "retry", "maxRetries": 2}
    assert client.validate(flow).is_valid
    stored = client.store_flow(flow)
    assert client.run(flow).raise_for_failure().output is not None
    with SyncStepflowClient(worker_runtime.url) as other:
        assert other.store_flow(flow).flow_id == stored.flow_id

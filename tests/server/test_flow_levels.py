"""The offline checks agree with servers of two releases on random flows.

A flow that runs on both has no fatal finding and no error, and a flow that both reject has a finding.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from stepflow_client import FlowFileError, LogConfig, StepflowClientError, StepflowRuntime, SyncStepflowClient
from stepflow_client.flows.reading import parse_yaml

from tests import releases
from tests.flows.findings import find_in_text
from tests.flows.generated import INPUT, VARIABLES, Generated, declared, generated

_RELEASES = ("0.13.0", "0.10.0")
_MIN_SHARE = 0.9
"""Minimum share of flows rejected by both releases that the offline checks must find."""

_EXCEPTIONS = {
    "unknown-key": "a misspelt key is dropped: the flow runs, but not as it is written",
    "ambiguous-path": "a field may be called like a path, or the path is in a condition, which then is false",
    "unset-variable": "a step of a sub-flow that nothing needs reads the variable",
    "constant-condition": "an object in place of a condition counts as true",
    "template": "text that looks like an expression is passed on as text",
    "unknown-keyword": "a misspelt keyword makes an expression plain data",
    "ignored-key": "a misspelt key beside a keyword is dropped",
    "two-keywords": "the second keyword is dropped",
    "no-flow": "servers run an empty flow",
    "not-a-schema": "servers do not read schemas; this client, editors and generated code do",
    "dangling-ref": "as for not-a-schema",
    "component-input": "a misspelt field that is not required is ignored, and a list is taken for an empty flow",
    "misplaced-schema": "the schema is dropped",
    "undeclared-variable": "servers pass undeclared variables on; this client refuses them",
    "unknown-input": "servers do not read schemas, so that an input may have fields that its schema forbids",
    "variable-path": "as for unknown-input",
    "unknown-output-path": "a branch that is not taken for this input reads a path that never exists",
}
"""Rules that report errors in flows that run, with the reason for each."""


@pytest.fixture(scope="module")
def clients() -> Iterator[list[SyncStepflowClient]]:
    """Clients of servers that do not retry failing builtin components for 4 s."""
    with ExitStack() as started:
        opened = []
        for release in _RELEASES:
            config = {
                **releases.builtin_config(release),
                "retry": {"transportMaxRetries": 0},
                "recovery": {"checkIntervalSecs": 1},
            }
            with pytest.MonkeyPatch.context() as environment:
                environment.setenv("STEPFLOW_SERVER_BINARY", str(releases.binary(release)))
                runtime = StepflowRuntime.start(config=config, log_config=LogConfig(level="error"))
            opened.append(started.enter_context(runtime).sync_client)
        yield opened


def _outcome(client: SyncStepflowClient, flow: Any, variables: dict[str, Any] | None = VARIABLES) -> str:
    """Return `refused`, `fails` or `runs`; a run fails too if it does not end, or an item of a map fails."""
    try:
        if any(each.level == "fatal" for each in client.validate(flow).diagnostics):
            return "refused"
        run = client.submit(flow, INPUT, variables=variables)
    except StepflowClientError:
        return "refused"
    try:
        result = client.get_result(run, timeout=5)
    except StepflowClientError:
        return "fails"
    return "runs" if result.is_success and '"outcome": "failed"' not in json.dumps(result.output) else "fails"


def _outcomes(clients: list[SyncStepflowClient], sample: Generated) -> set[str]:
    """Return the servers' outcomes for a flow; an empty set if its text cannot be parsed."""
    try:
        flow = parse_yaml(sample.text, "flow.yaml")
    except FlowFileError:
        return set()
    return {_outcome(client, flow) for client in clients} if isinstance(flow, dict) else {"refused"}


class _Tally:
    """Compares the findings of the offline checks with the servers' outcomes."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.false: list[tuple[set[str], Generated]] = []
        """Flows that run on both servers but have errors from rules that are no exceptions, with these rules."""
        self.missed: list[Generated] = []
        """Flows that both servers reject, without a finding."""
        self.exceptions: Counter[str] = Counter()

    def add(self, sample: Generated, both: set[str]) -> None:
        """Add a flow with its outcomes."""
        findings = find_in_text(sample.text, "flow.yaml")
        # The client does not send test cases and examples to servers.
        errors = {
            each.rule
            for each in findings
            if each.level in ("fatal", "error") and not each.path.startswith(("$.test", "$.examples"))
        }
        if not both:
            assert findings, sample.text
            return
        outcome = both.pop() if len(both) == 1 else "differs"
        self.outcomes[f"{sample.kind} {outcome}"] += 1
        if outcome == "runs":
            unexpected = errors - _EXCEPTIONS.keys()
            self.exceptions.update(errors)
            if unexpected or (sample.kind == "valid" and errors):
                self.false.append((errors, sample))
        elif outcome == "refused" and not findings:
            self.missed.append(sample)

    @property
    def refused(self) -> int:
        return sum(number for name, number in self.outcomes.items() if name.endswith(" refused"))


@pytest.mark.parametrize(
    ("number", "seed"), [(30, 30), pytest.param(450, 1500, marks=[pytest.mark.exhaustive, pytest.mark.timeout(900)])]
)
def test_running_flows_have_no_errors_and_rejected_flows_have_findings(
    clients: list[SyncStepflowClient], number: int, seed: int
) -> None:
    tally = _Tally()
    flows = list(generated(number, seed))
    # Some flows only end at their timeout.
    with ThreadPoolExecutor(4) as pool:
        for sample, both in zip(flows, pool.map(partial(_outcomes, clients), flows), strict=True):
            tally.add(sample, both)
    print(dict(tally.outcomes), dict(tally.exceptions), f"{len(tally.missed)} of {tally.refused} missed")
    assert [(rules, sample.text) for rules, sample in tally.false] == []
    assert len(tally.missed) <= (1 - _MIN_SHARE) * tally.refused, "\n\n".join(each.text for each in tally.missed)
    assert tally.outcomes["valid runs"] == -(-number // 3), tally.outcomes


@pytest.mark.parametrize(
    ("number", "seed"), [(20, 20), pytest.param(120, 300, marks=[pytest.mark.exhaustive, pytest.mark.timeout(900)])]
)
def test_declared_schemas_predict_whether_a_flow_runs(
    clients: list[SyncStepflowClient], number: int, seed: int
) -> None:
    newest, outcomes, wrong = clients[0], Counter[str](), list[str]()
    for sample in declared(number, seed):
        runs = _outcome(newest, parse_yaml(sample.text, "flow.yaml"), variables=None) == "runs"
        findings = find_in_text(sample.text, "flow.yaml", target="0.13")
        has_error = any(each.level in ("fatal", "error") for each in findings)
        outcomes[
            f"{'runs' if runs else 'fails'}, {'error' if has_error else 'warning' if findings else 'nothing'}"
        ] += 1
        if has_error if runs else not findings:
            wrong.append(sample.text)
    print(dict(outcomes))
    assert wrong == []

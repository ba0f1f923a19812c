"""Any sequence of runs, failures, cancellations and reruns returns the same outputs as fresh executions.

A small model of the flow computes the outputs of a fresh execution. A client with a history starts reruns, and so does
a client on another machine, whose history has none of the runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings, strategies as st
from stepflow_client import (
    InvalidArgumentError,
    Keep,
    LogConfig,
    StepflowRuntime,
    SyncStepflowClient,
    UnsupportedByServerError,
)
from stepflow_client.history import History

from tests import releases

SAYS = "/builtin/create_messages"
READS: dict[str, tuple[str, ...]] = {"a": (), "b": ("a",), "c": (), "d": ("b", "c")}
"""The steps that each step reads. Step a also reads the input's x, and step c the input's y."""
FIELDS = {"a": "x", "c": "y"}
WRONG = 5
"""An input that makes the step that reads it fail, because it is not a string."""


def _content_of(step: str) -> dict[str, str]:
    return {"$step": step, "path": "$.messages[1].content"}


FLOW: dict[str, Any] = {
    "name": "sequence",
    "steps": [
        {"id": "a", "component": SAYS, "input": {"system_instructions": "a", "user_prompt": {"$input": "x"}}},
        {"id": "b", "component": SAYS, "input": {"system_instructions": "b", "user_prompt": _content_of("a")}},
        {"id": "c", "component": SAYS, "input": {"system_instructions": "c", "user_prompt": {"$input": "y"}}},
        {
            "id": "d",
            "component": SAYS,
            "input": {"system_instructions": _content_of("c"), "user_prompt": _content_of("b")},
        },
    ],
}
OUTPUTS = {
    "all": {step: {"$step": step} for step in READS},
    # Servers neither execute nor list a kept step that no other step reads.
    "last": {"d": {"$step": "d"}},
}


@dataclass
class ModelRun:
    """The model of a run."""

    run_id: str
    input: dict[str, Any]
    overrides: dict[str, str]
    """The overrides from the caller and those inherited from the earlier run, as system text by step."""
    outputs: dict[str, Any]
    """The outputs of the steps that complete."""
    is_recorded: bool
    origin: ModelRun | None = None
    kept: frozenset[str] = frozenset()

    @property
    def is_success(self) -> bool:
        return self.outputs.keys() == READS.keys()

    def executed(self, step: str) -> ModelRun | None:
        """Return the run that executed a step, if this machine's history can trace it."""
        if not self.is_recorded or self.origin is None or step not in self.kept:
            return self if self.is_recorded else None
        return self.origin.executed(step)


def fresh_outputs(input: Mapping[str, Any], overrides: Mapping[str, str], kept: Mapping[str, Any]) -> dict[str, Any]:
    """Return the outputs of the steps that complete, with the outputs of kept steps unchanged."""
    outputs = dict(kept)
    for step, reads in READS.items():
        if step in outputs or not all(each in outputs for each in reads):
            continue
        user = input[FIELDS[step]] if step in FIELDS else outputs[reads[0]]["messages"][1]["content"]
        system = outputs["c"]["messages"][1]["content"] if step == "d" else step
        if isinstance(user, str):
            messages = [("system", overrides.get(step, system)), ("user", user)]
            outputs[step] = {"messages": [{"role": role, "content": content} for role, content in messages]}
    return outputs


def output_of(ran: ModelRun, flow: Mapping[str, Any]) -> Any:
    """Return the output of the flow; None if it fails."""
    return {step: ran.outputs[step] for step in flow["output"]} if ran.is_success else None


def with_readers(steps: set[str]) -> set[str]:
    """Return the steps and all steps that read them, directly or indirectly."""
    result = set(steps)
    for step, reads in READS.items():
        if result & set(reads):
            result.add(step)
    return result


@dataclass(frozen=True)
class Rerun:
    """The arguments of a rerun."""

    of: int
    """The earlier run to repeat, counted from the newest."""
    from_step: str | None
    failed: bool
    only_changed: bool
    input: dict[str, Any] | None
    overrides: dict[str, str]
    elsewhere: bool


texts = st.sampled_from(["X", "Y"])
right_inputs = st.fixed_dictionaries({"x": texts, "y": texts})
inputs = right_inputs | st.fixed_dictionaries({"x": texts | st.just(WRONG), "y": texts | st.just(WRONG)})
changes = st.dictionaries(st.sampled_from("abc"), st.sampled_from(["S", "T"]), min_size=1, max_size=2)
overrides = st.just(dict[str, str]()) | st.just(dict[str, str]()) | changes
reruns = st.builds(
    Rerun,
    of=st.sampled_from([0, 0, 0, 1, 2]),
    from_step=st.sampled_from([*READS, None]),
    failed=st.sampled_from([False, False, True]),
    only_changed=st.sampled_from([False, False, True]),
    input=st.none() | right_inputs,
    overrides=overrides,
    elsewhere=st.sampled_from([False, False, True]),
)
firsts = st.tuples(st.just("run"), inputs, overrides)
actions = st.one_of(reruns, reruns, reruns, reruns, firsts, st.just("cancel"))
sequences = st.tuples(firsts, *[actions] * 5)
"""Six actions; shorter sequences are prefixes of these."""


@dataclass
class Machine:
    """Two clients of one server, and the runs so far."""

    release: str
    here: SyncStepflowClient
    history: History
    elsewhere: SyncStepflowClient
    runs: list[ModelRun] = field(default_factory=list)
    flow: dict[str, Any] = field(default_factory=dict)

    def play(self, output: str, actions: tuple[Any, ...]) -> None:
        self.runs = []
        self.flow = {**FLOW, "output": OUTPUTS[output]}
        for action in actions:
            if action == "cancel":
                # Clients refuse this, but servers from 0.12 on even mark ended runs as cancelled.
                httpx.post(f"{self.here.url}/api/v1/runs/{self.runs[-1].run_id}/cancel")
            elif isinstance(action, Rerun):
                self.rerun(action)
            else:
                self.run(*action[1:])

    def run(self, input: dict[str, Any], changes: dict[str, str]) -> None:
        result = self.here.run(self.flow, input, _wire(changes))
        ran = ModelRun(result.run_id, input, changes, fresh_outputs(input, changes, {}), is_recorded=True)
        assert result.is_success is ran.is_success
        assert result.output == output_of(ran, self.flow)
        self.runs.append(ran)

    def rerun(self, again: Rerun) -> None:
        client = self.elsewhere if again.elsewhere else self.here
        earlier = self.runs[-1 - again.of % len(self.runs)]
        knows = earlier.is_recorded and not again.elsewhere
        steps = "unchanged" if again.only_changed else "completed" if again.from_step or again.failed else "nothing"
        chosen = {"keep": Keep(steps, before=again.from_step, succeeded_items=again.failed)}
        arguments: dict[str, Any] = {"overrides": _wire(again.overrides)}
        arguments |= {} if again.input is None else {"input": again.input}
        if (again.from_step is not None or again.only_changed) and not self._has_step_outputs():
            with pytest.raises(UnsupportedByServerError):
                client.rerun(earlier.run_id, **chosen, **arguments)
            return
        plan = client.plan_rerun(earlier.run_id, **chosen, **(arguments if again.only_changed else {}))
        if not plan.items:
            assert again.failed
            assert client.rerun(earlier.run_id, **chosen, **arguments).results == client.get_results(earlier.run_id)
            return
        changed = {step for step, text in again.overrides.items() if not knows or earlier.overrides.get(step) != text}
        kept = self._kept(earlier, again, plan.items[0].kept, changed | self._reading_changes(earlier, again, knows))
        refused = bool(kept.keys() & with_readers(changed)) and not again.only_changed
        is_missing = again.input is None and not knows and not FIELDS.keys() <= kept.keys()
        if refused or is_missing:
            with pytest.raises(InvalidArgumentError, match="is kept" if refused else "read the flow's input"):
                client.rerun(earlier.run_id, **chosen, **arguments)
            return
        result = client.rerun(earlier.run_id, **chosen, **arguments)
        used = again.input if again.input is not None else earlier.input if knows else {"x": None, "y": None}
        changes = {**(earlier.overrides if knows else {}), **again.overrides}
        ran = ModelRun(
            result.result.run_id,
            used,
            changes,
            fresh_outputs(used, changes, kept),
            is_recorded=not again.elsewhere,
            origin=earlier,
            kept=frozenset(kept),
        )
        self.runs.append(ran)
        if again.only_changed and knows:
            assert ran.outputs == fresh_outputs(used, changes, {})
        assert result.result.is_success is ran.is_success
        assert result.result.output == output_of(ran, self.flow)
        assert ("input" in result.plan.recorded) is (knows and again.input is None and not FIELDS.keys() <= kept.keys())
        if again.input is not None or knows:
            assert set(result.plan.outdated) == (self._outdated(ran) if knows else set())
        self._check_record(ran, again)

    def _has_step_outputs(self) -> bool:
        return releases.number(self.release) < (0, 10) or releases.number(self.release) >= (0, 12)

    def _reading_changes(self, earlier: ModelRun, again: Rerun, knows: bool) -> set[str]:
        """Return the steps whose part of the input has changed or may have changed."""
        if not knows:
            return set() if again.input is None else set(FIELDS)
        used, sources = again.input or earlier.input, {step: earlier.executed(step) for step in FIELDS}
        return {step for step, source in sources.items() if source is None or _reads(source.input, used, step)}

    def _kept(self, earlier: ModelRun, again: Rerun, planned: Mapping[str, Any], changed: set[str]) -> dict[str, Any]:
        """Check a plan against the model and return its kept outputs."""
        if again.from_step is None and not (again.failed or again.only_changed):
            expected: set[str] = set()
        else:
            executed = {*(READS.keys() - earlier.outputs.keys()), *filter(None, [again.from_step])}
            expected = earlier.outputs.keys() - with_readers(executed | (changed if again.only_changed else set()))
        if earlier.is_success and self._has_step_outputs():
            assert planned.keys() == expected
        else:
            # After a failure, servers may or may not execute steps that do not depend on the failed step.
            assert planned.keys() <= expected
        assert dict(planned) == {step: earlier.outputs[step] for step in planned}
        return dict(planned)

    def _outdated(self, ran: ModelRun) -> set[str]:
        """Return the kept steps that were computed from a different input, as far as this history knows."""
        assert ran.origin is not None
        changed = set()
        for step in ran.kept & FIELDS.keys():
            source = ran.origin.executed(step)
            if source is not None and _reads(source.input, ran.input, step):
                changed.add(step)
        return with_readers(changed) & ran.kept

    def _check_record(self, ran: ModelRun, again: Rerun) -> None:
        """Check what both clients report about a rerun: the original flow, the arguments and the earlier run."""
        assert ran.origin is not None
        for client in (self.here, self.elsewhere):
            flow = client.get_run_flow(ran.run_id).flow
            assert {step["id"]: step["component"] for step in flow["steps"]} == dict.fromkeys(READS, SAYS)
            assert "onError" not in str(flow["steps"])
            assert "stepflow-client" not in str(flow)
            arguments = client.get_run_arguments(ran.run_id)
            assert (arguments.rerun_of, set(arguments.kept)) == (ran.origin.run_id, ran.kept)
        compared = self.elsewhere.compare_runs(ran.origin.run_id, ran.run_id).every_difference
        assert not [each for each in compared if each.path.startswith("$.flow")]
        entry = self.history.get(ran.run_id)
        assert (entry is not None) is not again.elsewhere
        if entry is not None:
            assert entry.flow == self.flow
            assert (entry.overrides or {}) == {
                step: {"value": change} for step, change in (_wire(ran.overrides) or {}).items()
            }
            assert (entry.rerun_of, set(entry.kept), entry.rerun_items) == (ran.origin.run_id, ran.kept, (0,))


def _reads(before: Mapping[str, Any], after: Mapping[str, Any], step: str) -> bool:
    """Return whether a step's part of the input differs."""
    return bool(before[FIELDS[step]] != after[FIELDS[step]])


def _wire(changes: Mapping[str, str]) -> dict[str, Any] | None:
    return {step: {"input": {"system_instructions": text}} for step, text in changes.items()} or None


@pytest.fixture(scope="module")
def machine(release: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Clients of a server that does not retry failing builtin components."""
    config = {**releases.builtin_config(release)}
    if releases.number(release) >= (0, 11):
        config["retry"] = {"transportMaxRetries": 0}
    folder = tmp_path_factory.mktemp("sequences")
    history = History(folder / "here.db")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("STEPFLOW_SERVER_BINARY", str(releases.binary(release)))
        started = StepflowRuntime.start(config=config, log_config=LogConfig(level="error"))
    with (
        started as server,
        SyncStepflowClient(server.url, history=history) as here,
        SyncStepflowClient(server.url) as elsewhere,
    ):
        yield Machine(release, here, history, elsewhere)


quietly = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    # Six actions are readable without shrinking, which takes minutes.
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)


@pytest.mark.parametrize("output", OUTPUTS)
@settings(quietly, max_examples=8)
@given(actions=sequences)
def test_any_sequence_of_reruns_returns_what_fresh_executions_return(
    machine: Machine, output: str, actions: tuple[Any, ...]
) -> None:
    machine.play(output, actions)


@pytest.mark.exhaustive
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("output", OUTPUTS)
@settings(quietly, max_examples=50)
@given(actions=sequences)
def test_many_sequences_of_reruns(machine: Machine, output: str, actions: tuple[Any, ...]) -> None:
    machine.play(output, actions)

"""How the in-memory server executes runs: until they end, or until a call has to wait.

A call may wait for the test (`hold`), for the clock (`Delayed`), or for the run of a sub-flow. It then raises `Held`,
which suspends the evaluation of its item. Finished steps are kept, and the evaluation starts again after each change.
So there are no threads, and every run is always as far as it can be.
"""

from __future__ import annotations

import copy
import hashlib
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from .._cases.mock_outcomes import get_error_number, get_outcome, run_subflow
from .._runs.pins import Delayed, Fails
from ..flows.error_codes import WORDS
from ..flows.expressions import references
from ..flows.graph import FlowSteps
from ..flows.interpreter import BROKEN, Evaluation, Failure, StepRun

_RUNNING, _COMPLETED, _FAILED, _CANCELLED = 1, 2, 3, 4


class Held(Exception):
    """A call has to wait."""


class World:
    """What an in-memory server has stored, its components, and its clock."""

    def __init__(self, components: Mapping[str, Any]) -> None:
        self.components = dict(components)
        self.calls: list[tuple[str, Any]] = []
        self.flows: dict[str, dict[str, Any]] = {}
        self.blobs: dict[str, dict[str, Any]] = {}
        self.runs: dict[str, FakeRun] = {}
        self.held: set[str] = set()
        self.clock = 0.0

    def now(self) -> str:
        """Return the time, as servers write it."""
        return (datetime.now(UTC) + timedelta(seconds=self.clock)).isoformat().replace("+00:00", "Z")

    def advance(self) -> None:
        """Execute all runs as far as they can be executed."""
        for run in list(self.runs.values()):
            run.advance()

    def put_blob(self, data: Any, blob_type: str = "data", filename: str | None = None) -> str:
        """Store a JSON value or bytes, with the name that replaces an earlier one, and return the id."""
        blob_id = make_id(data)
        if blob_type == "flow":
            self.flows[blob_id] = data
        self.blobs[blob_id] = {"data": data, "blobType": blob_type, "filename": filename}
        return blob_id

    def call(self, path: str, given: Any) -> Any:
        """Return the outcome of one call of a component: an output, `Delayed`, or a failure."""
        if path not in self.components:
            return Failure(9, "error routing component")
        self.calls.append((path, given))
        try:
            outcome = get_outcome(self.components[path], copy.deepcopy(given))
            value = outcome.outcome if isinstance(outcome, Delayed) else outcome
            value = _to_failure(value) if isinstance(value, Fails) else json.loads(json.dumps(value))
        except Failure as failure:
            return failure
        except Exception as error:
            return Failure(3, str(error) or type(error).__name__, is_own=True)
        return Delayed(value, outcome.delay) if isinstance(outcome, Delayed) else value


class FakeRun:
    """A run, and the events of it and of its sub-runs."""

    def __init__(
        self,
        world: World,
        flow_id: str,
        flow: dict[str, Any],
        inputs: list[Any],
        variables: Mapping[str, Any],
        parent: FakeRun | None = None,
    ) -> None:
        """Create the run; `advance` executes it."""
        self.world, self.flow_id, self.flow, self.parent = world, flow_id, flow, parent
        self.run_id = str(uuid.uuid4())
        self.root: FakeRun = self if parent is None else parent.root
        self.journal: list[tuple[FakeRun, dict[str, Any]]] = [] if parent is None else parent.root.journal
        self.created_at = world.now()
        self.completed_at: str | None = None
        self.is_cancelled = False
        self.variables = variables
        self.items = [_Item(self, index, given) for index, given in enumerate(inputs)]
        world.runs[self.run_id] = self
        about = {"flowId": flow_id, "itemCount": len(inputs)}
        if parent is None:
            self.note("RunCreated", **about)
        else:
            self.note("SubRunCreated", parentRunId=parent.run_id, **about)

    @property
    def is_over(self) -> bool:
        """Whether the run has ended."""
        return self.completed_at is not None

    @property
    def status(self) -> int:
        """The status, as its number on the wire."""
        if self.is_cancelled:
            return _CANCELLED
        if not self.is_over:
            return _RUNNING
        return _FAILED if any(item.status == _FAILED for item in self.items) else _COMPLETED

    def advance(self) -> None:
        """Execute the run as far as it can be executed."""
        for item in self.items if not self.is_over else ():
            item.advance()
        if not self.is_over and all(item.status != _RUNNING for item in self.items):
            self.completed_at = self.world.now()
            self.note("RunCompleted", status=self.status)

    def cancel(self) -> None:
        """End the run, and its sub-runs, as cancelled."""
        self.is_cancelled = True
        self.completed_at = self.world.now()
        for run in self.world.runs.values():
            if run.parent is self and not run.is_over:
                run.cancel()
        for item in self.items:
            item.status = _CANCELLED if item.status == _RUNNING else item.status

    def note(self, kind: str, **content: Any) -> None:
        """Add an event."""
        event = {kind: {"runId": self.run_id, **content}}
        about = {"sequenceNumber": len(self.journal), "timestamp": self.world.now(), "event": event}
        self.journal.append((self, about))

    def is_within(self, other: FakeRun) -> bool:
        """Whether this is another run, or a sub-run of it."""
        return self is other or (self.parent is not None and self.parent.is_within(other))

    def summary(self) -> dict[str, Any]:
        """Return the summary, as servers write it."""
        counts = {word: sum(item.status == number for item in self.items) for word, number in _COUNTS.items()}
        name = {"flowName": self.flow["name"]} if self.flow.get("name") else {}
        parent = {"parentRunId": self.parent.run_id} if self.parent is not None else {}
        end = {"completedAt": self.completed_at, "finishedAtSeqno": len(self.journal)} if self.is_over else {}
        return {
            "runId": self.run_id,
            "flowId": self.flow_id,
            **name,
            "status": self.status,
            "items": {"total": len(self.items), **counts},
            "createdAt": self.created_at,
            "rootRunId": self.root.run_id,
            "createdAtSeqno": 0,
            **parent,
            **end,
        }

    def steps(self) -> list[dict[str, Any]]:
        """Return the steps of all items, as servers write them."""
        return [step for item in self.items for step in item.records.values()]


_COUNTS = {"completed": _COMPLETED, "running": _RUNNING, "failed": _FAILED, "cancelled": _CANCELLED}


class _Item(Evaluation):
    """The execution of one item."""

    def __init__(self, of: FakeRun, index: int, given: Any) -> None:
        super().__init__(of.flow, given, of.variables, self._called)
        self.of, self.index = of, index
        self.status = _RUNNING
        self.end: dict[str, Any] = {}
        self.records: dict[str, dict[str, Any]] = {}
        self._step_run = StepRun({}, 0)
        self._outcomes: dict[tuple[str, int], tuple[Any, float]] = {}
        """The outcome of each attempt of a step, and the time on the clock from which it has it."""
        self._children: dict[tuple[str, int], list[FakeRun]] = {}

    def answer(self) -> dict[str, Any]:
        """Return the item, as servers write it."""
        return {"itemIndex": self.index, "status": self.status, **self.end}

    def advance(self) -> None:
        """Execute the item as far as it can be executed."""
        if self.status != _RUNNING:
            return
        steps = FlowSteps(self.flow)
        if not self.records:
            needed = steps.needed()
            self._note("StepsNeeded", stepIds=[name for name in steps.by_id if name in needed])
        is_held = False
        certain = steps.needed(certainly=True)
        for name in steps.by_id:
            # A waiting step does not stop the others.
            try:
                if name in certain:
                    self._step(name)
            except Held:
                is_held = True
        if is_held:
            return
        try:
            end, status = {"output": to_floats(self.run())}, _COMPLETED
        except Held:
            return
        except Failure as failure:
            end, status = _format_error(failure), _FAILED
        except BROKEN as error:
            end, status = _format_error(Failure(8, str(error))), _FAILED
        self.status, self.end = status, {"completedAt": self.of.world.now(), **end}

    def _note(self, kind: str, **content: Any) -> None:
        self.of.note(kind, itemIndex=self.index, **content)

    def _step(self, step_id: str) -> StepRun:
        is_new = step_id not in self.steps
        done = super()._step(step_id)
        if is_new:
            if not done.attempts:
                # Servers start a step even if its input cannot be computed.
                self._start(done, 1)
            result = {"output": to_floats(done.output)} if done.failure is None else _format_error(done.failure)
            self._record(done, _COMPLETED if done.failure is None else _FAILED, **result)
            shown = {"result": result["output"]} if "output" in result else {}
            status = self.records[step_id]["status"]
            self._note("StepCompleted", stepIndex=done.index, stepId=step_id, status=status, **shown)
        return done

    def _start(self, done: StepRun, attempt: int) -> None:
        self._record(done, _RUNNING)
        self._note("StepStarted", stepIndex=done.index, stepId=done.step["id"], attempt=attempt)

    def _record(self, done: StepRun, status: int, **more: Any) -> None:
        step_id = done.step["id"]
        self.records[step_id] = {
            "itemIndex": self.index,
            "stepIndex": done.index,
            "stepId": step_id,
            "component": done.step["component"],
            "status": status,
            **more,
            "journalSeqno": len(self.of.journal),
            "updatedAt": self.of.world.now(),
        }

    def _attempts(self, done: StepRun, step_input: Any) -> Any:
        self._step_run = done
        return super()._attempts(done, step_input)

    def _called(self, path: str, given: Any) -> Any:
        """Return the output of the current attempt of the current step, which may have been made before."""
        done, world = self._step_run, self.of.world
        attempt = (done.step["id"], done.attempts)
        if attempt not in self._outcomes:
            if attempt not in self._children:
                self._children[attempt] = []
                self._start(done, done.attempts)
            if path in world.held or "*" in world.held:
                raise Held
            outcome = self._sub_run(attempt, path, given) if path in SUB_FLOWS else world.call(path, given)
            seconds = outcome.delay if isinstance(outcome, Delayed) else 0.0
            outcome = outcome.outcome if isinstance(outcome, Delayed) else outcome
            self._outcomes[attempt] = (outcome, world.clock + seconds)
        outcome, due = self._outcomes[attempt]
        if world.clock < due:
            raise Held
        if isinstance(outcome, Failure):
            raise outcome
        return outcome

    def _sub_run(self, attempt: tuple[str, int], path: str, given: Any) -> Any:
        """Return the outcome of a component that runs a flow.

        Raises:
            Held: If a sub-run has not ended.
        """
        world, children, places, step_id = self.of.world, self._children[attempt], count(), attempt[0]

        def run(flow: Any, inputs: Sequence[Any]) -> list[dict[str, Any]]:
            place = next(places)
            if place == len(children):
                children.append(FakeRun(world, make_id(flow), dict(flow), [*inputs], {}, self.of))
            children[place].advance()
            if not children[place].is_over:
                raise Held
            results: list[dict[str, Any]] = []
            for item in children[place].items:
                if item.status == _COMPLETED:
                    results.append({"outcome": "success", "result": item.end["output"]})
                else:
                    code = [*WORDS][item.end.get("errorCode", 4) - 1]
                    message = item.end.get("errorMessage", "cancelled")
                    results.append({"outcome": "failed", "error": {"code": code, "message": message}})
            return results

        if path != "/builtin/eval":
            return _to_failure(run_subflow(path, step_id, given, run))
        try:
            (result,) = run(world.flows[given["flow_id"]], [given["input"]])
        except BROKEN:
            return Failure(5, f'step "{step_id}" failed', is_own=True)
        return {"result": result, "run_id": self.of.run_id}


def _to_failure(outcome: Any) -> Any:
    """Return `Fails` as the failure that an evaluation raises, and an output unchanged."""
    if isinstance(outcome, Fails):
        return Failure(get_error_number(outcome.error_code), outcome.message, is_own=True)
    return outcome


def _format_error(failure: Failure) -> dict[str, Any]:
    return {"errorMessage": failure.message, "errorCode": failure.code}


def find_faults(flow: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the fatal findings about steps, in the format of servers."""
    diagnostics: list[dict[str, Any]] = []
    seen: set[str] = set()

    def add(code: int, kind: str, text: str, path: str) -> None:
        diagnostics.append({"kind": kind, "code": code, "level": 1, "formatted": text, "path": path})

    for index, step in enumerate(flow.get("steps") or ()):
        step_id, place = step.get("id") or "", f"$.steps[{index}]"
        if not step_id.strip():
            add(3001, "emptyStepId", "Step has empty ID", f"{place}.id")
        if step_id in seen:
            add(3000, "duplicateStepId", f"Duplicate step ID '{step_id}'", f"{place}.id")
        for named in sorted(_find_read_steps(step.get("input")) - seen):
            kind = (3002, "selfReference") if named == step_id else (3003, "undefinedStepReference")
            verb = "itself" if named == step_id else f"undefined step '{named}'"
            add(*kind, f"Step '{step_id}' references {verb}", f"{place}.input")
        seen.add(step_id)
    for named in sorted(_find_read_steps(flow.get("output")) - seen):
        text = f"Step 'workflow_output' references undefined step '{named}'"
        add(3003, "undefinedStepReference", text, "$.output")
    return diagnostics


def _find_read_steps(expression: Any) -> set[str]:
    return {reference.step for reference in references(expression) if reference.step}


def to_floats(value: Any) -> Any:
    """Return a value with every number as a float, as current servers send results."""
    if isinstance(value, Mapping):
        return {key: to_floats(part) for key, part in value.items()}
    if isinstance(value, list):
        return [to_floats(each) for each in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def make_id(value: Any) -> str:
    """Return the id of a stored value: SHA-256 of bytes, or of compact JSON."""
    content = (
        value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    )
    return hashlib.sha256(content).hexdigest()


def _create_messages(given: Any) -> dict[str, Any]:
    """Return the output of /builtin/create_messages."""
    if not isinstance(given, Mapping) or not isinstance(given.get("user_prompt"), str):
        raise Failure(5, "missing field `user_prompt`", is_own=True)
    system = given.get("system_instructions")
    messages = [{"role": "system", "content": system}] if system else []
    return {"messages": [*messages, {"role": "user", "content": given["user_prompt"]}]}


BUILTINS: dict[str, Any] = {
    "/builtin/create_messages": _create_messages,
    "/builtin/noop": lambda given: given,
    "/builtin/sleep": lambda given: Delayed(given, given["duration_ms"] / 1000),
}


def blob_components(put: Callable[[Any, str], str], blobs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the builtin components that store and read blobs."""

    def get_blob(given: Any) -> Any:
        if given["blob_id"] not in blobs:
            raise Failure(5, f"blob {given['blob_id']} not found", is_own=True)
        return {"data": blobs[given["blob_id"]]["data"]}

    def put_blob(given: Any) -> Any:
        return {"blob_id": put(given["data"], given.get("blob_type", "data"))}

    return {"/builtin/put_blob": put_blob, "/builtin/get_blob": get_blob}


SUB_FLOWS = ("/builtin/map", "/builtin/iterate", "/builtin/eval")
"""The builtin components that run a flow."""

"""Stores, reads and checks flows."""

from __future__ import annotations

import asyncio
import copy
import os
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from .. import types
from .._base.bounded_dict import BoundedDict
from .._base.lazy import lazy_module
from .._codec import call_checks, responses
from .._codec.call_checks import FlowId, parse_declared_variables
from .._concurrency import async_compute
from .._data.arguments import check_flags
from .._data.json_encoding import StoredFlowId
from .._data.wire import MAX_FIELD_DEPTH, check_json, is_plain
from .._rules import operations_and_releases as api
from .._rules.deadlines import current_deadline, has_passed
from .._rules.lost_creation import RunRegistries
from ..errors import InvalidArgumentError, InvalidRequestError
from ..flows.reading import FlowSource, load_flow, resolve_flow_argument
from .connection import Connection

if TYPE_CHECKING:
    from .._runs import strip_and_restore_flow
    from ..flows import run_requirements
    from ..flows.run_requirements import RunRequirements
    from ..types import FlowVariable, FlowVariables, StoredFlow, StoreFlowResponse, ValidationResult
else:
    strip_and_restore_flow = lazy_module("stepflow_client._runs.strip_and_restore_flow")
    run_requirements = lazy_module("stepflow_client.flows.run_requirements")

# Maximum numbers of checked flows and stored flows that a client remembers.
_MAX_CHECKED_FLOWS, _MAX_FLOWS = 32, 1_000
# Maximum number of stored flows to keep in full so that failures can be explained.
_MAX_FLOW_COPIES = 64

# The severity at which servers reject a flow, as a number or name.
_FATAL_LEVELS = (1, "fatal")


class CheckedFlow(NamedTuple):
    """A flow that's ready to be sent."""

    content: dict[str, Any]
    """The flow without its test cases and examples, i.e. the part that affects runs and is checked by servers."""
    digest: bytes
    """A digest of the content. Editing a test case doesn't change it."""
    examples: list[dict[str, Any]]
    """The flow's examples and its test cases' inputs, which are included in copies of the flow for `get_flow`."""

    @property
    def content_with_examples(self) -> dict[str, Any]:
        """The flow as it will be stored, including its examples.

        Raises:
            InvalidArgumentError: If an example can't be represented in JSON.
        """
        if not self.examples:
            return self.content
        examples = check_json(self.examples, "the examples of the flow", max_depth=MAX_FIELD_DEPTH - 1)
        return {**self.content, "examples": examples}


class StoredCopy(NamedTuple):
    """A stored flow, along with what this client knows about it."""

    flow_id: str
    needs: RunRequirements | None = None
    """What the flow's runs require, or None if this isn't known yet."""
    flow: dict[str, Any] | None = None
    """The flow as stored by this client. None if the client didn't store it or no longer has it."""


class FlowStore:
    """Stores each flow only once and remembers what its runs require."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.registries = RunRegistries()
        # Flows that the server has accepted or that this client has stored, by digest. They don't need to be resent.
        self._accepted: BoundedDict[bytes, list[dict[str, Any]]] = BoundedDict(_MAX_FLOWS)
        self._store_responses: BoundedDict[bytes, StoreFlowResponse] = BoundedDict(_MAX_FLOWS)
        self._checked: BoundedDict[object, CheckedFlow] = BoundedDict(_MAX_CHECKED_FLOWS)
        """Checked flows, keyed by the file's stamp or by the content that the caller passed."""
        self._known_copies: BoundedDict[str, StoredCopy] = BoundedDict(_MAX_FLOWS)
        self._copies: BoundedDict[str, dict[str, Any]] = BoundedDict(_MAX_FLOW_COPIES)
        # What each flow's runs require, by the flow's digest.
        self._requirements: BoundedDict[bytes, RunRequirements] = BoundedDict(_MAX_FLOWS)
        self.seen_components: set[str] = set()
        """Components that an earlier run has already waited for, so later runs don't need to wait for them again."""

    def with_connection(self, connection: Connection) -> Self:
        """Return a store that uses a different connection but shares this store's cached flows."""
        twin = copy.copy(self)
        twin._connection = connection
        # A proxy may route requests with different headers to a server whose workers haven't connected yet.
        twin.seen_components = set()
        return twin

    async def store_flow(self, flow: FlowSource) -> StoreFlowResponse:
        """Store a flow and return its ID."""
        checked = self.load_and_check_flow(flow, "store_flow()")
        copy = checked.content_with_examples
        # Flows that differ only in their examples are still stored separately.
        key = call_checks.hash_flow(copy) or checked.digest
        stored = self._store_responses.get(key)
        if stored is None:
            flow_id = await self.validate_and_store_copy(checked, copy)
            diagnostics = _build_validation_result(self._accepted.get(checked.digest, [])).diagnostics
            stored = types.StoreFlowResponse(flow_id=flow_id, diagnostics=diagnostics)
            self._store_responses.put_newest(key, stored)
            self._remember_requirements(flow_id, self.compute_run_requirements(checked))
        return stored

    def compute_run_requirements(self, flow: CheckedFlow) -> RunRequirements:
        """Return what a flow's runs require, computing it only once."""
        requirements = self._requirements.get(flow.digest)
        if requirements is None:
            requirements = run_requirements.find_requirements(flow.content, parse_declared_variables(flow.content))
            self._requirements.put_newest(flow.digest, requirements)
        return requirements

    def get_stored_copy(self, flow_id: str) -> StoredCopy:
        """Return what this client knows about a stored flow."""
        return self._known_copies.get(flow_id) or StoredCopy(flow_id)

    async def check_input(self, flow: CheckedFlow | str, value: Any) -> Any:
        """Check a run's input and return it. (If `flow` is just an ID, the client may not have the schema.)

        Raises:
            InvalidArgumentError: If the input doesn't match the flow's input schema.
        """
        needs = self.get_stored_copy(flow).needs if isinstance(flow, str) else self.compute_run_requirements(flow)
        if needs is None or needs.input_check is None:
            return value
        return await async_compute(partial(call_checks.check_inputs_against_schema, value, needs.input_check))

    def load_and_check_flow(self, flow: FlowSource, what: str) -> CheckedFlow:
        """Check a flow and return it, ready to be sent.

        Args:
            flow: The flow.
            what: The feature that needs the flow itself, for the error raised if `flow` is just a stored flow's ID.
        """
        checked = self.check_flow_or_id(flow)
        if isinstance(checked, str):
            raise InvalidArgumentError(f"{what} needs the flow itself, not a flow ID", hint="fetch it with get_flow()")
        return checked

    def check_flow_or_id(self, flow: FlowSource) -> CheckedFlow | StoredFlowId:
        """If this is a stored flow's ID, return the ID. Otherwise, check the flow and return it, ready to be sent.

        A flow that has already been checked isn't checked again.
        """
        flow = resolve_flow_argument(flow)
        if isinstance(flow, StoredFlowId):
            return flow
        # Dumping a mapping is cheaper than checking it.
        dump = call_checks.flow_to_marshal_bytes(flow) if type(flow) is dict else None
        stamp = call_checks.get_file_stamp(flow) if dump is None else dump
        cached = self._checked.get(stamp)
        if cached is not None:
            return cached
        loaded = load_flow(flow)
        if dump is not None and is_plain(loaded, any_text=True):
            # Keep our own copy so that changes to the caller's flow don't affect it.
            loaded = call_checks.flow_from_marshal_bytes(dump)
        elif dump is not None:
            stamp = None
        content = strip_and_restore_flow.remove_cases(loaded)
        digest = call_checks.hash_flow(content)
        if digest is None or digest not in self._accepted:
            content = check_json(content, "the flow")
            digest = call_checks.hash_flow(content)
            if digest is None:
                raise InvalidArgumentError("the flow cannot be serialized to JSON")
        checked = CheckedFlow(content, digest, strip_and_restore_flow.collect_examples(loaded))
        if stamp is not None:
            self._checked.put_newest(stamp, checked)
        return checked

    async def store_copy_for_client(self, flow: CheckedFlow, *, is_single: bool) -> StoredCopy:
        """Store a copy of a flow for this client only and return the copy.

        Args:
            flow: The flow.
            is_single: Whether the copy is for a single call. Otherwise, it's shared by all of the client's calls.
        """
        digest, needs = flow.digest, self.compute_run_requirements(flow)
        if is_single:
            copy = strip_and_restore_flow.add_tag_to_flow(flow.content_with_examples, os.urandom(16).hex())
            return await self.store_copy_for_call(flow, copy)
        registry = self.registries.of_current_process
        while (shared_id := registry.find_shared_flow_id(digest)) is None:
            is_first = registry.try_lock_flow_or_key(digest)
            if is_first or has_passed(current_deadline()):
                try:
                    tag = registry.choose_flow_tag(digest)
                    copy = strip_and_restore_flow.add_tag_to_flow(flow.content_with_examples, tag)
                    flow_id = await self.validate_and_store_copy(flow, copy)
                    registry.record_shared_flow(digest, flow_id)
                    self._copies.put_newest(flow_id, copy)
                finally:
                    if is_first:
                        registry.release_flow_or_key(digest)
                return self._remember_requirements(flow_id, needs)._replace(flow=copy)
            # Another call is already storing this flow, so wait for it instead of sending the flow twice.
            await asyncio.sleep(self._connection.timings.store_poll)
        return StoredCopy(shared_id, needs, self._copies.get(shared_id))

    async def store_copy_for_call(self, flow: CheckedFlow, copy: dict[str, Any]) -> StoredCopy:
        """Store a copy of a flow for a single call only and return the copy."""
        flow_id = await self.validate_and_store_copy(flow, copy)
        self.registries.of_current_process.record_single_call_flow(flow_id)
        return self._remember_requirements(flow_id, self.compute_run_requirements(flow))._replace(flow=copy)

    async def validate_and_store_copy(self, flow: CheckedFlow, copy: dict[str, Any]) -> str:
        """Have the server check a flow, then store a copy of the flow and return the copy's ID.

        Raises:
            InvalidFlowError: If the server rejects the flow.
        """
        if flow.digest not in self._accepted:
            diagnostics = await self._fetch_diagnostics(flow.content)
            if any(diagnostic.get("level") in _FATAL_LEVELS for diagnostic in diagnostics):
                from ..types.flows import InvalidFlowError

                result = _build_validation_result(diagnostics)
                first, *others = [item for item in result.diagnostics if item.level is types.DiagnosticLevel.FATAL]
                more = f" (and {len(others)} more)" if others else ""
                message = f"the server rejected the flow: {first.message} at {first.path}{more}"
                raise InvalidFlowError(message, diagnostics=result.diagnostics)
            self._accepted.put_newest(flow.digest, diagnostics)
        # Store the flow as a blob, because otherwise the server would change its integers. Servers don't check blobs.
        request = api.store_blob(body={"data": copy, "blobType": "flow"})
        return await self._connection.call(request, partial(responses.read_flow_id, key="blobId"))

    def _remember_requirements(self, flow_id: str, needs: RunRequirements) -> StoredCopy:
        known = StoredCopy(flow_id, needs)
        self._known_copies.put_newest(flow_id, known)
        return known

    async def _fetch_diagnostics(self, flow: dict[str, Any]) -> list[dict[str, Any]]:
        """Ask the server to check a flow and return its raw diagnostics."""
        server = await self._connection.detect_server()
        sent = flow if server.capabilities["exact_numbers"] else call_checks.remove_valid_max_retries(flow)
        request = api.store_flow(body={"flow": sent, "dryRun": True})
        try:
            return await self._connection.call(request, partial(_drop_false_diagnostics, flow=flow))
        except InvalidRequestError as error:
            # The server can't parse this as a flow. Return its error as a diagnostic in the usual format.
            message = call_checks.restore_integers_in_message(error.message)
            return [{"level": "fatal", "kind": "unreadableFlow", "code": 0, "formatted": message}]

    def forget_flow(self, flow_id: str) -> None:
        """Forget a flow that the server may not have anymore."""
        self.registries.of_current_process.forget_shared_flow_id(flow_id)
        # Check the flows again as well, since a different release might not accept them.
        self._accepted.clear()
        for key, stored in list(self._store_responses.items()):
            if stored.flow_id == flow_id:
                self._store_responses.pop(key, None)

    async def get_flow(self, flow_id: FlowId) -> StoredFlow:
        """Return a stored flow, with its examples and the inputs of its test cases."""
        flow_id = call_checks.check_flow_id(flow_id)
        return await self._connection.call(api.get_flow(flow_id), partial(responses.read_flow, flow_id=flow_id))

    async def load_or_fetch_flow(self, flow: FlowSource) -> dict[str, Any]:
        """Return the flow that was passed. If it's a stored flow's ID, fetch the flow from the server."""
        source = resolve_flow_argument(flow)
        return (await self.get_flow(source)).flow if isinstance(source, StoredFlowId) else load_flow(source)

    async def delete_flow(self, flow_id: FlowId) -> None:
        """Ask the server to delete a flow."""
        flow_id = call_checks.check_flow_id(flow_id)
        await self._connection.send(api.delete_flow(flow_id))
        self.forget_flow(flow_id)

    async def get_flow_variables(self, flow_id: FlowId) -> FlowVariables:
        """Return the variables that a stored flow declares, as its author wrote them."""
        flow_id = call_checks.check_flow_id(flow_id)
        declared = dict(await self.get_or_fetch_variables(flow_id))
        return responses.build_from_response(
            lambda _: types.FlowVariables(flow_id=flow_id, variables=declared), {}, f"GET /flows/{flow_id}"
        )

    async def get_or_fetch_variables(self, flow_id: str) -> Mapping[str, FlowVariable]:
        """Return the variables that a stored flow declares, requesting the flow only once."""
        needs = self.get_stored_copy(flow_id).needs
        if needs is None:
            flow = (await self.get_flow(flow_id)).flow
            request = f"GET /flows/{flow_id}"
            declared = responses.build_from_response(lambda _: parse_declared_variables(flow), {}, request)
            needs = run_requirements.find_requirements(flow, declared)
            self._remember_requirements(flow_id, needs)
        return needs.declared

    async def lint(self, flow: FlowSource, *, offline: bool, type_check: bool, target: str | None) -> ValidationResult:
        """Check a flow using the offline rules of `stepflow_client.flows.check` and the server's components."""
        from .._checks.checker import check, parse_supported_target

        parse_supported_target(target)
        check_flags(offline=offline, type_check=type_check)
        components = None
        if not offline:
            components = await self._connection.call(api.list_components(), responses.read_components)
        rules = partial(check, flow, components=components, type_check=type_check, target=target)
        return await async_compute(rules, is_long=True)

    async def validate(self, flow: FlowSource) -> ValidationResult:
        """Ask the server to check a flow without storing it."""
        sent = check_json(strip_and_restore_flow.remove_cases(await self.load_or_fetch_flow(flow)), "the flow")
        return _build_validation_result(await self._fetch_diagnostics(sent))


def _drop_false_diagnostics(response: dict[str, Any], flow: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Drop false positives from a flow's diagnostics (servers report mustExecute steps as unreachable)."""
    responses.read_flow_id(response)
    diagnostics = (response.get("diagnostics") or {}).get("diagnostics", [])
    if not isinstance(diagnostics, list) or not set(map(type, diagnostics)) <= {dict}:
        raise TypeError("the diagnostics are not a list of objects")
    steps = flow.get("steps")
    executed = {f"$.steps[{index}]" for index, step in enumerate(steps if isinstance(steps, list) else ())
                if isinstance(step, Mapping) and step.get("mustExecute") is True}  # fmt: skip
    return [
        diagnostic
        for diagnostic in diagnostics
        if diagnostic.get("kind") != "unreachableStep" or diagnostic.get("path") not in executed
    ]


def _build_validation_result(diagnostics: list[dict[str, Any]]) -> ValidationResult:
    return responses.build_from_response(responses.read_diagnostics, {"diagnostics": diagnostics}, "POST /flows")

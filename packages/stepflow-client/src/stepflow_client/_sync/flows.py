# Written from _async/flows.py by `make generate`. Change that file instead.

"""Storing, reading and checking flows."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from .. import _operations as api
from .. import _requests
from .._lazy import lazy_module
from .._values import check_json
from ..errors import InvalidArgumentError, InvalidFlowError, InvalidRequestError
from ..flow_file import load_flow
from .connection import Connection

if TYPE_CHECKING:
    from .. import _wire, types
    from ..flow_file import FlowSource
    from ..types import (
        FlowVariable,
        FlowVariables,
        StoredFlow,
        StoreFlowResponse,
        ValidationResult,
    )
else:
    _wire = lazy_module("stepflow_client._wire")
    types = lazy_module("stepflow_client.types")

__all__ = ["Flows"]

_MOST_FILES, _MOST_FLOWS = 32, 1_000
"""How many files and flows a client remembers."""
_TAG = "stepflow-client-run"

Key = TypeVar("Key")
Value = TypeVar("Value")


class Flows:
    """The part of the client that deals with flows."""

    _connection: Connection

    def __init__(self) -> None:
        super().__init__()
        # What this client has stored, by content; a flow stored once is not sent again.
        self._stored: dict[bytes, StoreFlowResponse] = {}
        self._files: dict[tuple[Any, ...], tuple[dict[str, Any], bytes]] = {}
        self._declared: dict[str, Mapping[str, FlowVariable]] = {}
        self._outputs: dict[str, Any] = {}

    def store_flow(self, flow: FlowSource, *, timeout: float | None = None) -> StoreFlowResponse:
        """Store a flow and give its id.

        The same flow has the same id, on every server from 0.10 on. Integers in the flow survive (a plain POST /flows
        turns them into floats on servers from 0.12 on). A flow this client has stored before is not sent again.

        Args:
            flow: The path of a YAML or JSON file, or the flow as a mapping.
            timeout: Seconds for each request, instead of the client's.

        Raises:
            FlowFileError: If the file cannot be read.
            InvalidFlowError: If the server refuses the flow; `diagnostics` say why.
        """
        content, digest = self._checked(flow)
        return self._store(content, digest, timeout=timeout)

    def _checked(self, flow: FlowSource) -> tuple[dict[str, Any], bytes]:
        """Give a flow that can be sent and its digest; what was checked before is not checked again."""
        stamp = None if isinstance(flow, Mapping) else _requests.file_stamp(flow)
        if stamp is not None and stamp in self._files:
            return self._files[stamp]
        content = load_flow(flow)
        digest = _requests.flow_digest(content)
        if digest is None or digest not in self._stored:
            content = check_json(content, "the flow")
            digest = _requests.flow_digest(content)
            if digest is None:
                raise InvalidArgumentError("the flow cannot be written as JSON")
        if stamp is not None:
            self._files = {**_newest(self._files, _MOST_FILES), stamp: (content, digest)}
        return content, digest

    def _store(self, flow: dict[str, Any], digest: bytes, *, timeout: float | None = None) -> StoreFlowResponse:
        known = self._stored.get(digest)
        if known is not None:
            return known
        server = self._connection.server()
        found, flow_id = self._post_flow(flow, dry_run=server.capabilities["blobs"], timeout=timeout)
        if not found.is_valid:
            raise InvalidFlowError(_refusal(found), diagnostics=found.diagnostics)
        if server.capabilities["blobs"]:
            flow_id = self._store_as_blob(flow, timeout=timeout)
        stored = types.StoreFlowResponse(flow_id=flow_id, diagnostics=found.diagnostics)
        self._stored = {**_newest(self._stored), digest: stored}
        self._know_flow(flow_id, flow)
        return stored

    def _know_flow(self, flow_id: str, flow: Mapping[str, Any]) -> Mapping[str, FlowVariable]:
        """Remember what is needed of a flow for its runs, and give its variables."""
        declared = _wire.build(lambda _: _wire.flow_variables(flow), {}, f"GET /flows/{flow_id}")
        self._declared = {**_newest(self._declared), flow_id: declared}
        self._outputs = {**_newest(self._outputs), flow_id: flow.get("output")}
        return declared

    def _store_as_blob(self, flow: dict[str, Any], *, timeout: float | None = None) -> str:
        """Store a flow so that its integers survive; nothing is checked this way."""
        request = api.store_blob._get_kwargs(body=api.StoreBlobRequest(data=flow, blob_type="flow"))
        return self._connection.call("store_blob", request, partial(_wire.flow_id, key="blobId"), timeout=timeout)

    def _store_tagged(self, flow: dict[str, Any]) -> str:
        """Store a flow that was checked before under an id of its own, by a tag in its metadata."""
        metadata = flow.get("metadata")
        tagged = {**flow, "metadata": {**(metadata if isinstance(metadata, dict) else {}), _TAG: uuid4().hex}}
        if (self._connection.server()).capabilities["blobs"]:
            return self._store_as_blob(tagged)
        _, flow_id = self._post_flow(tagged, dry_run=False, timeout=None)
        return flow_id

    def _post_flow(self, flow: dict[str, Any], *, dry_run: bool, timeout: float | None) -> tuple[ValidationResult, str]:
        server = self._connection.server()
        sent = flow if server.capabilities["exact_numbers"] else _requests.flow_for_dry_run(flow)
        body = api.StoreFlowRequest(flow=sent, dry_run=dry_run)
        try:
            return self._connection.call(
                "store_flow",
                api.store_flow._get_kwargs(body=body),
                lambda answer: (_wire.validation(answer.get("diagnostics")), _wire.flow_id(answer)),
                timeout=timeout,
            )
        except InvalidRequestError as error:
            # The server cannot even read it as a flow: one finding, in the form of the others.
            finding = types.Diagnostic.model_validate(
                {
                    "level": types.DiagnosticLevel.FATAL,
                    "kind": "unreadableFlow",
                    "code": 0,
                    "formatted": _requests.numbers_as_written(error.message),
                }
            )
            return types.ValidationResult(diagnostics=[finding]), ""

    def _forget_flow(self, flow_id: str) -> None:
        self._stored = {digest: stored for digest, stored in self._stored.items() if stored.flow_id != flow_id}

    def get_flow(self, flow_id: str, *, timeout: float | None = None) -> StoredFlow:
        """Give a stored flow, with its examples and the inputs of its test cases.

        Keys the server does not know are not in it, and servers from 0.12 on give numbers back as floats: whole ones
        are integers again here.

        Raises:
            NotFoundError: If the server has no such flow.
            InvalidRequestError: If this cannot be a flow id.
        """
        request = api.get_flow._get_kwargs(flow_id=_requests.check_id(flow_id, "flow_id"))
        read = partial(_wire.flow, flow_id=flow_id)
        return self._connection.call("get_flow", request, read, timeout=timeout)

    def delete_flow(self, flow_id: str, *, timeout: float | None = None) -> None:
        """Ask the server to delete a flow.

        Released servers (0.9 to 0.13) accept this and delete nothing; an unknown id is accepted too from 0.12 on.
        """
        request = api.delete_flow._get_kwargs(flow_id=_requests.check_id(flow_id, "flow_id"))
        self._connection.send("delete_flow", request, timeout=timeout)
        self._forget_flow(flow_id)

    def get_flow_variables(self, flow_id: str, *, timeout: float | None = None) -> FlowVariables:
        """Give the variables a stored flow declares, as its author wrote them.

        Read from the flow itself, so that every release gives the same: the servers' own answer lacks descriptions
        and schemas, and releases before 0.11 have none.

        Raises:
            NotFoundError: If the server has no such flow.
        """
        declared = dict(self._variables_of(flow_id, timeout=timeout))
        read = partial(types.FlowVariables, flow_id=flow_id, variables=declared)
        return _wire.build(lambda _: read(), {}, f"GET /flows/{flow_id}")

    def _variables_of(self, flow_id: str, *, timeout: float | None = None) -> Mapping[str, FlowVariable]:
        declared = self._declared.get(flow_id)
        if declared is None:
            stored = self.get_flow(flow_id, timeout=timeout)
            declared = self._know_flow(flow_id, stored.flow)
        return declared

    def validate(self, flow: FlowSource, *, timeout: float | None = None) -> ValidationResult:
        """Ask the server what it thinks of a flow. Nothing is stored.

        Args:
            flow: The path of a YAML or JSON file, or the flow as a mapping.
            timeout: Seconds for each request, instead of the client's.

        Raises:
            FlowFileError: If the file cannot be read. (A flow that is wrong is no error here, but a finding.)
        """
        found, _ = self._post_flow(check_json(load_flow(flow), "the flow"), dry_run=True, timeout=timeout)
        return found


def _newest(known: Mapping[Key, Value], most: int = _MOST_FLOWS) -> dict[Key, Value]:
    """Give what a client remembers, as a dict of its own: other threads go through the old one meanwhile."""
    return dict(islice(known.items(), max(0, len(known) - most), None))


def _refusal(found: ValidationResult) -> str:
    fatal = [each for each in found.diagnostics if each.level is types.DiagnosticLevel.FATAL]
    first = fatal[0]
    more = f" (and {len(fatal) - 1} more)" if len(fatal) > 1 else ""
    return f"the server refuses the flow: {first.message} at {first.path}{more}"

"""Idempotency keys: a tag on the flow, and small marker blobs that show whether and for what a key was used.

Servers return neither the inputs of a run nor the runs of a flow. But they store blobs under the SHA-256 of their
content, which the client can compute, so one request shows whether a marker exists, and the name that was stored with
it. Stores in a file keep the first name of a blob, stores in memory the last one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from .._data.arguments import check_text
from .._data.values import restored
from ..errors import InvalidArgumentError
from .requests import RunArguments

if TYPE_CHECKING:
    from ..types import FlowVariable

_LONGEST = 512
"""Maximum number of characters of a key."""


class Marker(NamedTuple):
    """A blob whose existence carries information."""

    content: bytes

    @property
    def blob_id(self) -> str:
        """The id under which servers store the blob."""
        return hashlib.sha256(self.content).hexdigest()


def check_key(key: object) -> str:
    """Check a caller's key and return it.

    Raises:
        InvalidArgumentError: If it is not a text of 1 to 512 characters.
    """
    text = check_text(key, "idempotency_key")
    if len(text) > _LONGEST:
        raise InvalidArgumentError(f"idempotency_key has {len(text)} characters; {_LONGEST} are allowed")
    return text


def tag_of(key: str) -> str:
    """Return the tag of the flow that runs under a key. The colon distinguishes it from the tags of clients."""
    return f"key:{key}"


def claim_marker(flow_id: str, turn: int) -> Marker:
    """Return the marker that a call stores first if it wants to create the run; its name is the call's own.

    Args:
        flow_id: The id of the flow with the tag of the key.
        turn: 0 for the first calls with the key. Later turns are for calls that take over from one that has crashed.
    """
    return _marker("claim", flow_id, str(turn))


def taken_marker(flow_id: str, turn: int) -> Marker:
    """Return the marker that is stored before a call of a turn may create the run: the turn is over for others."""
    return _marker("taken", flow_id, str(turn))


def input_marker(flow_id: str, turn: int) -> Marker:
    """Return the marker that the creating call of a turn stores before it creates the run; its name is the digest."""
    return _marker("input", flow_id, str(turn))


def run_marker(flow_id: str) -> Marker:
    """Return the marker that is stored after a run was created under a key; its name is the run's id and the digest."""
    return _marker("run", flow_id)


def _marker(*parts: str) -> Marker:
    return Marker("\n".join(["stepflow-client idempotency key", *parts]).encode())


def input_digest(arguments: RunArguments, declared: Mapping[str, FlowVariable]) -> str:
    """Return a digest of the input, variables and overrides of a run.

    Values of secret variables are left out, because short ones could be guessed from the digest. 1 and 1.0 give the
    same digest.

    Args:
        arguments: The arguments of the run.
        declared: The variables that the flow declares.
    """
    hidden = {name for name, variable in declared.items() if variable.is_secret}
    variables = {name: value for name, value in arguments.variables.items() if name not in hidden}
    # A copy, because `restored` changes its argument.
    said = restored(json.loads(json.dumps([arguments.inputs, variables, arguments.overrides or {}])))
    return hashlib.sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

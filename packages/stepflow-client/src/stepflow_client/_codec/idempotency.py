"""What becomes of a caller's key: the tag of a flow, and small blobs that tell whether it was used, and for what.

Servers give neither inputs back nor runs by flow. They do keep blobs under the SHA-256 of their content, which is known
here: so one request tells whether a blob is there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from ..errors import InvalidArgumentError
from .requests import RunArguments, check_text
from .values import restored

if TYPE_CHECKING:
    from ..types import FlowVariable

__all__ = ["Marker", "check_key", "input_digest", "input_marker", "run_marker", "tag_of", "use_marker"]

_LONGEST = 512
"""Characters of a key."""


class Marker(NamedTuple):
    """A blob that tells something by being there."""

    content: bytes

    @property
    def blob_id(self) -> str:
        """The id under which servers keep it."""
        return hashlib.sha256(self.content).hexdigest()


def check_key(key: object) -> str:
    """Return a caller's key.

    Raises:
        InvalidArgumentError: If it is no text of 1 to 512 characters.
    """
    text = check_text(key, "idempotency_key")
    if len(text) > _LONGEST:
        raise InvalidArgumentError(f"idempotency_key has {len(text)} characters; {_LONGEST} are allowed")
    return text


def tag_of(key: str) -> str:
    """Return the tag of the flow that runs under a key. Tags of clients have no colon."""
    return f"key:{key}"


def use_marker(flow_id: str) -> Marker:
    """Return the marker that is stored before a run is created under a key.

    Args:
        flow_id: The flow with the tag of the key.
    """
    return _marker("use", flow_id)


def input_marker(flow_id: str, digest: str) -> Marker:
    """Return the marker that is stored before a run is created under a key for an input."""
    return _marker("input", flow_id, digest)


def run_marker(flow_id: str) -> Marker:
    """Return the marker that is stored after a run was created under a key; its filename is the run's id."""
    return _marker("run", flow_id)


def _marker(*parts: str) -> Marker:
    return Marker("\n".join(["stepflow-client idempotency key", *parts]).encode())


def input_digest(arguments: RunArguments, declared: Mapping[str, FlowVariable]) -> str:
    """Return what tells the input, variables and overrides of a run from others.

    Values of secret variables are left out, as a digest lets short ones be guessed. 1 and 1.0 are the same.

    Args:
        arguments: What the run is created with.
        declared: The variables that the flow declares.
    """
    hidden = {name for name, variable in declared.items() if variable.is_secret}
    variables = {name: value for name, value in arguments.variables.items() if name not in hidden}
    # A copy, as `restored` changes what it is given.
    said = restored(json.loads(json.dumps([arguments.inputs, variables, arguments.overrides or {}])))
    return hashlib.sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

"""Implements idempotency keys using a tag on the flow, plus marker blobs that record what a key was used for.

The client can't ask a server for a run's inputs or for a flow's runs. However, servers store each blob under the
SHA-256 hash of its content. Since the client can compute that hash, a single request is enough to find out whether a
marker exists and which name it was stored under.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from .._base.lazy import lazy_module
from .._data.arguments import check_text
from .._data.wire import restore_integers
from ..errors import InvalidArgumentError
from .call_checks import RunArguments

if TYPE_CHECKING:
    import hashlib

    from .._runs.strip_and_restore_flow import RerunOrigin
    from ..types import FlowVariable
else:
    hashlib = lazy_module("hashlib")

# Maximum length of a key or scope, in characters.
_MAX_KEY_LENGTH = 512


def compute_blob_id(content: bytes) -> str:
    """Return the ID under which servers store a blob."""
    return hashlib.sha256(content).hexdigest()


class RunMarkerName(NamedTuple):
    """The name of a run's marker, which consists of the run ID and a digest of the run's arguments."""

    run_id: str
    digest: str

    def __str__(self) -> str:
        """Return the name to store."""
        return f"{self.run_id} {self.digest}"

    @classmethod
    def parse(cls, name: str | None) -> RunMarkerName | None:
        """Parse a marker's name. Return None if there is no marker, or if its name is in a different format."""
        run_id, _, digest = (name or "").partition(" ")
        return cls(run_id, digest) if run_id and digest else None


def check_key(key: object, what: str = "idempotency_key") -> str:
    """Validate and return a caller's key or scope.

    Raises:
        InvalidArgumentError: If it isn't a string of 1 to 512 characters.
    """
    text = check_text(key, what)
    if len(text) > _MAX_KEY_LENGTH:
        raise InvalidArgumentError(f"{what} has {len(text)} characters; {_MAX_KEY_LENGTH} are allowed")
    return text


def combine_scope_and_key(scope: str, key: str) -> str:
    """Return a string that is unique to this scope and key, and can't be mistaken for a flow ID."""
    return json.dumps([scope, key])


def make_keyed_flow_tag(key: str, scope: str | None) -> str:
    """Return the tag to put on a flow that runs under a key. The colon sets it apart from tags the client generates."""
    return f"key:{key}" if scope is None else f"scoped-key:{combine_scope_and_key(scope, key)}"


def make_marker_content(uniqueness_key: str, *parts: str | int) -> bytes:
    """Return the content of a key's marker, a blob that tells clients something just by existing.

    Args:
        uniqueness_key: The ID of the flow tagged with the key, or the combined scope and key. At most one run exists
            for it.
        *parts: What the marker means: `run` for the key's run, or one of the marks used by `key_lock`.
    """
    return "\n".join(["stepflow-client idempotency key", uniqueness_key, *map(str, parts)]).encode()


def hash_arguments(
    arguments: RunArguments, declared: Mapping[str, FlowVariable], origin: RerunOrigin | None = None
) -> str:
    """Return a digest of a run's input, variables and overrides.

    The digest doesn't cover secret variables, because a short value could be guessed from it. 1 and 1.0 produce the
    same digest.

    Args:
        arguments: The run's arguments.
        declared: The variables declared by the flow.
        origin: For a rerun, the run it repeats. The digest then also covers the items and the IDs of the kept steps.
    """
    hidden = {name for name, variable in declared.items() if variable.is_secret}
    variables = {name: value for name, value in arguments.variables.items() if name not in hidden}
    # Copy the lists, because `restore_integers` modifies its argument.
    rerun = [] if origin is None else [[[*origin.items], sorted(origin.kept)]]
    content = restore_integers(json.loads(json.dumps([arguments.inputs, variables, arguments.overrides or {}, *rerun])))
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

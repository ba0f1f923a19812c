"""Idempotency keys: a tag on the flow, and small marker blobs that show whether and for what a key was used.

Servers return neither the inputs of a run nor the runs of a flow. But they store blobs under the SHA-256 of their
content, which the client can compute, so one request shows whether a marker exists, and the name that was stored with
it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from .._base.lazy import lazy_module
from .._data.arguments import check_text
from .._data.values import restore_integers
from ..errors import InvalidArgumentError
from .requests import RunArguments

if TYPE_CHECKING:
    import hashlib

    from .._runs.client_metadata import Origin
    from ..types import FlowVariable
else:
    hashlib = lazy_module("hashlib")

# Maximum number of characters of a key and of a scope.
_MAX_LENGTH = 512


class Marker(NamedTuple):
    """A blob whose existence carries information."""

    content: bytes

    @property
    def blob_id(self) -> str:
        """The id under which servers store the blob."""
        return hashlib.sha256(self.content).hexdigest()


class RunNote(NamedTuple):
    """The name of the marker of a run: its id, and the digest of the arguments that it was created with."""

    run_id: str
    digest: str

    @property
    def name(self) -> str:
        """The name to store."""
        return f"{self.run_id} {self.digest}"

    @classmethod
    def read(cls, name: str | None) -> RunNote | None:
        """Read the name of a marker; None if the marker was not stored, or by something else."""
        run_id, _, digest = (name or "").partition(" ")
        return cls(run_id, digest) if run_id and digest else None


def check_key(key: object, what: str = "idempotency_key") -> str:
    """Check a caller's key, or a scope of keys, and return it.

    Raises:
        InvalidArgumentError: If it is not a text of 1 to 512 characters.
    """
    text = check_text(key, what)
    if len(text) > _MAX_LENGTH:
        raise InvalidArgumentError(f"{what} has {len(text)} characters; {_MAX_LENGTH} are allowed")
    return text


def make_scoped_key(scope: str, key: str) -> str:
    """Return a text that only this scope with this key has, and no id of a flow."""
    return json.dumps([scope, key])


def make_tag(key: str, scope: str | None) -> str:
    """Return the tag of the flow that runs under a key. The colon distinguishes it from the tags of clients."""
    return f"key:{key}" if scope is None else f"scoped-key:{make_scoped_key(scope, key)}"


def make_marker(subject: str, *parts: str | int) -> Marker:
    """Return a marker of a key.

    Args:
        subject: What has one run: the id of the flow with the tag of the key, or a `make_scoped_key`.
        *parts: What the marker is about; `run` for the run of the key, else one of the marks of `key_lock`.
    """
    return Marker("\n".join(["stepflow-client idempotency key", subject, *map(str, parts)]).encode())


def make_rerun_scope(run_id: str, part: int) -> str:
    """Return the scope of the keys of a rerun of a run, for one of the runs that it consists of."""
    return f"rerun of {run_id}" + (f", part {part + 1}" if part else "")


def hash_arguments(arguments: RunArguments, declared: Mapping[str, FlowVariable], origin: Origin | None = None) -> str:
    """Return a digest of the input, variables and overrides of a run.

    Values of secret variables are left out, because short ones could be guessed from the digest. 1 and 1.0 give the
    same digest.

    Args:
        arguments: The arguments of the run.
        declared: The variables that the flow declares.
        origin: For a rerun, the earlier run: the digest includes its items and the names of the kept steps.
    """
    hidden = {name for name, variable in declared.items() if variable.is_secret}
    variables = {name: value for name, value in arguments.variables.items() if name not in hidden}
    # A copy, because `restored` changes its argument.
    rerun = [] if origin is None else [[[*origin.items], sorted(origin.kept)]]
    content = restore_integers(json.loads(json.dumps([arguments.inputs, variables, arguments.overrides or {}, *rerun])))
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

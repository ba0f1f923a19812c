"""Flow arguments: which values count as a flow, and how each is read."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from os import PathLike, fsdecode
from typing import Any, TypeAlias

from .._base.text import cut
from .._data.json_encoding import Builder, FlowLike, HasSteps, StoredFlowId, call_builder, is_data_object
from .._data.values import check_json
from ..errors import FlowFileError, InvalidArgumentError, NotAFlowError
from .file import load_file

FlowSource: TypeAlias = str | PathLike[str] | Mapping[str, Any] | FlowLike | HasSteps | Builder
"""A flow: the path of a YAML or JSON file, the flow itself, or a stored flow.

The flow itself is a mapping with `steps` or `output`; an object with `steps`: a pydantic model, a dataclass, an attrs
object or a msgspec struct; a flow of `stepflow_client.authoring` or `stepflow codegen`; or a builder, whose method
`build` returns one of these. A stored flow is what `get_flow` or `get_run_flow` returned, or, if the method accepts a
flow that is only on the server, what `store_flow` returned, or the text of its id.

An object with a method `__flow__` stands for the flow that the method returns.
"""

FLOW_HINT = "a flow has steps: [...] and output: ..."
"""The hint of errors about something that is not a flow."""

_FLOW_ID = re.compile("[0-9a-f]{64}")
_OWN = ("stepflow_client", "stepflow_api")
# Keys of a flow that other documents have as well.
_LIKE_OTHERS = frozenset({"name", "description", "version", "metadata", "schema", "$schema"})
# Files of other tools, by keys that they have.
_OTHER_FILES = {
    "on jobs": "a GitHub Actions workflow",
    "apiVersion kind": "a Kubernetes manifest",
    "services": "a Docker Compose file",
    "nodes connections": "an n8n workflow",
    "graphs dependencies": "a LangGraph configuration",
    "openapi paths": "an OpenAPI description",
    "plugins routes": "the configuration of a server",
}


def is_flow_id(flow: object) -> bool:
    """Return whether this is the id of a stored flow: a str of 64 lowercase hexadecimal digits that is not a file name.

    All releases use such ids. If a file has such a name, the name means the file; a path that is not a
    str always means a file. (A name that begins with `./` is always a path.)
    """
    return isinstance(flow, str) and _FLOW_ID.fullmatch(flow) is not None and not os.path.lexists(flow)


def flow_argument(flow: FlowSource) -> FlowSource:
    """Return the flow that an argument means: a `StoredFlowId`, the path of a file, a mapping, or a data object.

    Raises:
        FlowFileError: If the function of a flow in Python is invalid.
        InvalidArgumentError: If the argument is not a flow.
    """
    # The usual arguments need no further checks: this is the hot path.
    if type(flow) is dict:
        return flow
    stands_for = getattr(type(flow), "__flow__", None)
    try:
        if stands_for is not None:
            source = flow_argument(stands_for(flow))
        else:
            source = flow if isinstance(flow, str) else call_builder(flow)
    except (FlowFileError, InvalidArgumentError):
        # For example, an error that says where the function of a flow in Python is wrong.
        raise
    except Exception as error:
        raise InvalidArgumentError(f"{type(flow).__name__} built no flow: {error}", hint=FLOW_HINT) from error
    if isinstance(source, str):
        if "\n" in source:
            raise InvalidArgumentError("a flow given as text is taken for a path; parse it first and pass the mapping")
        return StoredFlowId(source) if _FLOW_ID.fullmatch(source) and is_flow_id(source) else source
    if isinstance(source, (PathLike, Mapping)):
        return source
    # Results, for example, have an output, and lists of a run's steps have steps.
    if is_data_object(source) and type(source).__module__.partition(".")[0] not in _OWN:
        return source
    raise InvalidArgumentError(
        f"a flow is a path, a mapping, a builder, or an object with steps, not {type(source).__name__}", hint=FLOW_HINT
    )


def get_flow_path(flow: FlowSource) -> str | PathLike[str] | None:
    """Return the path of a flow; None if the flow is not in a file of its own.

    Raises:
        FlowFileError, InvalidArgumentError: As for `flow_argument`.
    """
    source = flow_argument(flow)
    return source if isinstance(source, (str, PathLike)) and not isinstance(source, StoredFlowId) else None


def load_flow(flow: FlowSource) -> dict[str, Any]:
    """Return a flow as a dict. Optional fields of objects that have no value are left out.

    Raises:
        FlowFileError: If the file cannot be read, or contains no flow (a NotAFlowError).
        InvalidArgumentError: If the argument is not a flow, or is the id of a stored one.
    """
    source = flow_argument(flow)
    if isinstance(source, StoredFlowId):
        raise InvalidArgumentError(
            "the id of a stored flow is not the flow itself", hint="pass what get_flow() returns for the id"
        )
    if isinstance(source, (str, PathLike)):
        return flow_in(load_file(source), fsdecode(source))
    content: Any = source
    if not isinstance(source, Mapping):
        content = check_json(source, "the flow")
        if not isinstance(content, dict):
            raise InvalidArgumentError(
                f"{type(source).__name__} is not a flow: it gives {_name_kind(content)}, not a mapping", hint=FLOW_HINT
            )
        content = _drop_nulls(content)
    reason = explain_no_flow(content)
    if reason is not None:
        name = "" if isinstance(source, Mapping) else f"{type(source).__name__}: "
        raise InvalidArgumentError(f"{name}{reason[0]}", hint=reason[1])
    return dict(content)


def flow_in(content: Any, name: str) -> dict[str, Any]:
    """Return the content of a file, which must be a flow.

    Args:
        content: The parsed content.
        name: The path of the file, or another name for it in the error.

    Raises:
        NotAFlowError: If it is not.
    """
    if not isinstance(content, dict):
        message, hint = f"{name} is not a flow: it holds {_name_kind(content)}, not a mapping", FLOW_HINT
    elif (reason := explain_no_flow(content)) is not None:
        message, hint = f"{name}: {reason[0]}", reason[1]
    else:
        return content
    error = NotAFlowError(message, path=name)
    error.hint = hint
    raise error


def explain_no_flow(document: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return why a mapping is not a flow, although servers run it as an empty flow, and a hint; None if it is one."""
    if "steps" in document or "output" in document:
        return None
    if isinstance(document.get("flow"), Mapping):
        return "the flow is below the key 'flow'", f"remove the key 'flow': {FLOW_HINT}"
    keys = [key for key in document if key not in _LIKE_OTHERS] or list(document)
    has = ", ".join(cut(repr(key), 40) for key in keys[:4])
    what = next((name for marks, name in _OTHER_FILES.items() if document.keys() >= {*marks.split()}), None)
    found = f"has {has}, but neither steps nor output" if keys else "is empty"
    return f"this is {f'{what}, not a flow' if what else 'not a flow'}: it {found}", FLOW_HINT


def _name_kind(value: Any) -> str:
    if value is None:
        return "nothing"
    return {str: "text", list: "a list", bool: "a boolean"}.get(type(value), "a number")


def _drop_nulls(flow: dict[str, Any]) -> dict[str, Any]:
    """Return a flow without optional keys that are null.

    Servers treat null like a missing key, but those before 0.11 reject some nulls. Values inside inputs and outputs are
    not changed.
    """
    whole: dict[str, Any] = _drop_null_keys(flow)
    for key, inner in (("steps", "onError"), ("examples", None)):
        if isinstance(whole.get(key), list):
            whole[key] = [_drop_null_keys(each, inner) for each in whole[key]]
    for key, inner in (("schemas", "properties"), ("test", None)):
        if key in whole:
            whole[key] = _drop_null_keys(whole[key], inner)
    test = whole.get("test")
    if isinstance(test, dict) and isinstance(test.get("cases"), list):
        test["cases"] = [_drop_null_keys(case) for case in test["cases"]]
    return whole


def _drop_null_keys(value: Any, inner: str | None = None) -> Any:
    if not isinstance(value, dict):
        return value
    # Servers reject an example without an input, but not one whose input is null.
    kept = {key: part for key, part in value.items() if part is not None or key == "input"}
    if inner in kept:
        kept[inner] = _drop_null_keys(kept[inner])
    return kept

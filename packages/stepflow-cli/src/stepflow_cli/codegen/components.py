"""Which components functions are written for, and where they are known from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from stepflow_client.flows.components import BUILTINS

from ..errors import usage
from ..output.messages import note
from .stubs import Stub, Stubs

_SHIPPED = "/builtin/"
_MAX_NAMED = 3


def write_stubs(records: Iterable[Mapping[str, Any]], only: Sequence[str]) -> str:
    """Return the source of a module with a function for each component.

    Args:
        records: The components, as JSON objects of `ComponentInfo`.
        only: Globs for their paths. Without any, all but the builtin ones, which the client has functions for.

    Raises:
        Problem: If there is none.
    """
    found = {stub.path: stub for stub in map(_stub, records)}
    _tell_guessed([each for each in found.values() if each.is_guessed], only)
    chosen = [stub for path, stub in found.items() if _is_chosen(path, only)]
    for glob in only:
        if not any(fnmatchcase(path, glob) for path in found):
            raise usage(f"no component matches --only {glob}", "'components list' lists them")
    if not chosen:
        raise usage(
            "there are no components but the builtin ones",
            "flows in Python have these already: from stepflow_client.authoring import builtin",
        )
    stubs = Stubs()
    source = stubs.module(chosen)
    for message in stubs.unread.values():
        note(f"{message}; any value is taken there")
    return source


def _is_chosen(path: str, only: Sequence[str]) -> bool:
    return any(fnmatchcase(path, glob) for glob in only) if only else not path.startswith(_SHIPPED)


def _tell_guessed(guessed: Sequence[Stub], only: Sequence[str]) -> None:
    names = sorted(each.path for each in guessed if _is_chosen(each.path, only) and not each.path.startswith(_SHIPPED))
    if names:
        shown = ", ".join(names[:_MAX_NAMED]) + (", ..." if len(names) > _MAX_NAMED else "")
        note(
            f"servers do not report routes: the components of each plugin are taken for those behind /PLUGIN: {shown}; "
            "with --local the routes are known"
        )


def _stub(record: Mapping[str, Any]) -> Stub:
    path = record.get("path")
    name = str(record["name"]).strip("/")
    guess = f"/{record['plugin']}/{name}" if record.get("plugin") else f"/{name}"
    made = Stub(str(path or guess), record.get("description"), record.get("input_schema"), record.get("output_schema"))
    return _detailed(made)._replace(is_guessed=not path)


def _detailed(stub: Stub) -> Stub:
    """Return a builtin component with the schemas of this package, which say more than those that servers send."""
    if stub.path not in BUILTINS:
        return stub
    known = zip(BUILTINS[stub.path], (stub.input_schema, stub.output_schema), strict=True)
    given, returned = (_described(own, sent) if own else sent for own, sent in known)
    return stub._replace(input_schema=given, output_schema=returned)


def _described(schema: Mapping[str, Any], sent: Any) -> dict[str, Any]:
    """Return a schema with the descriptions of another one of the same object."""
    said = sent.get("properties") if isinstance(sent, Mapping) else None
    texts = {
        key: each["description"]
        for key, each in (said.items() if isinstance(said, Mapping) else ())
        if isinstance(each, Mapping) and "description" in each
    }
    described = {
        key: {**each, "description": texts[key]} if key in texts else each
        for key, each in schema.get("properties", {}).items()
    }
    return {**schema, "properties": described} if described else dict(schema)

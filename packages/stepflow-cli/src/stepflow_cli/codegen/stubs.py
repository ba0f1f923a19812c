"""The module of typed functions that is written for components, for flows in Python."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import Problem
from .docstrings import docstring
from .names import Names, camel_name, is_reserved, plain_name
from .python_types import Field, PythonTypes, literal, python_names
from .references import OpenPlace
from .schemas import Schemas

_HEAD = '''"""Components as functions, for flows in Python.

Written by `stepflow codegen --components`; write it again if the components change.
"""

from __future__ import annotations

'''
_IMPORTS = {
    "collections.abc": ("Mapping", "Sequence"),
    "dataclasses": ("dataclass",),
    "typing": ("Annotated", "Any", "Literal", "NotRequired", "Protocol", "TypeAlias", "TypedDict"),
    "stepflow_client.authoring": ("Name", "OnError", "component"),
}
_OPTIONS = ("step", "on_error", "must_execute", "metadata")
"""Arguments of each function that are about the step."""
_RESERVED = {name for names in _IMPORTS.values() for name in names}
_OF_AUTHORING = {"/builtin/map": "each", "/builtin/iterate": "iterate"}
"""Components whose sub-flows are functions of `stepflow_client.authoring`."""


class Stub(NamedTuple):
    """A component."""

    path: str
    """As it is written in flows."""
    description: str | None
    input_schema: Any
    output_schema: Any
    is_guessed: bool = False
    """Whether the path is a guess: servers do not report routes."""


class Stubs:
    """Writes functions for components."""

    def __init__(self) -> None:
        """Start with the names that mean something else."""
        names = Names(_RESERVED)
        self._names = names
        # The classes of inputs get further names.
        self._inputs, self._outputs = Schemas(Names()), Schemas(names)
        self._types_of_input = PythonTypes(self._inputs.named, names, is_input=True)
        self._types_of_output = PythonTypes(self._outputs.named, names, is_input=False)
        self.unread: dict[str, str] = {}
        """Why schemas were left out, by the paths of their components."""

    def module(self, components: Iterable[Stub]) -> str:
        """Return the source of a module with a function for each component. It does not depend on their order."""
        chosen = sorted(each for each in components if each.path not in _OF_AUTHORING)
        names = self._function_names([each.path for each in chosen])
        parts = [part for each in chosen for part in self._component(each, names[each.path])]
        body = "\n\n".join(parts)
        return f"{_HEAD}{_imports(body)}{'' if not body else chr(10) * 2}{body}"

    def _function_names(self, paths: Sequence[str]) -> dict[str, str]:
        """Return the names of functions: the last part of the path; for several, the whole path."""
        lasts = [plain_name(path.rpartition("/")[2], "component") for path in paths]
        found = {}
        for path, last in zip(paths, lasts, strict=True):
            name = last if lasts.count(last) == 1 else plain_name(path, "component")
            found[path] = self._names.take(f"{name}_" if is_reserved(name) else name)
        return found

    def _component(self, stub: Stub, name: str) -> Iterator[str]:
        """Yield the sources of the classes of a component, and of its function."""
        prefix = camel_name(name)
        given = self._read(self._inputs, stub, stub.input_schema, f"{prefix}Input")
        returned = self._read(self._outputs, stub, stub.output_schema, f"{prefix}Output")
        output = self._types_of_output.text(returned)
        arguments, said = self._arguments(given, output)
        yield from self._types_of_input.classes()
        yield from self._types_of_output.classes()
        listed = "".join(f"    {each},\n" for each in arguments)
        body = docstring(stub.description, "    ", said)
        head = f"@component({literal(stub.path)})\ndef {name}(\n{listed}) -> {output}:\n"
        yield f"{head}{body}    raise NotImplementedError\n"

    def _read(self, schemas: Schemas, stub: Stub, schema: Any, name: str) -> dict[str, Any]:
        """Return a schema in the form used for generation; one that is wrong says nothing."""
        try:
            return schemas.read(schema if schema is not None else {}, name, OpenPlace(stub.path, schema, {}))
        except Problem as problem:
            self.unread[stub.path] = problem.message
        except RecursionError:
            self.unread[stub.path] = f"{stub.path}: the schema is nested too deeply"
        return {}

    def _arguments(self, given: Mapping[str, Any], output: str) -> tuple[list[str], list[tuple[str, object]]]:
        """Return the parameters of a function, and what is said of them."""
        fields = self._fields(given)
        options = [
            "step: str | None = None",
            f"on_error: OnError[{output}] | None = None",
            "must_execute: bool = False",
            "metadata: Mapping[str, Any] | None = None",
        ]
        if fields is not None:
            written = [f"{each.name}: {each.annotation(each.kind)}" for each in fields if each.is_required]
            written += [
                f"{each.name}: {each.annotation(each.optional_kind)} = None" for each in fields if not each.is_required
            ]
            return ["*", *written, *options], [(each.name, each.description) for each in fields]
        kind = self._types_of_input.text(given)
        if kind == "Any":
            return ["*", *options, "**input: Any"], []
        if kind.startswith("Mapping[str, "):
            return ["*", *options, f"**input: {kind.removeprefix('Mapping[str, ').removesuffix(']')}"], []
        return [f"given: {kind}", "/", "*", *options], [("given", given.get("description"))]

    def _fields(self, given: Mapping[str, Any]) -> list[Field] | None:
        """Return the fields of an input; None if it is no object with known fields."""
        name = str(given.get("$ref", "")).rpartition("/")[2]
        schema = self._inputs.named.get(name, {})
        if "properties" not in schema:
            return None
        names = python_names(schema["properties"], _OPTIONS)
        fields = self._types_of_input.fields(schema)
        for each in fields:
            each.name = names[each.key]
        return fields


def _imports(body: str) -> str:
    """Return the imports that the source of a module needs."""
    words = set(re.findall(r"\w+", body))
    blocks: list[list[str]] = [[], []]
    for module, names in _IMPORTS.items():
        used = [name for name in names if name in words]
        if used:
            blocks[module.startswith("stepflow")].append(f"from {module} import {', '.join(used)}\n")
    return "\n".join("".join(each) for each in blocks if each)

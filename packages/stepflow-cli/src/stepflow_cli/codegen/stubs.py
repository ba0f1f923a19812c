"""The module of typed functions that is written for components, for flows in Python."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import Problem
from .docstrings import docstring
from .names import Names, camel_name, is_reserved, plain_name
from .python_types import Field, PythonTypes, literal, python_names
from .references import OpenPlace
from .schemas import Schemas

_HEAD = '''"""Components as functions, for flows in Python.

Written by `stepflow components stubs`; write it again if the components change.
"""

from __future__ import annotations

'''
_IMPORTS = {
    "collections.abc": ("Mapping", "Sequence"),
    "dataclasses": ("dataclass",),
    "typing": ("Annotated", "Any", "Literal", "NotRequired", "Protocol", "TypeAlias", "TypedDict"),
    "stepflow_client.authoring": ("Name", "OnError", "component"),
}
_OPTION_NAMES = ("step", "on_error", "must_execute", "metadata")
"""Arguments of each function that are about the step."""
_OPTIONS = """\
step: str | None = None
on_error: OnError[{output}] | None = None
must_execute: bool = False
metadata: Mapping[str, Any] | None = None
"""
_RESERVED = {name for names in _IMPORTS.values() for name in names}
_INSTALLED = ("pydantic", "stepflow_client.authoring")
_WIDTH = 88
"""Maximum length of an import in one line."""
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
        self._names = names = Names(_RESERVED)
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
        parts = [part for each in chosen for part in self._function(each, names[each.path])]
        body = "\n\n".join(parts)
        return f"{_HEAD}{_imports_of(body)}{'' if not body else chr(10) * 2}{body}"

    def _function_names(self, paths: Sequence[str]) -> dict[str, str]:
        """Return the names of functions: the last part of the path; for several, the whole path."""
        lasts = [plain_name(path.rpartition("/")[2], "component") for path in paths]
        found = {}
        for path, last in zip(paths, lasts, strict=True):
            name = last if lasts.count(last) == 1 else plain_name(path, "component")
            found[path] = self._names.take(f"{name}_" if is_reserved(name) else name)
        return found

    def _function(self, stub: Stub, name: str) -> list[str]:
        """Return the source of the function of a component, after those of the classes that only it needs so far."""
        prefix = camel_name(name)
        given = self._read(self._inputs, stub, stub.input_schema, f"{prefix}Input")
        returned = self._read(self._outputs, stub, stub.output_schema, f"{prefix}Output")
        output = self._types_of_output.text(returned)
        fields = self._fields(given)
        arguments = self._arguments(fields, given)
        said = [(each.name, each.description) for each in fields or ()]
        classes = [*self._types_of_input.classes(), *self._types_of_output.classes()]
        return [*classes, _source(stub, name, arguments, output, said)]

    def _read(self, schemas: Schemas, stub: Stub, schema: Any, name: str) -> dict[str, Any]:
        """Return a schema in the form used for generation; one that is wrong says nothing."""
        try:
            return schemas.read(schema if schema is not None else {}, name, OpenPlace(stub.path, schema, {}))
        except Problem as problem:
            self.unread[stub.path] = problem.message
        except RecursionError:
            self.unread[stub.path] = f"{stub.path}: the schema is nested too deeply"
        return {}

    def _arguments(self, fields: list[Field] | None, given: Mapping[str, Any]) -> list[str]:
        """Return the parameters of a function for its input."""
        if fields is not None:
            written = [f"{each.name}: {each.annotation(each.kind)}" for each in fields if each.is_required]
            optional = [each for each in fields if not each.is_required]
            return ["*", *written, *(f"{each.name}: {each.annotation(each.optional_kind)} = None" for each in optional)]
        kind = self._types_of_input.text(given)
        if kind == "Any":
            return ["*", "**input: Any"]
        if kind.startswith("Mapping[str, "):
            return ["*", f"**input: {kind.removeprefix('Mapping[str, ').removesuffix(']')}"]
        return [f"given: {kind}", "/", "*"]

    def _fields(self, given: Mapping[str, Any]) -> list[Field] | None:
        """Return the fields of an input; None if it is no object with known fields."""
        name = str(given.get("$ref", "")).rpartition("/")[2]
        schema = self._inputs.named.get(name, {})
        if "properties" not in schema:
            return None
        names = python_names(schema["properties"], _OPTION_NAMES)
        fields = self._types_of_input.fields(schema)
        for each in fields:
            each.name = names[each.key]
        return fields


def _source(stub: Stub, name: str, arguments: Sequence[str], output: str, said: Sequence[tuple[str, object]]) -> str:
    """Return the source of a function.

    Args:
        stub: The component.
        name: The name of the function.
        arguments: Its parameters for the input.
        output: The type that it returns.
        said: The names of its parameters, and their descriptions.
    """
    options = _OPTIONS.format(output=output).splitlines()
    # Any further arguments come last.
    last = 1 if arguments[-1].startswith("**") else 0
    listed = [*arguments[: len(arguments) - last], *options, *arguments[len(arguments) - last :]]
    head = f"@component({literal(stub.path)})\ndef {name}(\n{''.join(f'    {each},{chr(10)}' for each in listed)})"
    return f"{head} -> {output}:\n{docstring(stub.description, '    ', said)}    raise NotImplementedError\n"


def _imports_of(body: str) -> str:
    """Return the imports that the source of a module needs."""
    words = _names_in(body)
    blocks: list[list[str]] = [[], []]
    for module in sorted(_IMPORTS):
        used = [name for name in _IMPORTS[module] if name in words]
        if used:
            line = f"from {module} import {', '.join(used)}\n"
            listed = "".join(f"    {name},\n" for name in used)
            blocks[module in _INSTALLED].append(line if len(line) <= _WIDTH else f"from {module} import (\n{listed})\n")
    return "\n".join("".join(each) for each in blocks if each)


def _names_in(body: str) -> set[str]:
    """Return the names that the source of a module uses, also in types that are texts."""
    found = set()
    for node in ast.walk(ast.parse(body)):
        match node:
            case ast.Name(id=name):
                found.add(name)
            case ast.AnnAssign(annotation=ast.Name("TypeAlias"), value=ast.Constant(str(text))):
                found |= {*re.findall(r"\w+", text)}
            case ast.Call(func=ast.Name("TypedDict"), args=[_, ast.Dict(values=values)]):
                found |= {word for each in values for word in re.findall(r"\w+", ast.unparse(each))}
    return found

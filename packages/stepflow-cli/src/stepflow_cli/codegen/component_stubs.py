"""Generate a module with a typed function for each component, for use in Python flows."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from stepflow_client.flows.components import BUILTINS

from ..errors import Problem, usage
from ..output.messages import note
from .normalized_schemas import LenientSchemaDocument, NamedSchemas
from .python_names import RESERVED_NAMES, UniqueNames, make_snake_case_name, to_camel_case
from .python_types import PythonTypeGenerator, choose_field_names, format_docstring, python_literal

_MODULE_HEADER = '''"""Components as functions, for flows in Python.

Written by `stepflow components stubs`; write it again if the components change.
"""

from __future__ import annotations

'''
_NAMES_BY_MODULE = {
    "collections.abc": ("Mapping", "Sequence"),
    "dataclasses": ("dataclass",),
    "typing": ("Annotated", "Any", "Literal", "NotRequired", "Protocol", "TypeAlias", "TypedDict"),
    "stepflow_client.authoring": ("Name", "OnError", "component"),
}
# Every function also accepts these arguments, which configure the step itself.
_OPTION_NAMES = ("step", "on_error", "must_execute", "metadata")
_OPTION_PARAMETERS = """\
step: str | None = None
on_error: OnError[{output}] | None = None
must_execute: bool = False
metadata: Mapping[str, Any] | None = None
"""
_RESERVED_NAMES = {name for names in _NAMES_BY_MODULE.values() for name in names}
_INSTALLED = ("pydantic", "stepflow_client.authoring")
# Maximum length of a single-line import.
_WIDTH = 88
# Skip these components: `stepflow_client.authoring` already provides them as `each` and `iterate`.
_SKIPPED_COMPONENTS = ("/builtin/map", "/builtin/iterate")
_BUILTIN_PREFIX = "/builtin/"
_MAX_NAMED = 3


class ComponentStub(NamedTuple):
    """A component for which a function is generated."""

    path: str
    """The path that flows refer to."""
    description: str | None
    input_schema: Any
    output_schema: Any
    is_guessed: bool = False
    """True if the path is a guess because the server doesn't report its routes."""

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> ComponentStub:
        """Create a stub from a `ComponentInfo` JSON object."""
        name = str(record["name"]).strip("/")
        guess = f"/{record['plugin']}/{name}" if record.get("plugin") else f"/{name}"
        path = str(record.get("path") or guess)
        given, returned = record.get("input_schema"), record.get("output_schema")
        if path in BUILTINS:
            # Our own schemas are more precise than the server's, so we only take the descriptions from the server.
            own_given, own_returned = BUILTINS[path]
            given = _copy_field_descriptions(own_given, given) if own_given else given
            returned = _copy_field_descriptions(own_returned, returned) if own_returned else returned
        return cls(path, record.get("description"), given, returned, is_guessed=not record.get("path"))


def _copy_field_descriptions(schema: Mapping[str, Any], sent: Any) -> dict[str, Any]:
    """Combine our own schema (more precise) with the server's field descriptions (better written)."""
    sent_fields = sent.get("properties") if isinstance(sent, Mapping) else None
    fields = {}
    for key, each in schema.get("properties", {}).items():
        other = sent_fields.get(key) if isinstance(sent_fields, Mapping) else None
        if isinstance(other, Mapping) and "description" in other:
            each = {**each, "description": other["description"]}
        fields[key] = each
    return {**schema, "properties": fields} if fields else dict(schema)


def generate_stubs(records: Iterable[Mapping[str, Any]], only: Sequence[str]) -> str:
    """Generate a module with a function for each component.

    Args:
        records: The components as `ComponentInfo` JSON objects.
        only: Glob patterns for component paths. The default is every component except the builtin ones, which the
            client already provides.

    Raises:
        Problem: If no component matches.
    """
    stubs = {stub.path: stub for stub in map(ComponentStub.from_record, records)}

    def is_chosen(path: str) -> bool:
        return any(fnmatchcase(path, glob) for glob in only) if only else not path.startswith(_BUILTIN_PREFIX)

    paths = [path for path, stub in stubs.items() if stub.is_guessed and not path.startswith(_BUILTIN_PREFIX)]
    guessed = sorted(filter(is_chosen, paths))
    if guessed:
        shown = ", ".join(guessed[:_MAX_NAMED]) + (", ..." if len(guessed) > _MAX_NAMED else "")
        note(
            f"servers do not report routes, so each plugin's components are assumed to be under /PLUGIN: {shown}; use "
            "--local to read routes from a configuration"
        )
    for glob in only:
        if not any(fnmatchcase(path, glob) for path in stubs):
            raise usage(f"no component matches --only {glob}", "to list components, run 'stepflow components list'")
    chosen = [stub for path, stub in stubs.items() if is_chosen(path)]
    if not chosen:
        raise usage("found only builtin components", "for these, use: from stepflow_client.authoring import builtin")
    writer = _StubWriter()
    source = writer.generate_stub_module(chosen)
    for message in writer.invalid_schemas.values():
        note(f"{message}; any value is accepted there")
    return source


class _StubWriter:
    def __init__(self) -> None:
        self._names = names = UniqueNames(_RESERVED_NAMES)
        # Input classes are renamed later, so they don't need to reserve names in the module.
        self._inputs, self._outputs = NamedSchemas(UniqueNames()), NamedSchemas(names)
        self._input_types = PythonTypeGenerator(self._inputs.named, names, is_input=True)
        self._output_types = PythonTypeGenerator(self._outputs.named, names, is_input=False)
        self.invalid_schemas: dict[str, str] = {}
        """Why a component's schema was ignored, by component path."""

    def generate_stub_module(self, components: Iterable[ComponentStub]) -> str:
        """Generate the module. The order in which the server lists the components doesn't affect the result."""
        chosen = sorted(component for component in components if component.path not in _SKIPPED_COMPONENTS)
        # Name each function after the last part of its path, or after the whole path if the last part is ambiguous.
        lasts = [make_snake_case_name(stub.path.rpartition("/")[2], "component") for stub in chosen]
        names = []
        for stub, last in zip(chosen, lasts, strict=True):
            name = last if lasts.count(last) == 1 else make_snake_case_name(stub.path, "component")
            names.append(self._names.make_unique(f"{name}_" if name in RESERVED_NAMES else name))
        parts = [part for stub, name in zip(chosen, names, strict=True) for part in self._generate_function(stub, name)]
        body = "\n\n".join(parts)
        return f"{_MODULE_HEADER}{_generate_imports(body)}{'' if not body else chr(10) * 2}{body}"

    def _generate_function(self, stub: ComponentStub, name: str) -> list[str]:
        """Return the function's source code, preceded by any classes it needs that haven't been generated yet."""
        prefix = to_camel_case(name)
        given = self._normalize_or_any(self._inputs, stub, stub.input_schema, f"{prefix}Input")
        returned = self._normalize_or_any(self._outputs, stub, stub.output_schema, f"{prefix}Output")
        output = self._output_types.annotate(returned)
        schema = self._inputs.named.get(str(given.get("$ref", "")).rpartition("/")[2], {})
        descriptions: list[tuple[str, object]] = []
        options = _OPTION_PARAMETERS.format(output=output).splitlines()
        if "properties" in schema:
            names = choose_field_names(schema["properties"], _OPTION_NAMES)
            parameters = ["*"]
            for field in self._input_types.list_fields(schema):
                field.python_name = names[field.json_name]
                kind = field.annotate_json_name(field.kind if field.is_required else field.optional_type)
                parameters.append(f"{field.python_name}: {kind}{'' if field.is_required else ' = None'}")
                descriptions.append((field.python_name, field.description))
            parameters += options
        else:
            kind = self._input_types.annotate(given)
            if kind == "Any" or kind.startswith("Mapping[str, "):
                value = kind.removeprefix("Mapping[str, ").removesuffix("]")
                parameters = ["*", *options, f"**input: {value}"]
            else:
                parameters = [f"given: {kind}", "/", "*", *options]
        listed = "".join(f"    {parameter},\n" for parameter in parameters)
        documentation = format_docstring(stub.description, descriptions)
        head = f"@component({python_literal(stub.path)})\ndef {name}(\n{listed}) -> {output}:\n"
        classes = [*self._input_types.generate_pending_classes(), *self._output_types.generate_pending_classes()]
        return [*classes, f"{head}{documentation}    raise NotImplementedError\n"]

    def _normalize_or_any(self, schemas: NamedSchemas, stub: ComponentStub, schema: Any, name: str) -> dict[str, Any]:
        """Normalize a schema. If it's invalid, allow any value so that the other components still get stubs."""
        try:
            return schemas.normalize_schema(
                schema if schema is not None else {}, name, LenientSchemaDocument(stub.path, schema, {})
            )
        except Problem as problem:
            self.invalid_schemas[stub.path] = problem.message
        except RecursionError:
            self.invalid_schemas[stub.path] = f"{stub.path}: the schema is nested too deeply"
        return {}


def _generate_imports(body: str) -> str:
    """Return import statements for the names used in the module."""
    words = set()
    for node in ast.walk(ast.parse(body)):
        match node:
            case ast.Name(id=name):
                words.add(name)
            # Also collect type names that appear inside strings.
            case ast.AnnAssign(annotation=ast.Name("TypeAlias"), value=ast.Constant(str(text))):
                words |= {*re.findall(r"\w+", text)}
            case ast.Call(func=ast.Name("TypedDict"), args=[_, ast.Dict(values=values)]):
                words |= {word for value in values for word in re.findall(r"\w+", ast.unparse(value))}
    blocks: list[list[str]] = [[], []]
    for module in sorted(_NAMES_BY_MODULE):
        used = [name for name in _NAMES_BY_MODULE[module] if name in words]
        if used:
            line = f"from {module} import {', '.join(used)}\n"
            listed = "".join(f"    {name},\n" for name in used)
            blocks[module in _INSTALLED].append(line if len(line) <= _WIDTH else f"from {module} import (\n{listed})\n")
    return "\n".join("".join(block) for block in blocks if block)

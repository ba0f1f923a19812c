"""Convert schemas to Python types with no runtime dependencies: TypedDicts, protocols and dataclasses.

A component accepts either a dict or any object with matching attributes, and it returns an object with attributes.
"""

from __future__ import annotations

import keyword
import textwrap
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stepflow_client.flows.json_schema import get_type_names

from ..output.colors_and_escaping import escape_lines_for_terminal
from .normalized_schemas import SCHEMA_REF_PREFIX
from .python_names import UniqueNames, make_snake_case_name

_SCALAR_TYPES = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
# Names used in annotations.
_ANNOTATION_NAMES = {
    "str", "int", "float", "bool", "list", "dict", "tuple", "property", "Any", "Literal", "Annotated", "Name",
    "NotRequired", "Mapping", "Sequence",
}  # fmt: skip
# Python and notebooks automatically look up attributes with these prefixes.
_MAGIC_PREFIXES = ("__", "_repr_", "_ipython_")
_DOCSTRING_WIDTH = 100


class PythonTypeGenerator:
    """Generates type annotations along with the classes that they depend on.

    Args:
        named: The schemas by class name, in the form used for code generation.
        names: The names already used in the module.
        is_input: True if the types are for component inputs, or False for outputs.
    """

    def __init__(self, named: Mapping[str, Any], names: UniqueNames, *, is_input: bool) -> None:
        self._named, self._names, self._is_input = named, names, is_input
        self._final_names: dict[str, str] = {}
        self._written_names: set[str] = set()
        self._waiting_names: list[str] = []
        self._enclosing_names: list[str] = []

    def annotate(self, schema: Mapping[str, Any]) -> str:
        """Return the type annotation for a schema."""
        return " | ".join(dict.fromkeys(self._iter_annotations(schema)))

    def generate_pending_classes(self) -> Iterator[str]:
        """Yield the source code of each class that has been referenced since the last call but not generated yet."""
        while self._waiting_names:
            name = self._waiting_names.pop(0)
            yield self._generate_class(name) if self._is_object(name) else self._generate_alias(name)

    def list_fields(self, schema: Mapping[str, Any]) -> list[Field]:
        """Return an object's fields, with the required ones first.

        Optional fields are sorted because servers return them in a different order each time.
        """
        required = list(schema.get("required", ()))
        # Inside a class, a field shadows a global of the same name.
        names = choose_field_names(schema["properties"], {*_ANNOTATION_NAMES, *self._named})
        fields = [
            Field(names[key], key, self.annotate(each), key in required, each.get("description"), each.get("default"))
            for key, each in sorted(schema["properties"].items())
        ]
        order = {key: place for place, key in enumerate(required)}
        return sorted(fields, key=lambda field: (order.get(field.json_name, len(order)), field.json_name))

    def _is_object(self, name: str) -> bool:
        return "properties" in self._named[name]

    def _iter_annotations(self, schema: Mapping[str, Any]) -> Iterator[str]:
        if "$ref" in schema:
            yield from self._iter_reference_annotations(schema["$ref"].removeprefix(SCHEMA_REF_PREFIX))
        elif "enum" in schema:
            values = [value for value in schema["enum"] if value is not None]
            if values:
                yield f"Literal[{', '.join(map(python_literal, values))}]"
            if len(values) < len(schema["enum"]):
                yield "None"
        elif "anyOf" in schema:
            options = [option for alternative in schema["anyOf"] for option in self._iter_annotations(alternative)]
            # A union with Any is just Any.
            yield from ["Any"] if "Any" in options else sorted(options, key=lambda member: member == "None")
        else:
            kinds = get_type_names(schema)
            for kind in sorted(kinds, key=lambda word: word == "null"):
                annotate = self._annotate_list if kind == "array" else self._annotate_mapping
                yield _SCALAR_TYPES.get(kind) or annotate(schema)
            if not kinds:
                yield "Any"

    def _iter_reference_annotations(self, name: str) -> Iterator[str]:
        if not self._is_object(name) and name not in self._enclosing_names:
            self._enclosing_names.append(name)
            inner = list(self._iter_annotations(self._named[name]))
            self._enclosing_names.pop()
            if name not in self._written_names:
                yield from inner
                return
        elif name not in self._written_names:
            self._written_names.add(name)
            self._waiting_names.append(name)
        if not self._is_input:
            yield name
        elif self._is_object(name):
            yield self._get_unique_type_name(f"{name}Dict")
            yield self._get_unique_type_name(f"{name}Like")
        else:
            yield self._get_unique_type_name(f"{name}Input")

    def _get_unique_type_name(self, name: str) -> str:
        """Return a unique name for a type. Every call for the same type returns the same name."""
        if name not in self._final_names:
            self._final_names[name] = self._names.make_unique(name)
        return self._final_names[name]

    def _annotate_list(self, schema: Mapping[str, Any]) -> str:
        firsts = schema.get("prefixItems")
        if firsts is not None:
            parts = [self.annotate(schema) for schema in firsts]
            return f"Sequence[{' | '.join(dict.fromkeys(parts))}]" if self._is_input else f"tuple[{', '.join(parts)}]"
        item = self.annotate(schema.get("items", {}))
        # A str is itself a Sequence[str], so require list[str]. For anything else, use Sequence, which is covariant.
        return f"Sequence[{item}]" if self._is_input and item != "str" else f"list[{item}]"

    def _annotate_mapping(self, schema: Mapping[str, Any]) -> str:
        values = schema.get("additionalProperties")
        if not isinstance(values, Mapping) or not values:
            # Accept any object, including class instances.
            return "Any" if self._is_input else "dict[str, Any]"
        return f"{'Mapping' if self._is_input else 'dict'}[str, {self.annotate(values)}]"

    def _generate_alias(self, name: str) -> str:
        self._enclosing_names.append(name)
        inner = self.annotate(self._named[name])
        self._enclosing_names.pop()
        alias = self._get_unique_type_name(f"{name}Input") if self._is_input else name
        return f"{alias}: TypeAlias = {python_literal(inner)}\n"

    def _generate_class(self, name: str) -> str:
        schema = self._named[name]
        fields = self.list_fields(schema)
        description = format_docstring(schema.get("description"))
        description += "\n" if description and fields else ""
        if not self._is_input:
            return _generate_dataclass(name, fields, description)
        typed = _generate_typed_dict(self._get_unique_type_name(f"{name}Dict"), fields, description)
        # The protocol declares only the required fields, or all fields if none are required.
        properties = []
        for field in [field for field in fields if field.is_required] or fields:
            kind = field.kind if field.is_required else field.optional_type
            properties.append(f"    @property\n    def {field.python_name}(self) -> {kind}: ...\n")
        return f"{typed}\n\nclass {self._get_unique_type_name(f'{name}Like')}(Protocol):\n{chr(10).join(properties)}"


@dataclass
class Field:
    """A field of an object."""

    python_name: str
    json_name: str
    kind: str
    """The type annotation."""
    is_required: bool
    description: str | None
    default: Any
    """The default, or None if the field can simply be omitted."""

    @property
    def optional_type(self) -> str:
        """The type annotation, with `| None` added if necessary."""
        return self.kind if self.kind == "Any" or self.kind.endswith("None") else f"{self.kind} | None"

    def annotate_json_name(self, kind: str) -> str:
        """Add the field's JSON name to a type annotation if it differs from the Python name."""
        is_same = self.python_name == self.json_name
        return kind if is_same else f"Annotated[{kind}, Name({python_literal(self.json_name)})]"


def choose_field_names(keys: Iterable[str], taken: Collection[str] = ()) -> dict[str, str]:
    """Choose Python names for an object's fields. Names that are already valid stay unchanged."""

    def is_valid(key: str) -> bool:
        # Allow ASCII only: Python normalizes some other letters, which would change the name.
        is_name = key.isascii() and key.isidentifier() and not keyword.iskeyword(key)
        return is_name and not key.startswith(_MAGIC_PREFIXES) and key not in taken

    keys = sorted(keys)
    names = {key: key for key in keys if is_valid(key)}
    used = {*taken, *names}
    for key in keys:
        if key not in names:
            name = make_snake_case_name(key, "field")
            name = f"{name}_" if name in used or keyword.iskeyword(name) else name
            number, unique = 1, name
            while unique in used:
                number += 1
                unique = f"{name}{number}"
            names[key] = unique
            used.add(unique)
    return names


def python_literal(value: Any) -> str:
    """Like `repr`, but use double quotes for strings unless they contain double quotes themselves."""
    written = repr(value)
    is_final = not isinstance(value, str) or '"' in value or written.startswith('"')
    return written if is_final else f'"{written[1:-1]}"'


def _generate_dataclass(name: str, fields: list[Field], description: str) -> str:
    lines = ["@dataclass(kw_only=True)\n", f"class {name}:\n", description]
    for field in fields:
        # An optional field that has a default is never None, so leave `| None` out of its type.
        kind = field.kind if field.is_required or field.default is not None else field.optional_type
        lines.append(f"    {field.python_name}: {field.annotate_json_name(kind)}")
        has_value = not field.is_required and (field.default is None or isinstance(field.default, (str, int, float)))
        lines.append(f" = {python_literal(field.default)}\n" if has_value else "\n")
        lines.append(format_docstring(field.description))
    if not fields and not description:
        lines.append("    pass\n")
    return "".join(lines)


def _generate_typed_dict(name: str, fields: list[Field], description: str) -> str:
    typed = [(field, field.kind if field.is_required else f"NotRequired[{field.kind}]") for field in fields]
    if all(field.json_name == field.python_name for field in fields):
        lines = (f"    {field.json_name}: {kind}\n{format_docstring(field.description)}" for field, kind in typed)
        body = "".join(lines) or ("" if description else "    pass\n")
        return f"class {name}(TypedDict):\n{description}{body}"
    body = "".join(f"        {python_literal(field.json_name)}: {python_literal(kind)},\n" for field, kind in typed)
    description = description.replace("    ", "", 1)
    return f"{name} = TypedDict(\n    {python_literal(name)},\n    {{\n{body}    }},\n)\n{description}"


def format_docstring(description: object, arguments: Iterable[tuple[str, object]] = ()) -> str:
    """Return a docstring indented by four spaces, or an empty string if there is nothing to document.

    Args:
        description: The description. Ignored unless it is a string.
        arguments: The argument names and their descriptions.
    """
    texts = [(name, _wrap_description(each, " " * 12)) for name, each in arguments]
    listed = "".join(f"\n        {name}: {text}" for name, text in texts if text)
    blocks = _wrap_description(description, "    "), f"Args:{listed}" if listed else ""
    whole = "\n\n    ".join(filter(None, blocks))
    if not whole:
        return ""
    end = "\n    " if "\n" in whole else ""
    space = " " if not end and whole.endswith('"') else ""
    return f'    """{whole}{space}{end}"""\n'


def _wrap_description(description: object, indent: str) -> str:
    if not isinstance(description, str):
        return ""
    text = escape_lines_for_terminal(description.strip().expandtabs()).replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    width = max(40, _DOCSTRING_WIDTH - len(indent))
    paragraphs = []
    for paragraph in text.split("\n\n"):
        # Keep the line breaks in lists and code blocks.
        lines = [line.rstrip() for line in paragraph.split("\n")]
        is_prose = all(line and not line[0].isspace() and line[0] not in "-*#|>`0123456789" for line in lines)
        kept = textwrap.wrap(" ".join(lines), width, break_long_words=False) if is_prose else lines
        paragraphs.append("\n".join(f"{indent}{line}" if number and line else line for number, line in enumerate(kept)))
    return f"\n\n{indent}".join(paragraphs).rstrip()

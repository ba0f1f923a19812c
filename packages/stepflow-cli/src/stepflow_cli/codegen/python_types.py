"""Schemas as Python types that need nothing at run time: TypedDicts, protocols and dataclasses. Pure.

What a component takes may be given as a dict, or as any object with the fields; what it returns has attributes.
"""

from __future__ import annotations

import keyword
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from .docstrings import docstring, quoted
from .names import Names, plain_name
from .schemas import PREFIX

_PLAIN = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
_TYPE_WORDS = {
    "str", "int", "float", "bool", "list", "dict", "tuple", "property", "Any", "Literal", "Annotated", "Name",
    "NotRequired", "Mapping", "Sequence",
}  # fmt: skip
"""Names in annotations."""
_UNREADABLE = ("__", "_repr_", "_ipython_")
"""Attributes of values in flows that Python asks for itself."""


class PythonTypes:
    """Writes types, and the classes that they need.

    Args:
        named: The schemas by class name, in the form used for generation.
        names: The names in the module.
        is_input: Whether they are what a component takes.
    """

    def __init__(self, named: Mapping[str, Any], names: Names, *, is_input: bool) -> None:
        self._named, self._names, self._is_input = named, names, is_input
        self._final: dict[str, str] = {}
        self._written: set[str] = set()
        self._waiting: list[str] = []
        self._within: list[str] = []

    def text(self, schema: Mapping[str, Any]) -> str:
        """Return the type of a schema as it is written in an annotation."""
        return " | ".join(dict.fromkeys(self._options(schema)))

    def classes(self) -> Iterator[str]:
        """Yield the sources of the classes that types need that were written since the last call."""
        while self._waiting:
            name = self._waiting.pop(0)
            yield self._class(name) if self._is_object(name) else self._alias(name)

    def fields(self, schema: Mapping[str, Any]) -> list[Field]:
        """Return the fields of an object, those that are required first.

        Their order does not depend on that of the schema, which servers change each time.
        """
        required = list(schema.get("required", ()))
        # In a class, a field hides what has the same name outside of it.
        names = python_names(schema["properties"], {*_TYPE_WORDS, *self._named})
        found = [
            Field(names[key], key, self.text(each), key in required, each.get("description"), each.get("default"))
            for key, each in sorted(schema["properties"].items())
        ]
        return sorted(
            found, key=lambda each: (required.index(each.key) if each.is_required else len(required), each.key)
        )

    def _is_object(self, name: str) -> bool:
        return "properties" in self._named[name]

    def _options(self, schema: Mapping[str, Any]) -> Iterator[str]:
        if "$ref" in schema:
            yield from self._reference(schema["$ref"].removeprefix(PREFIX))
        elif "enum" in schema:
            values = [each for each in schema["enum"] if each is not None]
            if values:
                yield f"Literal[{', '.join(map(literal, values))}]"
            if len(values) < len(schema["enum"]):
                yield "None"
        elif "anyOf" in schema:
            options = [option for each in schema["anyOf"] for option in self._options(each)]
            # What Any is added to says nothing more.
            yield from ["Any"] if "Any" in options else sorted(options, key=lambda each: each == "None")
        else:
            kinds = schema.get("type", [])
            kinds = kinds if isinstance(kinds, list) else [kinds]
            for kind in sorted(kinds, key=lambda each: each == "null"):
                yield _PLAIN.get(kind) or (self._list(schema) if kind == "array" else self._mapping(schema))
            if not kinds:
                yield "Any"

    def _reference(self, name: str) -> Iterator[str]:
        if not self._is_object(name) and name not in self._within:
            self._within.append(name)
            inner = list(self._options(self._named[name]))
            self._within.pop()
            if name not in self._written:
                yield from inner
                return
        elif name not in self._written:
            self._written.add(name)
            self._waiting.append(name)
        if not self._is_input:
            yield name
        elif self._is_object(name):
            yield self._name(f"{name}Dict")
            yield self._name(f"{name}Like")
        else:
            yield self._name(f"{name}Input")

    def _name(self, name: str) -> str:
        """Return the name in the module of a class or alias of an input."""
        if name not in self._final:
            self._final[name] = self._names.take(name)
        return self._final[name]

    def _list(self, schema: Mapping[str, Any]) -> str:
        firsts = schema.get("prefixItems")
        if firsts is not None:
            parts = [self.text(each) for each in firsts]
            return f"Sequence[{' | '.join(dict.fromkeys(parts))}]" if self._is_input else f"tuple[{', '.join(parts)}]"
        item = self.text(schema.get("items", {}))
        # A text is a sequence of texts; other sequences may have elements of narrower types.
        return f"Sequence[{item}]" if self._is_input and item != "str" else f"list[{item}]"

    def _mapping(self, schema: Mapping[str, Any]) -> str:
        values = schema.get("additionalProperties")
        if not isinstance(values, Mapping) or not values:
            # Any object may be given, also one of a class.
            return "Any" if self._is_input else "dict[str, Any]"
        return f"{'Mapping' if self._is_input else 'dict'}[str, {self.text(values)}]"

    def _alias(self, name: str) -> str:
        self._within.append(name)
        inner = " | ".join(dict.fromkeys(self._options(self._named[name])))
        self._within.pop()
        return f"{self._name(f'{name}Input') if self._is_input else name}: TypeAlias = {quoted(inner)}\n"

    def _class(self, name: str) -> str:
        schema = self._named[name]
        fields = self.fields(schema)
        said = docstring(schema.get("description"), "    ")
        said += "\n" if said and fields else ""
        if not self._is_input:
            return _dataclass(name, fields, said)
        typed = _typed_dict(self._name(f"{name}Dict"), fields, said)
        return f"{typed}\n\n{_protocol(self._name(f'{name}Like'), fields)}"


class Field:
    """A field of an object.

    Args:
        name: Its name in Python.
        key: Its name in JSON.
        kind: Its type.
        is_required: Whether it must be given, or is always there.
        description: What it is.
        default: What it is by default; None if it may be missing.
    """

    def __init__(
        self, name: str, key: str, kind: str, is_required: bool, description: str | None, default: Any
    ) -> None:
        self.name, self.key, self.kind, self.is_required = name, key, kind, is_required
        self.description, self.default = description, default

    @property
    def optional_kind(self) -> str:
        """The type, and None."""
        return self.kind if self.kind == "Any" or self.kind.endswith("None") else f"{self.kind} | None"

    def annotation(self, kind: str) -> str:
        """Return a type with the name in JSON, if that is another one."""
        return kind if self.name == self.key else f"Annotated[{kind}, Name({literal(self.key)})]"


def python_names(keys: Iterable[str], taken: Collection[str] = ()) -> dict[str, str]:
    """Return Python names for the fields of an object; those that are valid keep theirs."""
    keys = sorted(keys)
    valid = {each for each in keys if _is_attribute(each) and each not in taken}
    used = {*taken, *valid}
    found = {}
    for key in keys:
        found[key] = key if key in valid else _free(plain_name(key, "field"), used)
        used.add(found[key])
    return found


def _free(name: str, used: Collection[str]) -> str:
    name = f"{name}_" if name in used or keyword.iskeyword(name) else name
    number, tried = 1, name
    while tried in used:
        number += 1
        tried = f"{name}{number}"
    return tried


def _is_attribute(key: str) -> bool:
    """Return whether a key can be read as an attribute of a value."""
    # Python normalizes other letters, which would change the name.
    return key.isascii() and key.isidentifier() and not keyword.iskeyword(key) and not key.startswith(_UNREADABLE)


def literal(value: Any) -> str:
    """Return a value as it is written in Python."""
    return quoted(value) if isinstance(value, str) else repr(value)


def _dataclass(name: str, fields: list[Field], said: str) -> str:
    lines = ["@dataclass(kw_only=True)\n", f"class {name}:\n", said]
    for each in fields:
        # A field that is not required is there if the component has a default for it.
        is_there = each.is_required or each.default is not None
        lines.append(f"    {each.name}: {each.annotation(each.kind if is_there else each.optional_kind)}")
        has_value = not each.is_required and (each.default is None or isinstance(each.default, (str, int, float)))
        lines.append(f" = {literal(each.default)}\n" if has_value else "\n")
        lines.append(docstring(each.description, "    "))
    if not fields and not said:
        lines.append("    pass\n")
    return "".join(lines)


def _typed_dict(name: str, fields: list[Field], said: str) -> str:
    kinds = [each.kind if each.is_required else f"NotRequired[{each.kind}]" for each in fields]
    if all(each.key == each.name for each in fields):
        body = "".join(
            f"    {each.key}: {kind}\n{docstring(each.description, '    ')}"
            for each, kind in zip(fields, kinds, strict=True)
        )
        return f"class {name}(TypedDict):\n{said}{body or ('' if said else '    pass' + chr(10))}"
    body = "".join(f"        {literal(each.key)}: {literal(kind)},\n" for each, kind in zip(fields, kinds, strict=True))
    return f"{name} = TypedDict(\n    {literal(name)},\n    {{\n{body}    }},\n)\n{said.replace('    ', '', 1)}"


def _protocol(name: str, fields: list[Field]) -> str:
    """Return the source of a protocol of the objects with the required fields; with all if none is required."""
    required = [each for each in fields if each.is_required] or fields
    lines = [
        f"    @property\n    def {each.name}(self) -> {each.kind if each.is_required else each.optional_kind}: ...\n"
        for each in required
    ]
    return f"class {name}(Protocol):\n{chr(10).join(lines)}"

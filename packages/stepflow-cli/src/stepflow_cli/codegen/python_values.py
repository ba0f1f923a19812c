"""The expressions of a flow file as Python, for the function of a flow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from stepflow_client._data.expressions import PathError, keyword_of, parse_path

from .docstrings import quoted
from .layout import Expression, Group, call, data
from .python_types import is_attribute, python_names_of
from .references import BESIDE
from .schemas import PREFIX


class NotInPython(Exception):
    """A flow cannot be written as a function. The argument is the reason, as a sentence."""


class Unfit(Exception):
    """What is read does not fit the schema of its source. The argument is the key of the source."""


class Source(NamedTuple):
    """What expressions read: the input, a variable, or the output of a step."""

    name: str
    """Its name in Python."""
    key: str = ""
    """What it is the output of, in `Unfit`; empty if nothing is known of its type."""
    schema: Mapping[str, Any] = {}
    """Its schema, in the form used for generation."""


class Sources(NamedTuple):
    """What the expressions of a flow, or of a sub-flow, may read."""

    input: Source
    variables: Mapping[str, Source]
    steps: dict[str, Source]
    """The steps so far, by their ids."""
    classes: Mapping[str, Any]
    """The schemas of classes, by their names."""

    def value(self, value: Any) -> Expression:
        """Return an expression of a flow file as Python.

        Raises:
            NotInPython: If there is no such Python.
            Unfit: If it reads what the schema of a source does not have.
        """
        word = keyword_of(value)
        if word is None:
            if isinstance(value, Mapping):
                return Group("{", [(f"{quoted(key)}: ", self.value(each)) for key, each in value.items()], "}")
            if isinstance(value, list):
                return Group("[", [("", self.value(each)) for each in value], "]")
            return data(value)
        if word == "$from":
            raise NotInPython("servers refuse $from")
        return self._expression(word, value)

    def _expression(self, word: str, value: Mapping[str, Any]) -> Expression:
        match word:
            case "$literal":
                return call("literal", [("", data(value["$literal"]))])
            case "$if":
                parts = [self._condition(value["$if"]), self.value(value.get("then"))]
                parts += [self.value(value["else"])] if "else" in value else []
                return call("when", [("", each) for each in parts])
            case "$coalesce":
                if not isinstance(value["$coalesce"], list):
                    raise NotInPython("a $coalesce is no list")
                return call("coalesce", [("", self.value(each)) for each in value["$coalesce"]])
            case "$variable":
                return self._variable(value)
        return self.read(value)[0]

    def read(self, value: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        """Return what a `$step`, `$input` or `$variable` reads, and its schema."""
        if "$step" in value:
            step = value["$step"]
            if step not in self.steps:
                raise NotInPython(f"step {step!r} is read before it, or where it is not known")
            return self._below(self.steps[step], _path(value.get("path")))
        if "$input" in value:
            return self._below(self.input, _path(value["$input"]))
        path = _path(value["$variable"])
        if not path or path[0] not in self.variables:
            raise NotInPython(f"a variable is read that is none of the flow: {value['$variable']!r}")
        return self._below(self.variables[str(path[0])], path[1:])

    def _variable(self, value: Mapping[str, Any]) -> Expression:
        read = self.read(value)[0]
        if "default" not in value:
            return read
        return call("if_unset", [("", read), ("", self.value(value["default"]))])

    def _condition(self, value: Any) -> Expression:
        if keyword_of(value) in ("$step", "$input", "$variable"):
            schema = self.read(value)[1]
            written = self.value(value)
            # Flows take all values but null and false for true.
            is_plain = not schema or schema.get("type") == "boolean"
            return written if is_plain else call("exists", [("", written)])
        if keyword_of(value) is None and not isinstance(value, bool):
            raise NotInPython("a condition is no expression, and neither true nor false")
        return self.value(value)

    def _below(self, source: Source, path: tuple[str | int, ...]) -> tuple[str, Mapping[str, Any]]:
        """Return how a part of a source is read, and its schema.

        Raises:
            Unfit: If the source does not have it.
        """
        text, schema = source.name, source.schema
        for part in path:
            attribute, schema = self._part(schema, part, source)
            text += attribute
        return text, schema

    def _part(self, schema: Mapping[str, Any], part: str | int, source: Source) -> tuple[str, Mapping[str, Any]]:
        schema = self.classes.get(str(schema.get("$ref", "")).removeprefix(PREFIX), schema)
        schema = schema if schema.keys() - BESIDE else {}
        is_open = not schema or schema.get("additionalProperties", True) is True
        if isinstance(part, int):
            if schema and schema.get("type") != "array":
                raise Unfit(source.key)
            return f"[{part}]", schema.get("items", {})
        if "properties" in schema:
            if part not in schema["properties"]:
                raise Unfit(source.key)
            return f".{python_names_of(schema, self.classes)[part]}", schema["properties"][part]
        if schema and schema.get("type") != "object":
            raise Unfit(source.key)
        if schema or not is_attribute(part):
            return f"[{quoted(part)}]", {} if is_open else schema["additionalProperties"]
        return f".{part}", {}


def _path(text: Any) -> tuple[str | int, ...]:
    try:
        return parse_path(text)
    except (PathError, TypeError, AttributeError):
        raise NotInPython(f"servers reject the path {text!r}") from None

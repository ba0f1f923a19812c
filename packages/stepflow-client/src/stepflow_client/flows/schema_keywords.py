"""The schema keywords of JSON Schema, OpenAPI and flows, with the kinds of their values. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .json_schema import JSON_TYPES, is_number

WITH_SCHEMA = ("items", "additionalProperties", "contains", "not", "if", "then", "else", "propertyNames",
               "unevaluatedProperties", "unevaluatedItems")  # fmt: skip
"""Keywords that hold a schema."""
WITH_LIST = ("allOf", "anyOf", "oneOf", "prefixItems")
"""Keywords that hold a list of schemas."""
WITH_MAPPING = ("properties", "patternProperties", "dependentSchemas")
"""Keywords that hold schemas by name."""
COUNTS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "minContains",
          "maxContains")  # fmt: skip

_CLASSES: dict[str, tuple[type, ...]] = {
    "": (object,), "text": (str,), "a boolean": (bool,), "a list": (list,), "a mapping": (dict,),
    "a schema": (dict, bool, list), "examples": (list,),
}  # fmt: skip
KEYWORDS = {
    **dict.fromkeys((*WITH_SCHEMA, "additionalItems"), "a schema"),
    **dict.fromkeys((*WITH_LIST, "enum"), "a list"),
    **dict.fromkeys((*WITH_MAPPING, "$defs", "definitions", "discriminator", "xml"), "a mapping"),
    **dict.fromkeys(("title", "description", "format", "$ref", "$schema", "$id", "id", "$anchor", "$comment",
                     "env_var"), "text"),
    **dict.fromkeys(("nullable", "deprecated", "readOnly", "writeOnly", "uniqueItems", "is_secret"), "a boolean"),
    **dict.fromkeys(("minimum", "maximum"), "a number"),
    **dict.fromkeys(("exclusiveMinimum", "exclusiveMaximum"), "a limit"),
    **dict.fromkeys(COUNTS, "a count"),
    **dict.fromkeys(("const", "default", "example"), ""),
    "type": "a type", "multipleOf": "a positive number", "pattern": "a pattern", "required": "names",
    "dependentRequired": "names by name", "examples": "examples",
}  # fmt: skip
"""The kind of value by keyword; empty for any value."""


def is_of_kind(value: Any, kind: str) -> bool:
    """Return whether the value of a keyword is of a kind."""
    match kind:
        case "a type":
            names = value if isinstance(value, list) else [value]
            return bool(names) and all(name in JSON_TYPES for name in names) and len({*names}) == len(names)
        case "a number" | "a limit":
            return is_number(value)
        case "a positive number":
            return is_number(value) and value > 0
        case "a count":
            return is_number(value) and value >= 0 and float(value).is_integer()
        case "a pattern":
            try:
                return isinstance(value, str) and re.compile(value) is not None
            except (re.error, RecursionError, OverflowError):
                return False
        case "names":
            is_list = isinstance(value, list) and all(isinstance(each, str) for each in value)
            return is_list and len({*value}) == len(value)
        case "names by name":
            return isinstance(value, Mapping) and all(is_of_kind(part, "names") for part in value.values())
    return isinstance(value, _CLASSES[kind])


def is_valid_keyword(keyword: str, value: Any) -> bool:
    """Return whether a keyword exists and its value is of the right kind."""
    return keyword in KEYWORDS and is_of_kind(value, KEYWORDS[keyword]) and (keyword != "enum" or bool(value))

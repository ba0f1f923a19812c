"""Generates random values that match a JSON Schema. A schema with a pattern needs `examples`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

from jsonschema import Draft202012Validator

__all__ = ["make_validator", "valid_values"]

_TEXTS = ("", "a", "Ada", "x y", "true", "1", "null", "é", "名前", "\u2028\"'\\", "🙂", "2026-01-02", "class")
_FORMATS = {
    "date": ["2026-01-02", "1999-12-31", "2024-02-29"],
    "date-time": ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.678+05:30", "1970-01-01T00:00:00-00:30"],
    "uuid": ["01900000-0000-7000-8000-000000000001", "ffffffff-ffff-4fff-bfff-ffffffffffff"],
}
_KEYS = ("extra", "x-1", "copy", "model_dump", "json", "Zz", "ключ", "")


def make_validator(schema: Any) -> Any:
    """Return a validator that also checks formats."""
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


def valid_values(schema: Any, seed: str) -> Iterator[Any]:
    """Yield an endless sequence of values that match a schema, reproducible by the seed."""
    source, validator = _Source(schema, Random(seed)), make_validator(schema)
    misses = 0
    while misses < 10_000:
        value = source.value(schema, 0)
        if validator.is_valid(value):
            misses = 0
            yield value
        misses += 1
    raise AssertionError(f"no value was found for {schema}")


class _Source:
    def __init__(self, root: Any, random: Random) -> None:
        self.root, self.random = root, random

    def value(self, schema: Any, depth: int) -> Any:
        if isinstance(schema, bool) or not set(schema) - {"description", "default", "title", "not", "if", "then"}:
            return self.random.choice([None, True, 0, -1.5, "x", [], [1, None], {}, {"a": {"b": [1]}}])
        if "$ref" in schema:
            return self.value(self.resolve(schema["$ref"]), depth)
        for key in ("enum", "examples"):
            if key in schema:
                return self.random.choice(schema[key])
        if "const" in schema:
            return schema["const"]
        if "allOf" in schema:
            return self.all_of_value(
                [*schema["allOf"], {key: each for key, each in schema.items() if key != "allOf"}], depth
            )
        for key in ("anyOf", "oneOf"):
            if key in schema:
                # Limit the depth: the simplest choices come first in most schemas.
                choices = schema[key][:2] if depth > 4 else schema[key]
                return self.value(self.random.choice(choices), depth)
        kinds = schema.get("type", "object" if "properties" in schema else "string")
        kind = kinds if isinstance(kinds, str) else self.random.choice(kinds)
        return getattr(self, f"{kind}_value")(schema, depth)

    def resolve(self, reference: str) -> Any:
        schema = self.root
        for part in reference.removeprefix("#").split("/")[1:]:
            schema = schema[part]
        return schema

    def all_of_value(self, parts: list[Any], depth: int) -> Any:
        values = [
            self.value(each, depth) for each in parts if "$ref" in each or "allOf" in each or "properties" in each
        ]
        values = [each for each in values if isinstance(each, dict)]
        required = {name for each in parts for name in each.get("required", ())}
        merged = {name: value for each in values for name, value in each.items()}
        return merged | dict.fromkeys(required - merged.keys(), "x")

    def null_value(self, schema: Any, depth: int) -> None:
        return None

    def boolean_value(self, schema: Any, depth: int) -> bool:
        return self.random.random() < 0.5

    def string_value(self, schema: Any, depth: int) -> str:
        if schema.get("format") in _FORMATS:
            return self.random.choice(_FORMATS[schema["format"]])
        text = self.random.choice(_TEXTS) + self.random.choice(_TEXTS)
        minimum, maximum = schema.get("minLength", 0), schema.get("maxLength", 100)
        return (text + "x" * int(max(minimum - len(text), 0)))[: int(min(maximum, 100))]

    def integer_value(self, schema: Any, depth: int) -> float:
        minimum, maximum = self.limits(schema)
        step = schema.get("multipleOf", 1) or 1
        number = self.random.choice([self.random.randint(-9, 9), self.random.randint(-(2**53), 2**53)]) * abs(step)
        number = min(max(number, minimum), maximum)
        return float(number) if self.random.random() < 0.1 else int(number)

    def number_value(self, schema: Any, depth: int) -> float:
        minimum, maximum = self.limits(schema)
        step = schema.get("multipleOf")
        if step:
            return step * self.random.randint(-9, 9)
        number = self.random.choice([self.random.uniform(-9, 9), self.random.randint(-9, 9), 1e300, 2**60, 1e-9])
        return min(max(number, minimum), maximum)

    def limits(self, schema: Any) -> tuple[float, float]:
        minimum = max(schema.get("minimum", -(1e300)), schema.get("exclusiveMinimum", -(1e300)))
        return minimum, min(schema.get("maximum", 1e300), schema.get("exclusiveMaximum", 1e300))

    def array_value(self, schema: Any, depth: int) -> list[Any]:
        first, rest = schema.get("prefixItems", []), schema.get("items", True)
        if isinstance(rest, list):
            first, rest = rest, True
        minimum, maximum = schema.get("minItems", 0), schema.get("maxItems", 5)
        count = self.random.randint(0, 0 if depth > 3 else 3)
        count = int(min(max(count, minimum, 0), maximum if maximum >= 0 else 5))
        return [self.value(first[n] if n < len(first) else rest, depth + 1) for n in range(count)]

    def object_value(self, schema: Any, depth: int) -> dict[str, Any]:
        properties: Mapping[str, Any] = schema.get("properties", {})
        required = schema.get("required", [])
        result: dict[str, Any] = {}
        for name, each in properties.items():
            if name in required or self.random.random() < (0.5 if depth < 4 else 0.05):
                result[name] = self.value(each, depth + 1)
        result |= {name: "x" for name in required if name not in result}
        others = schema.get("additionalProperties", True)
        if others is not False and self.random.random() < 0.3:
            result |= {self.random.choice(_KEYS): self.value(others, depth + 1) for _ in range(2)} | result
        return result

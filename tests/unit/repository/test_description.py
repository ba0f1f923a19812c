"""The OpenAPI description has no typos: unknown keywords, nulls, or keys that contain spaces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from openapi_python_client.schema import OpenAPI
from pydantic import BaseModel

from scripts.generate_api import SPEC

# Keywords of OpenAPI 3.1 that the generator's models do not have.
KEYWORDS = {("Info", "summary"), ("License", "identifier"), ("Schema", "examples")}


def find_typos(description: dict[str, Any]) -> list[str]:
    return sorted({*_unknown_keywords(OpenAPI.model_validate(description)), *_nulls_and_spaces(description, "")})


def _unknown_keywords(value: Any) -> Iterator[str]:
    if isinstance(value, BaseModel):
        for keyword in value.model_extra or {}:
            if not keyword.startswith("x-") and (type(value).__name__, keyword) not in KEYWORDS:
                yield f"{type(value).__name__} has no keyword {keyword!r}"
        value = [getattr(value, name) for name in type(value).model_fields]
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _unknown_keywords(each)


def _nulls_and_spaces(value: Any, path: str) -> Iterator[str]:
    if value is None:
        yield f"{path} is null"
    elif isinstance(value, dict):
        for key, each in value.items():
            # Examples are values, which may be null.
            if key not in ("example", "examples"):
                yield from [f"{path} has the key {key!r}"] if " " in str(key) else []
                yield from _nulls_and_spaces(each, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _nulls_and_spaces(each, f"{path}[{index}]")


def test_the_description_has_no_typos() -> None:
    assert find_typos(yaml.safe_load(SPEC.read_text())) == []


@pytest.mark.parametrize(
    ("text", "typo", "expected"),
    [
        ('description: "The input of one item, any JSON value."', "description: The input, any JSON value.", 3),
        ("enum: [1, 2, 3, 4, 5, 6]", "enun: [1, 2, 3, 4, 5, 6]", 1),
        ("      operationId: health_check", "      operationid: health_check", 1),
        ("  license:\n", "  licence:\n", 1),
        ("security: []", "security:", 1),
    ],
)
def test_a_typo_is_found(text: str, typo: str, expected: int) -> None:
    whole = SPEC.read_text()
    assert whole.count(text) == 1
    assert len(find_typos(yaml.safe_load(whole.replace(text, typo)))) == expected

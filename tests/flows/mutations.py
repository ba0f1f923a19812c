"""Random mutations of valid flows: drop, double or change a token, misspell words, or insert odd values."""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from tests.flows.valid import VALID

__all__ = ["misspelt", "mutated", "mutations", "with_odd_part"]

_TOKEN = re.compile(r"[$\w./]+|[^\s\w]")


_ODD: list[Any] = [
    None, True, 0, -1, 1.5, "", "x", [], {}, {"type": 5}, {"type": ["string", {}]}, {"$ref": 7}, {"$defs": 5},
    {"properties": []}, {"anyOf": {}}, {"allOf": [5, True]}, {"enum": 5}, {"required": [{}]}, {"items": [1]},
    {"$step": ["a"]}, {"$input": {}}, {"$if": []}, {"$coalesce": {}}, {"$literal": None},
]  # fmt: skip
"""Values for unexpected places."""


def _new_token(token: str, others: list[str], chance: random.Random) -> str:
    match chance.randrange(5):
        case 0:
            return ""
        case 1:
            return f"{token} {token}"
        case 2:
            at = chance.randrange(len(token))
            return token[:at] + token[at + 1 :]
        case 3:
            at = chance.randrange(len(token))
            return token[:at] + chance.choice("abxz_1") + token[at:]
        case _:
            return chance.choice(others)


def mutations(number: int, seed: int = 7) -> Iterator[tuple[str, object]]:
    """Yield texts of flows with one changed token, and the inputs of the flows."""
    chance = random.Random(seed)
    for _ in range(number):
        flow, flow_input = chance.choice(VALID)
        yield _mutate_token(yaml.safe_dump(flow, sort_keys=False), chance), flow_input


def mutated(texts: Sequence[str], number: int, seed: int) -> Iterator[str]:
    """Yield random texts of these with one changed token."""
    chance = random.Random(seed)
    for _ in range(number):
        yield _mutate_token(chance.choice(texts), chance)


_WORD = re.compile(r"[$/\w]{4,}")


def misspelt(number: int, seed: int) -> Iterator[str]:
    """Yield texts of flows with up to six misspelt words, in several styles and with comments."""
    chance = random.Random(seed)
    for _ in range(number):
        flow = chance.choice(VALID)[0]
        style = chance.choice((False, True, None))
        text = yaml.safe_dump(
            flow, sort_keys=False, default_flow_style=style, default_style=chance.choice("'\"| ").strip() or None
        )
        lines = [line + chance.choice(("", "", "  # kept")) for line in text.splitlines()]
        text = chance.choice(("\n", "\r\n")).join(["# first", *lines, ""])
        for _ in range(chance.randint(1, 6)):
            word = chance.choice(list(_WORD.finditer(text)))
            text = text[: word.start()] + _typo(word[0], chance) + text[word.end() :]
        yield text


def _typo(word: str, chance: random.Random) -> str:
    at = chance.randrange(1, len(word))
    match chance.randrange(5):
        case 0:
            return word[:at] + word[at + 1 :]
        case 1:
            return word[:at] + word[at] + word[at:]
        case 2:
            return word[: at - 1] + word[at] + word[at - 1] + word[at + 1 :]
        case 3:
            return re.sub("[A-Z]", lambda each: f"_{each[0].lower()}", word)
        case _:
            return word + "s"


def _mutate_token(text: str, chance: random.Random) -> str:
    tokens = list(_TOKEN.finditer(text))
    token = chance.choice(tokens)
    new = _new_token(token[0], [each[0] for each in tokens], chance)
    return text[: token.start()] + new + text[token.end() :]


def with_odd_part(value: Any, chance: random.Random) -> Any:
    """Return a copy of a value in which an odd value replaces a random part."""
    changed = copy.deepcopy(value)
    holder, key = chance.choice(list(_places(changed)))
    holder[key] = copy.deepcopy(chance.choice(_ODD))
    return changed


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from _places(value[key])

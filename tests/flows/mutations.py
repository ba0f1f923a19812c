"""Random mutations of valid flows: one token of the text is dropped, doubled or changed."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence

import yaml

from tests.flows.valid import VALID

__all__ = ["mutated", "mutations"]

_TOKEN = re.compile(r"[$\w./]+|[^\s\w]")


def _mutated(token: str, others: list[str], chance: random.Random) -> str:
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
    """Yield texts of flows with one token changed, and the inputs of the flows."""
    chance = random.Random(seed)
    for _ in range(number):
        flow, given = chance.choice(VALID)
        yield _one(yaml.safe_dump(flow, sort_keys=False), chance), given


def mutated(texts: Sequence[str], number: int, seed: int) -> Iterator[str]:
    """Yield some of these texts with one token changed."""
    chance = random.Random(seed)
    for _ in range(number):
        yield _one(chance.choice(texts), chance)


def _one(text: str, chance: random.Random) -> str:
    tokens = list(_TOKEN.finditer(text))
    token = chance.choice(tokens)
    new = _mutated(token[0], [each[0] for each in tokens], chance)
    return text[: token.start()] + new + text[token.end() :]

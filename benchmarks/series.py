"""Figures, with one value per round for each measured quantity."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple, Self


class Key(NamedTuple):
    """A quantity measured for one peer, e.g. the throughput case's `calls per second` at `32 at once`."""

    case: str
    measure: str
    at: str
    peer: str


class Spread(NamedTuple):
    """The median, minimum and maximum over all rounds."""

    median: float
    least: float
    most: float


@dataclass
class Results:
    """All figures from a benchmark run."""

    machine: dict[str, str]
    started: str
    quick: bool
    rounds: dict[Key, list[float]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    """Notes needed to interpret a figure."""

    def add(self, case: str, measure: str, at: str, peer: str, value: float) -> None:
        """Add a round's figure."""
        self.rounds.setdefault(Key(case, measure, at, peer), []).append(value)

    def spread(self, key: Key) -> Spread | None:
        """Return a quantity's spread, or None if it was not measured."""
        return _spread(self.rounds[key]) if key in self.rounds else None

    def ratio(self, above: Key, below: Key) -> Spread | None:
        """Return the ratio of two figures, or None.

        If both have the same number of rounds, compute the ratio per round, since a slow round affects both.
        """
        one, other = self.rounds.get(above), self.rounds.get(below)
        if not one or not other:
            return None
        if len(one) != len(other):
            one, other = [median(one)], [median(other)]
        return _spread([a / b for a, b in zip(one, other, strict=True) if b])

    def tables(self) -> Iterator[tuple[str, str]]:
        """Yield each case and measure once, in the order measured."""
        yield from dict.fromkeys((key.case, key.measure) for key in self.rounds)

    def save(self, path: Path) -> None:
        """Save everything as JSON."""
        listed = [{**key._asdict(), "rounds": [_rounded(each) for each in made]} for key, made in self.rounds.items()]
        document = {
            "started": self.started,
            "quick": self.quick,
            "machine": self.machine,
            "remarks": self.remarks,
            "series": listed,
        }
        path.write_text(json.dumps(document, indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Load what `save` wrote."""
        document = json.loads(path.read_text())
        series = document["series"]
        rounds = {Key(each["case"], each["measure"], each["at"], each["peer"]): each["rounds"] for each in series}
        remarks = document.get("remarks", [])
        return cls(document["machine"], document["started"], document["quick"], rounds, remarks)


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the value below which this percentage of values lies."""
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def _spread(values: Sequence[float]) -> Spread | None:
    return Spread(median(values), min(values), max(values)) if values else None


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")

"""Groups failures of many inputs by cause: the step, the code, and the words that their messages share. Pure."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..types import ExecutionStatus, RunItem
    from ..types.account import FailedItems
    from ..types.results import FlowError

MAX_GROUPS_SHOWN = 5
"""Maximum number of groups that views list; the others are only counted."""
_MAX_INDEXES = 20
# Number of items that the text of a group lists.
_MAX_NAMED = 3
# Number of words of a message that are compared; the rest counts as one.
_MAX_WORDS = 50
# Maximum number of different messages with one code; failures that fit none of them join the last one.
_MAX_SHAPES = 200
# The parts of a message that never distinguish causes: numbers and quoted texts.
_VARYING = re.compile(r"\d+|'[^']*'|\"[^\"]*\"")
_WORD = re.compile(r"(?:'[^']*'|\"[^\"]*\"|\S)+")


@dataclass(slots=True)
class FailureGroup:
    """Inputs that failed for the same reason."""

    key: str
    """Identifies the group, for example in a URL: the same for the same step, code and message."""
    step_id: str | None
    """The step that failed; None if it is not known, or if no step did."""
    error: FlowError
    """The error of the first input."""
    indexes: list[int]
    """The positions of the inputs, in the order in which they were added."""
    words: list[str] | None = None
    """The words of the messages, with `…` for those that differ; None if all messages are the same."""

    @property
    def code(self) -> str:
        """The error code; empty if there is none."""
        return self.error.code.value if self.error.code else ""

    @property
    def message(self) -> str:
        """The message; if the messages differ, the words that they share, with `…` between them."""
        return self.error.message if self.words is None else re.sub("…(?: …)+", "…", " ".join(self.words))

    def __str__(self) -> str:
        """Return one line, such as `9 x step 'ask': no user … (items 0, 1, 2, ...)`."""
        where = "" if self.step_id is None else f"step {self.step_id!r}: "
        listed = ", ".join(map(str, self.indexes[:_MAX_NAMED])) + (", ..." if len(self.indexes) > _MAX_NAMED else "")
        noun = "item" if len(self.indexes) == 1 else "items"
        return f"{len(self.indexes):,} x {where}{self.message} ({noun} {listed})"

    def to_failed_items(self) -> FailedItems:
        """Return the group in the form of a run's record."""
        from ..types.account import FailedItems

        return FailedItems(
            text=str(self),
            total=len(self.indexes),
            step_id=self.step_id,
            code=self.error.code,
            message=self.message,
            item_indexes=self.indexes[:_MAX_INDEXES],
        )


@dataclass(slots=True)
class _Shape:
    """Messages with one code that share most of their words."""

    words: list[str]
    by_step: dict[str | None, FailureGroup] = field(default_factory=dict)

    def fits(self, words: list[str]) -> bool:
        """Return whether a message has the same words, or more than half of them."""
        if len(words) != len(self.words):
            return False
        pairs = [pair for pair in zip(self.words, words, strict=True) if pair != ("#", "#")]
        return not pairs or 2 * sum(ours == theirs for ours, theirs in pairs) > len(pairs)


class FailureGroups:
    """Groups failures as they arrive, in memory that grows by a number for each."""

    def __init__(self) -> None:
        """Start without failures."""
        self._shapes: dict[str, list[_Shape]] = {}
        self._known: dict[tuple[str, str], _Shape] = {}
        self._without_error: Counter[str] = Counter()

    def add(self, index: int, error: FlowError | None, status: ExecutionStatus) -> None:
        """Add an input that did not succeed.

        Args:
            index: Its position.
            error: Its error; those without one, such as cancelled inputs, are only counted.
            status: Its status.
        """
        if error is None:
            self._without_error[status.value] += 1
            return
        code = error.code.value if error.code else ""
        message = _VARYING.sub("#", error.message)
        shape = self._known.get((code, message))
        if shape is None:
            words = [_VARYING.sub("#", word) for word in _split_words(error.message)]
            shapes = self._shapes.setdefault(code, [])
            shape = next((shape for shape in shapes if shape.fits(words)), None)
            if shape is None and len(shapes) < _MAX_SHAPES:
                shapes.append(_Shape(words))
            shape = shape or shapes[-1]
            if len(self._known) < _MAX_SHAPES:
                self._known[code, message] = shape
        group = shape.by_step.get(error.step_id)
        if group is None:
            parts = (error.step_id or "", code, *shape.words)
            key = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:12]
            shape.by_step[error.step_id] = FailureGroup(key, error.step_id, error, [index])
            return
        group.indexes.append(index)
        if error.message != group.error.message:
            group.words = _keep_shared_words(
                group.words or _split_words(group.error.message), _split_words(error.message)
            )

    def groups(self) -> list[FailureGroup]:
        """Return the groups, the largest first.

        If there are many failures, the client only requests the steps of the first ones. The others join the group with
        the same code and words, if there is exactly one.
        """
        groups: list[FailureGroup] = []
        for shape in (shape for shapes in self._shapes.values() for shape in shapes):
            by_step = dict(shape.by_step)
            if len(by_step) == 2 and None in by_step:
                unnamed = by_step.pop(None)
                (named,) = by_step.values()
                first = min(named, unnamed, key=lambda group: group.indexes[0])
                words = named.words
                if named.message != unnamed.message:
                    words = _keep_shared_words(
                        *(group.words or _split_words(group.error.message) for group in (named, unnamed))
                    )
                indexes = sorted(named.indexes + unnamed.indexes)
                groups.append(replace(named, error=first.error, indexes=indexes, words=words))
            else:
                groups += by_step.values()
        return sorted(groups, key=lambda group: (-len(group.indexes), group.indexes[0]))

    def lines(self) -> list[str]:
        """Return a line for each of the largest groups, one for the others, and one for each status without errors."""
        groups = self.groups()
        lines = [str(group) for group in groups[:MAX_GROUPS_SHOWN]]
        others = groups[MAX_GROUPS_SHOWN:]
        if others:
            lines.append(f"{sum(len(group.indexes) for group in others):,} x {len(others)} more errors")
        return lines + [f"{count:,} x {status}" for status, count in self._without_error.items()]


def group_failures(items: Iterable[RunItem]) -> list[FailureGroup]:
    """Return the failed items of a run grouped by cause, the largest group first.

    Args:
        items: The items of a run; those without an error are ignored.
    """
    groups = FailureGroups()
    for item in items:
        if item.error is not None:
            groups.add(item.index, item.error, item.status)
    return groups.groups()


def _split_words(message: str) -> list[str]:
    words = _WORD.findall(message)
    return words if len(words) <= _MAX_WORDS else [*words[:_MAX_WORDS], " ".join(words[_MAX_WORDS:])]


def _keep_shared_words(ours: Sequence[str], theirs: Sequence[str]) -> list[str]:
    if len(ours) != len(theirs):
        return ["…"]
    return [our if our == their else "…" for our, their in zip(ours, theirs, strict=True)]

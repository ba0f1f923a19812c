"""Groups failed inputs by cause, i.e. by step, error code and the words their messages share."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from ..types import ExecutionStatus, FlowError, RunItem
from ..types.run_explanation import FailedItems

MAX_GROUPS_SHOWN = 5
"""Maximum number of groups to list in views. Any other groups are only counted."""
_MAX_INDEXES = 20
# Maximum number of items to list in a group's text.
_MAX_NAMED = 3
# Number of words to compare in each message. Everything after them counts as a single word.
_MAX_WORDS = 50
# Maximum number of distinct messages per code. After that, failures that match no existing message are added to the
# last one.
_MAX_MESSAGE_SHAPES = 200
# Parts of a message that say nothing about the cause: numbers and quoted strings.
_VARYING_PART = re.compile(r"\d+|'[^']*'|\"[^\"]*\"")
_WORD = re.compile(r"(?:'[^']*'|\"[^\"]*\"|\S)+")


@dataclass(slots=True)
class FailureGroup:
    """Inputs that failed for the same reason."""

    key: str
    """An ID for the group (e.g. for URLs), derived from the step, code and message."""
    step_id: str | None
    """The step that failed, or None if unknown or if no step failed."""
    error: FlowError
    """The first input's error."""
    indexes: list[int]
    """The inputs' positions, in the order they were added."""
    words: list[str] | None = None
    """The words of the messages, with `…` where they differ, or None if all messages are identical."""

    @property
    def code(self) -> str:
        """The error code, or an empty string if there is none."""
        return self.error.code.value if self.error.code else ""

    @property
    def message(self) -> str:
        """The message. If messages differ, the words they have in common, separated by `…`."""
        return self.error.message if self.words is None else re.sub("…(?: …)+", "…", " ".join(self.words))

    def __str__(self) -> str:
        """Return one line, such as `9 x step 'ask': no user … (items 0, 1, 2, ...)`."""
        where = "" if self.step_id is None else f"step {self.step_id!r}: "
        listed = ", ".join(map(str, self.indexes[:_MAX_NAMED])) + (", ..." if len(self.indexes) > _MAX_NAMED else "")
        noun = "item" if len(self.indexes) == 1 else "items"
        return f"{len(self.indexes):,} x {where}{self.message} ({noun} {listed})"

    def to_failed_items(self) -> FailedItems:
        """Convert the group to its public type."""
        return FailedItems(
            text=str(self),
            total=len(self.indexes),
            step_id=self.step_id,
            code=self.error.code,
            message=self.message,
            item_indexes=self.indexes[:_MAX_INDEXES],
        )


@dataclass(slots=True)
class _MessagePattern:
    """Messages with the same code that share most of their words."""

    words: list[str]
    by_step: dict[str | None, FailureGroup] = field(default_factory=dict)

    def is_similar(self, words: list[str]) -> bool:
        """Return whether more than half of the message's words match."""
        if len(words) != len(self.words):
            return False
        pairs = [pair for pair in zip(self.words, words, strict=True) if pair != ("#", "#")]
        return not pairs or 2 * sum(ours == theirs for ours, theirs in pairs) > len(pairs)


class FailureGroups:
    """Groups failures as they arrive. Memory use grows by only a single number per failure."""

    def __init__(self) -> None:
        self._shapes: dict[str, list[_MessagePattern]] = {}
        self._known_patterns: dict[tuple[str, str], _MessagePattern] = {}
        self._without_error: Counter[str] = Counter()

    def add(self, index: int, error: FlowError | None, status: ExecutionStatus) -> None:
        """Add an input that did not succeed.

        Args:
            index: The input's position.
            error: The input's error. Inputs without an error (e.g. cancelled inputs) are only counted.
            status: The input's status.
        """
        if error is None:
            self._without_error[status.value] += 1
            return
        code = error.code.value if error.code else ""
        message = _VARYING_PART.sub("#", error.message)
        shape = self._known_patterns.get((code, message))
        if shape is None:
            words = [_VARYING_PART.sub("#", word) for word in _split_words(error.message)]
            shapes = self._shapes.setdefault(code, [])
            shape = next((shape for shape in shapes if shape.is_similar(words)), None)
            if shape is None and len(shapes) < _MAX_MESSAGE_SHAPES:
                shapes.append(_MessagePattern(words))
            shape = shape or shapes[-1]
            if len(self._known_patterns) < _MAX_MESSAGE_SHAPES:
                self._known_patterns[code, message] = shape
        group = shape.by_step.get(error.step_id)
        if group is None:
            parts = (error.step_id or "", code, *shape.words)
            key = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:12]
            shape.by_step[error.step_id] = FailureGroup(key, error.step_id, error, [index])
            return
        group.indexes.append(index)
        if error.message != group.error.message:
            words = group.words or _split_words(group.error.message)
            group.words = _mask_differing_words(words, _split_words(error.message))

    def build_groups(self) -> list[FailureGroup]:
        """Return the groups, largest first.

        If there are many failures, the client fetches the failed step only for the first few. Each remaining failure is
        added to the group with the same code and words, provided there is exactly one such group.
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
                    both = [group.words or _split_words(group.error.message) for group in (named, unnamed)]
                    words = _mask_differing_words(*both)
                indexes = sorted(named.indexes + unnamed.indexes)
                groups.append(replace(named, error=first.error, indexes=indexes, words=words))
            else:
                groups += by_step.values()
        return sorted(groups, key=lambda group: (-len(group.indexes), group.indexes[0]))

    def format_group_lines(self) -> list[str]:
        """Describe the largest groups, one per line.

        The last lines count the errors in all other groups, and the inputs without an error (by status).
        """
        groups = self.build_groups()
        lines = [str(group) for group in groups[:MAX_GROUPS_SHOWN]]
        others = groups[MAX_GROUPS_SHOWN:]
        if others:
            lines.append(f"{sum(len(group.indexes) for group in others):,} x {len(others)} more errors")
        return lines + [f"{count:,} x {status}" for status, count in self._without_error.items()]


def group_failures(items: Iterable[RunItem]) -> list[FailureGroup]:
    """Group a run's failed items by cause, largest group first.

    Args:
        items: The run's items. Items without an error are ignored.
    """
    groups = FailureGroups()
    for item in items:
        if item.error is not None:
            groups.add(item.index, item.error, item.status)
    return groups.build_groups()


def _split_words(message: str) -> list[str]:
    words = _WORD.findall(message)
    return words if len(words) <= _MAX_WORDS else [*words[:_MAX_WORDS], " ".join(words[_MAX_WORDS:])]


def _mask_differing_words(ours: Sequence[str], theirs: Sequence[str]) -> list[str]:
    if len(ours) != len(theirs):
        return ["…"]
    return [our if our == their else "…" for our, their in zip(ours, theirs, strict=True)]

"""The options of an evaluation, and their checks. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from .._codec.requests import check_concurrency
from .._data.arguments import check_choice, check_flag, check_flags, check_integer, check_labels, check_text
from .._display.progress_display import check_progress
from .._rules.input_retries import RetryOn, RetryRule
from ..progress import ProgressOption


@dataclass(frozen=True, kw_only=True)
class MapOptions:
    """The options of `map` that an evaluation passes on, by their names there."""

    variables_from_env: bool
    check_input: bool
    chunk_size: int | None
    max_attempts: int | None
    retry_on: RetryOn | None
    on_lost: Literal["fail", "rerun"]
    on_cancel: Literal["detach", "cancel"]

    def check(self) -> None:
        """Check the options, because `map` checks them only when it begins.

        Raises:
            InvalidArgumentError: If one is invalid.
        """
        check_flags(variables_from_env=self.variables_from_env, check_input=self.check_input)
        if self.chunk_size is not None:
            check_integer(self.chunk_size, "chunk_size", least=1)
        RetryRule(self.max_attempts, self.retry_on)
        check_choice(self.on_lost, "on_lost", ("fail", "rerun"))
        check_choice(self.on_cancel, "on_cancel", ("detach", "cancel"))


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """The options of an evaluation, as the caller gave them; `evaluate` describes them."""

    repeat: int
    expected: str
    max_concurrency: int | None
    max_scores: int
    include_durations: bool | None
    labels: Mapping[str, str] | None
    progress: ProgressOption
    of_map: MapOptions

    def check(self) -> None:
        """Check the options before the first request.

        Raises:
            InvalidArgumentError: If one is invalid.
        """
        self.of_map.check()
        check_integer(self.repeat, "repeat", least=1)
        check_text(self.expected, "expected")
        check_concurrency(self.max_concurrency)
        check_integer(self.max_scores, "max_scores", least=1, most=1000)
        if self.include_durations is not None:
            check_flag(self.include_durations, "include_durations")
        if self.labels is not None:
            check_labels(self.labels)
        check_progress(self.progress)

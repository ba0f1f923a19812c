"""The outcomes of a batch with outputs of a type."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from .._codec.typed import with_typed_outcome
from ..types.outcomes import Outcome

__all__ = ["typed_outcomes"]


async def typed_outcomes(
    outcomes: AsyncGenerator[Outcome, None], output_type: Any, on_error: str
) -> AsyncGenerator[Outcome[Any], None]:
    """Yield the outcomes of a batch with their outputs converted to a type.

    Args:
        outcomes: The outcomes.
        output_type: The type.
        on_error: What to do with an output that does not match it, as for `map`.
    """
    async with aclosing(outcomes) as each_of:
        async for outcome in each_of:
            yield with_typed_outcome(outcome, output_type, on_error)

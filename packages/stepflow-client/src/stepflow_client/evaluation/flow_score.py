"""Scores that a flow computes: a language model as the judge, for example."""

from __future__ import annotations

import hashlib
import inspect
from functools import partial
from typing import Any

from .._codec.requests import Variables, run_variables
from .._concurrency.input_checks import async_checked
from .._data.arguments import check_text
from .._data.values import check_json, encode
from .._runs.client_metadata import without_cases
from ..errors import InvalidArgumentError
from ..flows.flow_argument import FlowSource, load_flow
from ..flows.needs import ValueCheck
from .records import EvaluationItem


class FlowScore:
    """A score that a flow on the client's server computes from `{input, output, expected}`.

    The flow returns a number, a bool or a label, or an object of several. Each item is a run of its own, under an
    idempotency key, so that a crash executes none twice.

    Example:
        ```python
        report = await evaluate(client, "ticket.yaml", "tickets.csv", scores=[FlowScore("judge.yaml")])
        ```

    Args:
        flow: The flow, as for `run`. If it changes, its scores are computed again.
        name: The name of the score. None, the default: the name of the flow, else `judge`.
        variables: Values of the flow's variables, as for `run`.
    """

    def __init__(self, flow: FlowSource, *, name: str | None = None, variables: Variables | None = None) -> None:
        """Read the flow.

        Raises:
            FlowFileError: If its file cannot be read.
            InvalidArgumentError: If it is no flow, or if another argument is invalid.
        """
        self.flow: dict[str, Any] = check_json(without_cases(load_flow(flow)), "flow")
        self.variables = None if variables is None else run_variables(variables)
        self.name = str(self.flow.get("name") or "judge") if name is None else check_text(name, "name")
        self.version = hashlib.sha256(encode([self.flow, self.variables])).hexdigest()[:16]
        """A digest of the flow and the variables."""

    def __repr__(self) -> str:
        return f"FlowScore({self.name!r})"

    async def _output(self, item: EvaluationItem, client: Any, key: str | None) -> Any:
        """Run the flow for an item, and return its output.

        Args:
            item: The item.
            client: A client of either kind.
            key: What identifies the score, for the idempotency key; None without one.

        Raises:
            InvalidArgumentError: If a variable is missing or invalid.
            ScoreFailedError: If the run failed, or if the item does not fit the input schema of the flow.
            TransportError: If the server cannot be reached.
        """
        given = self._given(item)
        check = ValueCheck.of(self.flow)
        if check is not None:
            try:
                await async_checked(partial(check.one, given))
            except InvalidArgumentError as error:
                raise ScoreFailedError(error.message) from None
        result = client.run(self.flow, given, variables=self.variables, idempotency_key=key)
        result = await result if inspect.isawaitable(result) else result
        if not result.is_success:
            message = result.error.message if result.error else f"its run was {result.status.value}"
            raise ScoreFailedError(f"{message} (run {result.run_id})")
        return self._read(result.output)

    def _given(self, item: EvaluationItem) -> Any:
        """Return the input of the flow for an item."""
        return {"input": item.input, "output": item.output, "expected": item.expected}

    def _read(self, output: Any) -> Any:
        """Return the score that an output of the flow means."""
        return output


class ScoreFailedError(Exception):
    """The flow of a score failed, or cannot be run for an item."""

"""The options that code passes on are those of the methods."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from stepflow_client import MapOptions, RunOptions, StepflowClient, StepflowExecutor, SubmitOptions


def keywords(method: Any) -> set[str]:
    found = inspect.signature(method).parameters.values()
    return {each.name for each in found if each.kind is inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize(
    ("options", "method"),
    [
        (RunOptions, StepflowClient.run),
        (RunOptions, StepflowExecutor.run),
        (SubmitOptions, StepflowClient.submit),
        (SubmitOptions, StepflowExecutor.submit),
        (MapOptions, StepflowClient.map),
    ],
)
def test_options_are_the_keywords_of_the_method(options: Any, method: Any) -> None:
    assert set(options.__annotations__) == keywords(method) - {"output_type"}

"""In notebooks, lists of this package's objects become tables; other lists are unchanged."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
from stepflow_client import Outcome, SyncStepflowClient
from stepflow_client.drawing import notebook_html
from stepflow_client.types import FlowResult


class Formatter(dict[type, Any]):
    """The part of IPython's formatter interface that this package uses."""

    def for_type(self, kind: type, function: Any) -> None:
        self[kind] = function


@pytest.fixture
def formatter(monkeypatch: pytest.MonkeyPatch) -> Formatter:
    html_formatter = Formatter()
    shell = SimpleNamespace(display_formatter=SimpleNamespace(formatters={"text/html": html_formatter}))
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    return html_formatter


def outcomes() -> list[Outcome]:
    error = FlowResult(status="failed", error={"message": "no <b>card</b>"}).error
    completed = [
        Outcome(index, f"key {index}", "r", FlowResult(status="completed").status, "x" * 500) for index in range(60)
    ]
    return [
        *completed[:3],
        Outcome(3, None, "r", FlowResult(status="failed").status, None, error, 1.25),
        *completed[3:],
    ]


def test_a_list_of_outcomes_is_a_table(formatter: Formatter) -> None:
    SyncStepflowClient("http://127.0.0.1:9").close()
    html = formatter[list](outcomes())
    assert "61 outcomes, the first 50" in html
    assert "no &lt;b&gt;card&lt;/b&gt;" in html
    assert "1.2s" in html
    assert len(html.encode()) < 100_000


@pytest.mark.parametrize(
    "others", [[], [1, 2], ["a"], [outcomes()[0], 1], [outcomes()[0], FlowResult(status="failed")]]
)
def test_other_lists_are_unchanged(formatter: Formatter, others: list[Any]) -> None:
    SyncStepflowClient("http://127.0.0.1:9").close()
    assert formatter[list](others) is None


def test_a_custom_formatter_is_kept(formatter: Formatter) -> None:
    formatter[list] = repr
    SyncStepflowClient("http://127.0.0.1:9").close()
    assert formatter[list] is repr


def test_a_single_outcome_shows_its_error() -> None:
    failed = outcomes()[3]
    assert "no &lt;b&gt;card&lt;/b&gt;" in notebook_html.format_html(failed)

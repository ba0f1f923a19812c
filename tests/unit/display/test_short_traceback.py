"""What IPython asks errors for; tests/environments has it in a kernel."""

from __future__ import annotations

import pickle

import pytest
from stepflow_client import InvalidArgumentError, StepflowClientError
from stepflow_client.testing import fake_server


def test_the_line_the_message_and_the_hint() -> None:
    with fake_server().sync_client() as client, pytest.raises(InvalidArgumentError) as caught:
        client.get_run("x")
    error = caught.value
    error.hint = "look at the list"
    error.add_note("a note")
    shown = error._render_traceback_()
    assert shown[1].endswith('client.get_run("x")')
    assert shown[3:] == [
        "InvalidArgumentError: a run ID must be a UUID, not 'x'",
        "Hint: look at the list",
        "a note",
        "",
        "%tb shows the whole traceback.",
    ]
    whole = "".join(error._render_traceback_())
    assert "Traceback (most recent call last)" in whole
    assert "check_run_id" in whole


def test_what_a_server_says_controls_no_terminal() -> None:
    shown = StepflowClientError("first\x1b[31m\nsecond\u202e", hint="\x07")._render_traceback_()
    assert shown[:3] == ["StepflowClientError: first·[31m", "second·", "Hint: ·"]


def test_pickled_errors_are_short_again() -> None:
    error = StepflowClientError("no", hint="yes")
    error._render_traceback_()
    again = pickle.loads(pickle.dumps(error))
    assert vars(again) == vars(error)
    assert again._render_traceback_()[0] == "StepflowClientError: no"

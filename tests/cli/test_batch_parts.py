"""Parts of a streaming batch: selecting inputs, reading files, and progress."""

from __future__ import annotations

import json
import random
import re
import tracemalloc
from itertools import islice
from pathlib import Path

import pytest
from stepflow_cli.errors import Problem
from stepflow_cli.inputs.command_line_values import sample_inputs, select_inputs_at_positions, slice_inputs
from stepflow_cli.output.messages import Spinner
from stepflow_cli.params.flow_run_options import RETRY_CODES
from stepflow_cli.runs.batch_run import BatchProgress, LatencyCounts
from stepflow_client import ErrorCode, ExecutionStatus, Outcome, read_inputs


def test_sample_is_uniform_and_in_order() -> None:
    counts = [0] * 10
    for seed in range(2000):
        positions = [position for position, _ in sample_inputs(enumerate("abcdefghij"), 3, seed)]
        assert positions == sorted(set(positions))
        assert len(positions) == 3
        for position in positions:
            counts[position] += 1
    # 600 each; the standard deviation is 20.
    assert all(500 < count < 700 for count in counts)
    assert list(sample_inputs(enumerate("ab"), 5, 0)) == [(0, "a"), (1, "b")]


def test_slices_keep_their_positions() -> None:
    assert list(slice_inputs(enumerate("abcde"), 1, 2)) == [(1, "b"), (2, "c")]
    assert list(slice_inputs(enumerate("abc"), 1, None)) == [(1, "b"), (2, "c")]


def test_inputs_are_selected_by_position_without_reading_on() -> None:
    inputs = enumerate("abcdef")
    assert list(select_inputs_at_positions(inputs, {1: None, 3: None})) == [(1, "b"), (3, "d")]
    assert next(inputs) == (4, "e")
    with pytest.raises(LookupError, match="no input 7"):
        list(select_inputs_at_positions(enumerate("abc"), {1: None, 7: None}))


def test_percentiles() -> None:
    values = [random.Random(1).lognormvariate(0, 2) for _ in range(10_000)]
    latencies = LatencyCounts()
    for value in values:
        latencies[value] += 1
    values.sort()
    for share in (0.5, 0.95, 0.99):
        assert latencies.percentile(share) == values[round(share * len(values)) - 1]
    assert LatencyCounts().percentile(0.5) is None


@pytest.mark.exhaustive
def test_300_000_rows_of_csv_are_read_lazily(tmp_path: Path) -> None:
    path, rows = tmp_path / "in.csv", 300_000
    with path.open("w") as file:
        file.write("n,text\n")
        file.writelines(f"{number},é☃\n" for number in range(rows))
    schema = {"properties": {"n": {"type": "integer"}}}
    inputs = read_inputs(path, flow={"schemas": {"properties": {"input": schema}}, "steps": []})
    assert list(islice(inputs, 2)) == [{"n": 0, "text": "é☃"}, {"n": 1, "text": "é☃"}]
    assert inputs.read == 2
    list(islice(inputs, 100_000))
    assert inputs.expected is not None
    assert 0.9 * rows < inputs.expected < 1.2 * rows
    tracemalloc.start()
    try:
        last = 0
        for each in islice(inputs, 100_000):
            last = each["n"]
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert last == 200_001
    assert sum(1 for _ in inputs) == rows - 200_002
    inputs.close()


def test_row_groups_of_parquet_are_read_lazily(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    path = str(tmp_path / "in.parquet")
    table = pyarrow.table({"n": list(range(50_000)), "text": ["x" * 200] * 50_000})
    pyarrow.parquet.write_table(table, path, row_group_size=5_000, use_dictionary=False, compression="none")
    del table
    before = pyarrow.total_allocated_bytes()
    inputs = read_inputs(path)
    assert next(inputs)["n"] == 0
    assert inputs.expected == 50_000
    # The whole file has 10 MB.
    assert pyarrow.total_allocated_bytes() - before < 5_000_000
    assert sum(1 for _ in inputs) == 49_999


def test_number_of_inputs_in_a_json_list(tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text(json.dumps([1, 2, 3]))
    inputs = read_inputs(tmp_path / "in.json")
    assert next(inputs) == 1
    assert inputs.expected == 3


def outcome(index: int, seconds: float | None = 0.5) -> Outcome:
    return Outcome(index, None, "r", ExecutionStatus.COMPLETED, index, None, seconds)


def test_progress_has_running_items_and_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("stepflow_cli.runs.batch_run.time.monotonic", lambda: now)
    progress, spinner = BatchProgress(), Spinner("")
    progress.begun, progress.expected = 60, 1100
    for index in range(40):
        # These outcomes are from a journal, so they take no time.
        progress.add_outcome(outcome(index, None))
    for index in range(10):
        progress.add_outcome(outcome(40 + index))
    now = 105.0
    assert progress.mark_shown_if_due()
    assert not progress.mark_shown_if_due()
    progress.update_spinner(spinner)
    assert spinner._text == "50/1,100 done, 5s, 2.0/s, 8m45s left, 10 running"
    progress.is_estimated = True
    progress.update_spinner(spinner)
    assert spinner._text.startswith("50/~1,100 done, ")
    progress.expected = None
    progress.update_spinner(spinner)
    assert "left" not in spinner._text


def test_summary_groups_failures(capsys: pytest.CaptureFixture[str]) -> None:
    progress = BatchProgress()
    for index in range(3):
        progress.add_outcome(Outcome(index, None, "r", ExecutionStatus.FAILED, duration=2.0))
    with pytest.raises(Problem, match="3 of 3 inputs did not succeed"):
        progress.print_summary()
    summary = capsys.readouterr().err
    assert "3 x failed" in summary
    assert re.search(r"latency of runs: p50 (1.9|2)", summary)


def test_retry_codes_are_the_error_codes_of_runs() -> None:
    # Batches of the command have no output type.
    assert set(RETRY_CODES) == {code.value for code in ErrorCode} - {"invalid_output"}

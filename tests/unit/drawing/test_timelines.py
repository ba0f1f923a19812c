"""Timelines: axis ticks, rows and links."""

from __future__ import annotations

import pytest
from stepflow_client.drawing.charts import Bar, choose_ticks, draw_timeline


@pytest.mark.parametrize(
    ("right_edge", "labels"),
    [
        (0.0003, ["0", "50µs", "100µs", "150µs", "200µs", "250µs", "300µs"]),
        (0.0468, ["0", "10ms", "20ms", "30ms", "40ms"]),
        (2.34, ["0", "0.5s", "1s", "1.5s", "2s"]),
        (4.68, ["0", "1s", "2s", "3s", "4s"]),
        (200, ["0", "30s", "1m", "1m30s", "2m", "2m30s", "3m"]),
        (3_700, ["0", "10m", "20m", "30m", "40m", "50m", "1h"]),
        (100_000, ["0", "6h", "12h", "18h", "1d"]),
        (900_000, ["0", "2d", "4d", "6d", "8d", "10d"]),
    ],
)
def test_ticks_are_round(right_edge: float, labels: list[str]) -> None:
    assert [label for _, label in choose_ticks(right_edge)] == labels


def test_each_axis_has_two_to_ten_ticks() -> None:
    right_edges = [1.3**power * 1e-6 for power in range(140)]
    assert {len(choose_ticks(right_edge)) for right_edge in right_edges} <= set(range(2, 11))


def test_timelines_can_share_a_scale() -> None:
    short = draw_timeline([Bar("a", 0, 1, "completed")], right_edge=10)
    assert 'x="230" y="26" width="64"' in short
    assert "10s" in short


def test_rows_are_links_and_running_bars_have_a_start_time() -> None:
    row = draw_timeline([Bar("a<b", 0, 1, "running", href="/runs/x/steps/a%3Cb", since="2026-11-27T00:00:00+00:00")])
    assert '<a href="/runs/x/steps/a%3Cb" data-step="a&lt;b">' in row
    assert row.count('data-since="2026-11-27T00:00:00+00:00"') == 2
    assert 'role="group"' in row
    assert "<a" not in draw_timeline([Bar("a", 0, 1, "running")])


def test_a_time_span_omits_other_rows_and_links_its_axis() -> None:
    bars = [Bar("early", 0, 1, "completed"), Bar("late", 3.2, 3.4, "completed"), Bar("whole", 0, 4, "completed")]
    chart = draw_timeline(bars, span=(3, 4), zoom=lambda begin, end: f"?span={begin:g}-{end:g}")
    assert [name for name in ("early", "late", "whole") if f">{name}</text>" in chart] == ["late", "whole"]
    assert 'x="358" y="26" width="128"' in chart
    # Bars are clipped to the axis.
    assert 'x="230" y="26" width="640"' in chart.replace('y="50"', 'y="26"')
    assert '<a href="?span=3.2-3.4"><title>Zoom into 3.2s to 3.4s</title>' in chart
    assert "<a" not in draw_timeline(bars, span=(3, 4))

"""The HTML page of an evaluation, and its form in notebooks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from stepflow_client.evaluation import EvaluationReport

from tests.unit.evaluation.planted import item, planted

PLANTED = EvaluationReport(planted(2, 120), name="ticket <1>")


def pair(before: Any, after: Any, **scores: tuple[Any, Any]) -> EvaluationReport:
    """Return a report of one case."""
    scores_by_side = [{name: values[side] for name, values in scores.items()} for side in (0, 1)]
    return EvaluationReport(
        [item("a", "one", scores_by_side[0], output=before), item("a", "two", scores_by_side[1], output=after)]
    )


def cases(page: str) -> list[str]:
    return re.findall(r'<details class="case".*?</summary>', page)


def test_the_page_has_all_parts(tmp_path: Path) -> None:
    page = PLANTED.to_html(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text("utf-8") == page
    assert "<title>Evaluation of ticket &lt;1&gt;</title>" in page
    for title in ("Summary", "Scores", "Changes from now", "Distributions", "Cases"):
        assert f"<h2>{title}</h2>" in page
    assert 'aria-label="changes: right"' in page
    assert 'aria-label="shares: right"' in page
    assert 'aria-label="histograms: time"' in page
    assert len(cases(page)) == 120
    assert not re.search("(src|href)=", page)
    # Numbers and their headings are right-aligned, sentences that begin with a number are not.
    assert "<td><div>100.0% of the items of now completed</div></td>" in page
    assert "<th>variant</th><th class=n>mean</th>" in page


def test_the_worst_cases_come_first() -> None:
    items = [item("good", "one", {"s": 0.0}), item("good", "two", {"s": 1.0}), item("same", "one", {"s": 1.0})]
    items += [item("same", "two", {"s": 1.0}), item("bad", "one", {"s": 1.0}), item("bad", "two", {"s": 0.5})]
    items += [item("gone", "one", {"s": 1.0}), item("gone", "two", {}, status="failed", error="no")]
    summaries = cases(EvaluationReport(items).to_html())
    assert [re.sub(".*<b>(.*)</b>.*", r"\1", each) for each in summaries] == ["gone", "bad", "same", "good"]
    assert ["data-worse" in each for each in summaries] == [True, True, False, False]
    assert 'class="values worse">s 1.000 → 0.500' in summaries[1]
    assert 'class="values better">s 0.000 → 1.000' in summaries[3]


def test_everything_in_a_case_is_escaped() -> None:
    evil = "</p><script>alert(1)</script>"
    fields = {"input": {evil: evil}, "expected": evil, "output": {"a": evil}, "run_id": None}
    items = [item(evil, evil, {evil: 0.5, "label": evil}), item(evil, "two", {evil: 0.25, "label": "x"})]
    items += [item("b", evil, {}, status="failed", error=evil), item("b", "two", {}, status=evil)]
    items = [each.__class__(**{**each.to_dict(), **fields, "score_errors": {evil: evil}}) for each in items]
    report = EvaluationReport(items, name=evil, remarks=[evil])
    comparison = report.compare("two", evil)
    for text in (report.to_html(ui_url="http://h/?<script>"), report._repr_html_(), comparison._repr_html_()):
        assert "script>alert" not in text.replace("&lt;script>", "")
        assert evil not in text
    assert '<a href="' not in report.to_html(ui_url="http://h/?<script>")


def test_differences_of_outputs_are_marked() -> None:
    before, after = {"text": "we are very sorry", "n": 1, "old": True}, {"text": "we are sorry", "n": 2, "new": None}
    page = pair(before, after, s=(1, 1)).to_html()
    assert "<code>$.text</code> we are <del>very </del>sorry" in page
    assert "<code>$.n</code> <del>1</del> <ins>2</ins>" in page
    assert "<code>$.old</code> <del>true</del> " in page
    assert "<code>$.new</code> <ins>null</ins>" in page
    assert "differences from" not in pair({"n": 1}, {"n": 1.0}, s=(1, 1)).to_html()


def test_all_repeats_are_shown_with_equal_ones_grouped() -> None:
    items = [
        item(
            "a",
            "one",
            {"s": number % 2, "ok": number != 3, "tone": "calm"},
            output={"n": f"out {number % 2}"},
            repeat=number,
        )
        for number in range(3)
    ]
    items += [item("a", "one", {}, status="failed", error="no answer", repeat=3, duration=0.5)]
    items += [item("b", "one", {"s": 1}, output="same", repeat=number, duration=1 + number) for number in range(4)]
    page = EvaluationReport(items).to_html()
    spread = "4 repeats, 1 failed, s 0.000 to 1.000, ok 3 of 3, tone 3 x calm, 500ms"
    assert f'<p class="soft">{spread}</p>' in page
    assert re.findall(r'<details class="repeat"( open|)><summary>([^<]*)', page) == [
        (" open", "repeat 1, 3 "),
        ("", "repeat 2 "),
        ("", "repeat 4 "),
    ]
    assert page.count("out 0") == page.count("out 1") == page.count('<p class="problem">no answer') == 1
    assert '<p class="soft">4 repeats, s 1.000, 1s to 4s</p>' in page
    assert page.count("same") == 1


def test_runs_are_links_if_the_ui_url_is_known() -> None:
    items = [item("a", "one", {"s": 1.0}), item("b", "one", {"s": 1.0}, item_index=3)]
    page = EvaluationReport(items).to_html(ui_url="http://localhost:7840/")
    assert 'href="http://localhost:7840/runs/run-a-one"' in page
    assert 'href="http://localhost:7840/runs/run-b-one/items/3"' in page
    assert "href=" not in EvaluationReport(items).to_html()


def test_a_page_of_many_long_cases_is_limited() -> None:
    text = "word " * 2_000
    items = (item(case, "one", {"s": case % 7}, output={"text": text, "more": [text] * 3}) for case in range(3_000))
    page = EvaluationReport(items).to_html()
    assert len(page) < 5_000_000
    count = len(cases(page))
    assert 50 < count < 500
    assert f"{3_000 - count:,} best cases are not on this page" in page
    # The worst cases are on the page.
    assert all('<span class="values">s 0.000' in each for each in cases(page)[:50])


def test_notebooks_show_tables_and_charts() -> None:
    report = PLANTED._repr_html_()
    assert report.count("<svg") == 4
    assert len(report) < 95_000
    for value in (PLANTED.summary(), PLANTED.compare("now", "slow")):
        bundle = value._repr_mimebundle_()
        assert bundle["text/html"].count("<table>") == 1
        assert bundle["text/plain"] == str(value)

"""The HTML report of an evaluation fits, is accessible, and filters cases, in Chromium."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import expect
from stepflow_client.evaluation import EvaluationItem, EvaluationReport

from tests.pages.conftest import check_themes
from tests.unit.evaluation.planted import item, planted


def report() -> EvaluationReport:
    items: list[EvaluationItem] = []
    for each in planted(3, 120):
        right = each.scores["right"]
        output = {"category": "refund" if right else "other", "reply": f"We are {'very ' * (not right)}sorry. " * 20}
        scores = {**each.scores, "tone": "calm" if right else "rude", "cost": 0.01 + int(each.case) / 10_000}
        failed = each.variant == "slow" and int(each.case) % 20 == 7
        more = {"output": output, "expected": {"category": "refund"}, "input": {"text": f"order {each.case} <late>"}}
        if failed:
            scores, more = {}, {"status": "failed", "error": "the model refused: rate limit"}
        items.append(item(each.case, each.variant, scores, duration=each.duration, **more))
        more |= {"status": "failed", "error": "the model refused: rate limit"} if not right else {}
        items.append(item(each.case, each.variant, scores if right else {}, repeat=1, duration=each.duration, **more))
    return EvaluationReport(items, name="ticket", lower_is_better=["cost"], remarks=["Shared: load."])


def test_the_page_fits_and_is_accessible(open_page: Any) -> None:
    page = open_page(report().to_html())
    page.locator(".case:has(.repeat) > summary").first.click()
    page.locator(".case[open] .repeat > summary").nth(1).click()
    expect(page.locator(".case[open] .repeat[open]").nth(1)).to_contain_text("the model refused")
    for width in (1280, 360):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        check_themes(page, "evaluation")


def test_cases_are_filtered_and_more_are_shown(open_page: Any) -> None:
    page = open_page(report().to_html())
    shown, count = page.locator(".case:visible"), page.locator("#count")
    expect(count).to_have_text("120 cases")
    expect(shown).to_have_count(50)
    page.get_by_role("button", name="50 more").click()
    expect(shown).to_have_count(100)
    page.get_by_role("button", name="20 more").click()
    expect(shown).to_have_count(120)
    expect(page.locator(".more")).to_be_hidden()
    page.get_by_role("searchbox").fill("ORDER 11 ")
    expect(count).to_have_text("1 case")
    page.get_by_role("searchbox").fill("no such text")
    expect(count).to_have_text("0 cases")
    page.get_by_role("searchbox").fill("")
    page.get_by_label("only regressions").check()
    worse = page.locator('.case[data-worse="1"]').count()
    assert 0 < worse < 120
    expect(count).to_have_text(f"{worse} cases")


def test_without_javascript_all_cases_are_visible(browser: Any) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.set_content(report().to_html())
    expect(page.locator(".case:visible")).to_have_count(120)
    expect(page.locator(".filter")).to_be_hidden()
    context.close()

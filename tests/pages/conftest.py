"""Chromium, and checks of its pages for accessibility and layout.

The tests need axe-core from npm; STEPFLOW_AXE is the path of its file.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

SHOTS = os.environ.get("STEPFLOW_SHOTS")
"""A folder for screenshots."""


AXE = Path(os.environ.get("STEPFLOW_AXE", ".build/axe/node_modules/axe-core/axe.min.js"))
WIDTHS = [(360, 768), (1280, 1920)]
"""The widths of the narrow and the wide layout."""
CONTRAST = ["color-contrast"]
"""Rules whose results differ between the light and the dark theme."""
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]


def violations(page: Page, rules: list[str] = _RULES) -> list[list[str]]:
    """Return the rule, impact and element of each violation that axe-core finds on a page."""
    assert AXE.is_file(), f"there is no {AXE}; npm install --prefix .build/axe axe-core"
    # The page's content security policy blocks injected scripts, but not DevTools.
    devtools = page.context.new_cdp_session(page)
    devtools.send("Runtime.evaluate", {"expression": AXE.read_text()})
    # Passed checks would be megabytes, so return violations only.
    result: list[list[str]] = page.evaluate(
        """async (rules) => {
            const { violations } = await axe.run(document, { runOnly: rules, resultTypes: ['violations'] });
            return violations.map((each) => [each.id, each.impact, each.nodes[0].html]);
        }""",
        rules,
    )
    devtools.detach()
    return result


def shot(page: Page, name: str) -> None:
    """Write a screenshot if STEPFLOW_SHOTS is set."""
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)


def check_pages(
    context: BrowserContext, base: str, paths: dict[str, str], prefix: str, widths: tuple[int, ...]
) -> None:
    """Check that pages fit the widths of a layout and that axe-core finds no violation in either theme."""
    page = context.new_page()
    for name, path in paths.items():
        page.set_viewport_size({"width": widths[0], "height": 900})
        page.goto(base + path)
        check_themes(page, prefix + name)
        for width in widths:
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)
    page.close()


def check_themes(page: Page, name: str) -> None:
    """Check that axe-core finds no violation on an open page in the light and dark themes."""
    for scheme, rules in (("light", _RULES), ("dark", CONTRAST)):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        assert violations(page, rules) == [], (name, scheme)
        shot(page, f"{name}-{page.evaluate('innerWidth')}-{scheme}")


@pytest.fixture(autouse=True, scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the history of the tests apart from the user's."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium from Debian or from the path in STEPFLOW_CHROMIUM."""
    program = os.environ.get("STEPFLOW_CHROMIUM") or shutil.which("chromium")
    assert program, "there is no chromium; install it (Debian: apt-get install chromium)"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Browser, tmp_path: Any) -> Iterator[Any]:
    """Return a function that opens HTML as a file; any request, console message or dialog fails the test."""
    opened = []
    complaints: list[str] = []

    def show(html: str, scheme: str = "light") -> Any:
        path = tmp_path / f"page{len(opened)}.html"
        path.write_text(html, encoding="utf-8")
        page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
        opened.append(page)
        page.on("request", lambda request: complaints.append(request.url) if request.url != path.as_uri() else None)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("dialog", lambda dialog: complaints.append("dialog"))
        page.goto(path.as_uri())
        return page

    yield show
    for page in opened:
        page.close()
    assert complaints == []

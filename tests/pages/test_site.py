"""The documentation site built by `make docs`: pages fit and are accessible, links work, and the search finds pages."""

from __future__ import annotations

import html
import http.server
import re
import threading
import tomllib
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.pages.conftest import shot, violations

ROOT = Path(__file__).parents[2]
SITE = ROOT / ".build" / "site"
QUESTIONS = {
    "how do I retry a batch": "/troubleshooting/",
    "why is my step not run": "/troubleshooting/",
    "set a timeout": "/troubleshooting/",
    "rerun from a step": "/troubleshooting/",
    "embedded server": "/guides/embedded/",
    "mock a component": "/guides/testing-flows/",
    "csv": "/guides/batches/",
    "error routing component": "/troubleshooting/",
    "install": "/quickstart/",
    "fastapi": "/guides/hosts/",
    "vscode": "/guides/editors/",
    "sqlite": "/guides/production/",
    "jupyter": "/guides/hosts/",
    "docker": "/guides/production/",
    "windows": "/quickstart/",
    "postgres": "/guides/history/",
    "postgres server store": "/guides/production/",
    "compare two runs": "/troubleshooting/",
    "loop over a list": "/troubleshooting/",
    "use an existing server": "/troubleshooting/",
    "upgrade from stepflow-py": "/migration/",
    "if else": "/troubleshooting/",
    "logs of a run": "/troubleshooting/",
}

CUT = """
[...document.querySelectorAll("article pre > code")]
    .filter((block) => block.scrollWidth > block.clientWidth).map((block) => block.textContent.slice(0, 80))
"""


def pages() -> list[str]:
    def below(entry: Any) -> Iterator[str]:
        if isinstance(entry, str):
            yield entry.removesuffix(".md").removesuffix("index")
        else:
            for each in entry.values() if isinstance(entry, dict) else entry:
                yield from below(each)

    return [*below(tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"])]


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The URL of a local server for the site."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(SITE))

        def log_message(self, *args: object) -> None:
            pass

    assert SITE.is_dir(), "there is no site; make docs"
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", range(8))
def test_every_page(browser: Browser, site: str, part: int) -> None:
    # Each page is checked in one width and theme only, because pages differ only in their content.
    width, scheme = ((360, "light"), (1280, "dark"))[part % 2]
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    for path in pages()[part::8]:
        page.goto(f"{site}/{path}", wait_until="load")
        # Wait until site.js has completed the elements that the theme adds.
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        if width == 360:
            assert page.evaluate(CUT) == [], path
        background = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
        assert (sum(background[:3]) < 150) == (scheme == "dark"), path
        assert violations(page) == [], path
        shot(page, f"site-{path.strip('/').replace('/', '-') or 'home'}-{width}-{scheme}")
    assert [url for url in requests if not url.startswith((site, "blob:", "data:"))] == []
    context.close()


def test_links_lead_to_pages_and_headings() -> None:
    texts = {file: file.read_text("utf-8") for file in SITE.rglob("*.html")}
    anchors = {file: set(re.findall(r"""\bid=["']?([^"'\s>]+)""", text)) for file, text in texts.items()}
    dead = []
    for file, text in texts.items():
        for link in re.findall(r"""<(?:a|img)\b[^>]*?\b(?:href|src)=["']?([^"'\s>]*)""", text):
            path, _, anchor = urllib.parse.unquote(html.unescape(link)).partition("#")
            if ":" in path:
                continue
            folder = SITE if path.startswith("/") else file.parent
            target = (folder / path.lstrip("/")).resolve() if path else file
            target = target / "index.html" if target.is_dir() else target
            if not target.exists() or (anchor and target in anchors and anchor not in anchors[target]):
                dead.append(f"{file.relative_to(SITE)}: {link}")
    assert dead == []


def search_hits(page: Page) -> list[str]:
    """Return the paths in the search results, which are in a shadow tree."""
    paths: list[str] = page.evaluate(
        """() => {
            const found = [];
            const walk = (root) => root.querySelectorAll("*").forEach((element) => {
                if (element.shadowRoot) walk(element.shadowRoot);
                if (root !== document && element.tagName === "A" && element.href) found.push(element.pathname);
            });
            walk(document);
            return found;
        }"""
    )
    return paths


def test_questions_find_their_page(browser: Browser, site: str) -> None:
    page = browser.new_page()
    page.goto(site, wait_until="networkidle")
    page.locator("button.md-search__button").first.click()
    field = page.locator("input[role=combobox], input[type=search], input[type=text]").first
    field.wait_for()
    missed = {}
    for question, expected in QUESTIONS.items():
        before = search_hits(page)
        field.fill(question)
        # The search runs in a worker and does not signal when it has finished.
        for _ in range(50):
            page.wait_for_timeout(100)
            if search_hits(page) != before and expected in search_hits(page)[:3]:
                break
        if expected not in search_hits(page)[:3]:
            missed[question] = search_hits(page)[:3]
    page.close()
    assert missed == {}

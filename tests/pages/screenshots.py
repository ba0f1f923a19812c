"""Write docs/pictures, screenshots of the pages of `stepflow ui`: make screenshots

A real server runs flows of an example shop, and Chromium takes screenshots of `stepflow ui`. IDs and times are replaced
by fixed values, but durations are not, so new screenshots differ in a few numbers and in the lengths of bars.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from stepflow_client import StepflowRuntime, SyncStepflowClient
from stepflow_client._rules.failure_groups import group_failures
from stepflow_client.history import History

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "docs" / "pictures"
_SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
_WIDE, _NARROW = {"width": 1280, "height": 860}, {"width": 360, "height": 740}
_COLOURS = 96

ORDER = """\
name: order
schemas:
  type: object
  properties:
    input:
      type: object
      required: [customer, items]
      properties:
        customer:
          type: object
          title: Customer
          required: [name]
          properties:
            name: {type: string, title: Name, minLength: 2}
            card: {type: string, title: Card, pattern: "^[0-9]{4}$", examples: ["4242"]}
        items:
          type: array
          title: Items
          items:
            type: object
            properties:
              article: {type: string, title: Article}
              count: {type: integer, title: Count, minimum: 1}
        express: {type: boolean, title: Express, default: false}
steps:
- id: load_customer
  component: /builtin/sleep
  input: {duration_ms: 90, passthrough: {$input: $.customer}}
- id: check_stock
  component: /builtin/sleep
  input: {duration_ms: 160, passthrough: {$input: $.items}}
- id: price_items
  component: /builtin/sleep
  input: {duration_ms: 60, passthrough: {$step: check_stock, path: $.passthrough}}
- id: charge_card
  component: /builtin/noop
  input: {card: {$step: load_customer, path: $.passthrough.card}, for: {$step: price_items, path: $.passthrough}}
- id: pack
  component: /builtin/sleep
  input: {duration_ms: 120, passthrough: {paid: {$step: charge_card}, items: {$step: check_stock, path: $.passthrough}}}
- id: send_receipt
  component: /builtin/noop
  input: {to: {$step: load_customer, path: $.passthrough.name}, charge: {$step: charge_card}}
output: {receipt: {$step: send_receipt}, parcel: {$step: pack, path: $.passthrough.items}}
"""
INVOICES: dict[str, Any] = {
    "name": "invoices",
    "steps": [
        {
            "id": "read_invoice",
            "component": "/builtin/sleep",
            "input": {"duration_ms": {"$input": "$.ms"}, "passthrough": {"$input": "$.invoice"}},
        },
        {
            "id": "check_total",
            "component": "/builtin/noop",
            "input": {"total": {"$step": "read_invoice", "path": "$.passthrough.total"}},
        },
        {
            "id": "book",
            "component": "/builtin/noop",
            "input": {"total": {"$step": "check_total"}, "account": {"$input": "$.account"}},
        },
    ],
    "output": {"$step": "book"},
}
GREETING: dict[str, Any] = {
    "name": "greeting",
    "steps": [{"id": "greet", "component": "/builtin/noop", "input": {"hello": {"$input": "$.name"}}}],
    "output": {"$step": "greet"},
}

FREEZE = r"""() => {
  const ids = new Map();
  const whole = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;
  const fixed = (id) => {
    if (!ids.has(id)) ids.set(id, `019c5f${10 + ids.size}-1000-7000-8000-000000000000`);
    return ids.get(id);
  };
  // Replace IDs in links first, because texts only show their first characters.
  for (const link of document.querySelectorAll('[href*="/runs/"]')) {
    for (const id of link.getAttribute("href").match(whole) ?? []) fixed(id);
  }
  const changed = (text) => {
    const now = text.replace(whole, fixed).replace(/127\.0\.0\.1:\d+/g, "localhost:7837");
    return now.replace(/\b[0-9a-f]{8}(-[0-9a-f-]*)?\b/g, (found) => {
      const id = [...ids.keys()].find((each) => each.startsWith(found));
      return id ? ids.get(id).slice(0, 8) : found;
    });
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode()); ) {
    if (node.data !== changed(node.data)) node.data = changed(node.data);
  }
  for (const field of document.querySelectorAll("input[type=text]")) field.value = changed(field.value);
  // The pages show times relative to now.
  [...document.querySelectorAll("time")].forEach((time, place) => {
    time.dateTime = new Date(Date.now() - (3 + 4 * place) * 60_000).toISOString();
    time.textContent = "";
  });
}"""
"""Replaces everything that differs between runs: IDs, times and the server's port."""


def order(name: str, card: str | None = "4242") -> dict[str, Any]:
    """Return the input of the flow `order`."""
    customer = {"name": name} if card is None else {"name": name, "card": card}
    return {"customer": customer, "items": [{"article": "teapot", "count": 1}, {"article": "cup", "count": 6}]}


def invoices(count: int, ms: int, *, faulty: bool) -> list[dict[str, Any]]:
    """Return inputs of the flow `invoices`; with `faulty`, some lack the total and others the account."""
    inputs: list[dict[str, Any]] = []
    for number in range(count):
        flow_input: dict[str, Any] = {"invoice": {"number": 1000 + number, "total": 40 + number}, "account": "8400"}
        if faulty and number % 11 == 3:
            del flow_input["invoice"]["total"]
        if faulty and number % 23 == 5:
            del flow_input["account"]
        inputs.append({**flow_input, "ms": ms + 7 * (number * number % 13)})
    return inputs


@contextmanager
def started_pages(url: str, folder: Path) -> Iterator[str]:
    """Serve the pages, and yield the link that opens them."""
    command = [sys.executable, "-m", "stepflow_cli", "ui", "--no-open", "--url", url, "--flows", str(folder)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        yield next(match[0] for line in process.stderr if (match := re.search(r"http\S+token=\S+", line)))
    finally:
        process.terminate()
        process.communicate()


class Photographer:
    """Takes pictures of pages in both themes.

    Args:
        browser: The browser.
        link: The link that opens the pages.
        folder: The folder for the pictures.
    """

    def __init__(self, browser: Browser, link: str, folder: Path) -> None:
        """Open the link."""
        self._base = link.partition("/?")[0]
        self._folder = folder
        self._context = browser.new_context(viewport=_WIDE)
        self.page: Page = self._context.new_page()
        self.page.goto(link)
        self.page.wait_for_url("**/runs")

    def go(self, path: str) -> Page:
        """Open a page."""
        self.page.goto(self._base + path)
        return self.page

    def take(self, name: str, *, is_narrow: bool = False) -> None:
        """Write screenshots of the open page in both themes."""
        self.page.set_viewport_size(_NARROW if is_narrow else _WIDE)
        self.page.wait_for_timeout(300)
        self.page.evaluate(FREEZE)
        self.page.wait_for_timeout(100)
        for scheme in _SCHEMES:
            self.page.emulate_media(color_scheme=scheme)
            path = self._folder / f"{name}{'-narrow' if is_narrow else ''}-{scheme}.png"
            write_small(self.page.screenshot(clip=self._clip()), path)
        self.page.set_viewport_size(_WIDE)

    def _clip(self) -> dict[str, float]:
        """Return the part of the window that has content."""
        size = self.page.viewport_size
        assert size is not None
        box = self.page.locator("main").bounding_box()
        assert box is not None
        return {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], box["y"] + box["height"])}


def write_small(png: bytes, path: Path) -> None:
    """Write a picture with a reduced palette, which is enough for text and flat areas."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.quantize(_COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(path, optimize=True)


def take_all(camera: Photographer, client: SyncStepflowClient, flow: Path) -> None:
    """Take the pictures of all pages."""
    camera.go("/runs")
    camera.take("empty")
    batch, failed = make_runs(client, flow)
    camera.go("/runs")
    camera.take("runs")
    camera.take("runs", is_narrow=True)
    camera.go(f"/runs/{batch}")
    camera.take("batch")
    camera.take("batch", is_narrow=True)
    camera.go(f"/runs/{failed}")
    camera.take("failed-run")
    camera.take("failed-run", is_narrow=True)
    page = camera.go("/flows")
    camera.take("flows")
    page.get_by_role("link", name="order").first.click()
    page.wait_for_url("**/flows/*")
    page.locator("#start").scroll_into_view_if_needed()
    camera.take("start")
    fixed = change(camera, failed)
    camera.go(f"/runs/{fixed}/compare?with={failed}&item=0")
    camera.take("compare")
    camera.go(f"/runs/{fixed}/keep?item=0")
    camera.take("keep")
    running = client.submit(INVOICES, invoices(600, 900, faulty=True), max_concurrency=20)
    page = camera.go(f"/runs/{running}")
    # The content security policy blocks scripts that could wait for this.
    page.locator(".cells .completed").nth(330).wait_for(timeout=120_000)
    camera.take("running-batch")
    client.wait_run(running, timeout=120)


def make_runs(client: SyncStepflowClient, flow: Path) -> tuple[str, str]:
    """Start the runs for the pictures; return the IDs of a failed batch and of a failed run."""
    for name in ("Ada", "Grace", "Edsger"):
        client.run(flow, order(name), labels={"shop": "north"})
    client.run(GREETING, {"name": "World"})
    batch = client.submit(INVOICES, invoices(120, 20, faulty=True), labels={"month": "march"})
    client.wait_run(batch, timeout=60)
    client.wait_run(client.submit(INVOICES, invoices(40, 10, faulty=False)), timeout=60)
    client.run(flow, order("Barbara"), labels={"shop": "south"})
    failed = client.submit(flow, order("Alan", None), labels={"shop": "north"})
    client.wait_run(failed, timeout=60)
    assert len(group_failures(client.get_run_items(batch))) == 2
    return batch, failed


def change(camera: Photographer, failed: str) -> str:
    """Change the input of a failed run on its page; return the ID of the new run."""
    page = camera.go(f"/runs/{failed}/change?item=0")
    page.get_by_label("Card").fill("4242")
    page.get_by_role("button", name="Show what would run").click()
    page.wait_for_selector("#plan h2")
    page.evaluate("scrollTo(0, 0)")
    camera.take("change")
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_url(lambda url: "/change" not in url)
    page.wait_for_selector("#summary .completed", timeout=60_000)
    return page.url.rpartition("/")[2].partition("?")[0]


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=PICTURES, help="the folder")
    folder: Path = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    chromium = os.environ.get("STEPFLOW_CHROMIUM") or shutil.which("chromium")
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as home:
        os.environ["XDG_STATE_HOME"] = home
        flow = Path(home) / "flows" / "order.yaml"
        flow.parent.mkdir()
        flow.write_text(ORDER)
        with StepflowRuntime.start() as server, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            with (
                SyncStepflowClient(server.url, history=History()) as client,
                started_pages(server.url, flow.parent) as link,
            ):
                take_all(Photographer(browser, link, folder), client, flow)
            browser.close()
    size = sum(each.stat().st_size for each in folder.glob("*.png"))
    print(f"{len(list(folder.glob('*.png')))} pictures, {size / 1000:.0f} kB, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()

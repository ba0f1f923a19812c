"""Pages that change while they are open, in Chromium, on a real server."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import expect
from stepflow_client import StepflowRuntime

from tests.pages.test_ui import FORM, Seen, server, tab

__all__ = ["server", "tab"]

FRESH = """
const { takeOver } = await import('/static/patch.js');
const text = await (await fetch(location.href)).text();
window.update = (change) => {
  const fresh = new DOMParser().parseFromString(text, 'text/html');
  change(fresh);
  takeOver(fresh);
};
"""
INSERT_ROWS = """
([begin, end]) => {
  for (let count = begin; count <= end; count++) {
    update((fresh) => {
      const body = fresh.querySelector('#items tbody');
      for (let number = 0; number < count; number++) {
        const row = fresh.createElement('tr');
        row.dataset.key = `new-${number}`;
        row.innerHTML = `<th><a href="/runs/new-${number}">${count}</a></th><td colspan="4">
          <details><summary>more</summary>${count}</details></td>`;
        body.prepend(row);
      }
      for (const row of body.querySelectorAll('tr:not([data-key^=new])')) {
        row.lastElementChild.innerHTML += `<details><summary>kept</summary><p>long text</p></details>
          <input value="given"><textarea rows="2">${'line\\n'.repeat(20)}</textarea>`;
      }
      fresh.querySelector('#summary').append(`${count}`);
    });
  }
}
"""


def test_the_hands_keep_what_they_hold_over_200_updates(tab: Seen, server: StepflowRuntime) -> None:
    run_id = server.sync_client.submit(FORM, [{"topic": str(number), "ms": 0} for number in range(5)])
    server.sync_client.wait_run(run_id)
    page = tab.go(f"/runs/{run_id}")
    page.evaluate(f"async () => {{ {FRESH} }}")
    page.evaluate(INSERT_ROWS, [1, 1])
    row = page.locator('#items tr[data-key="3"]')
    row.locator("summary").click()
    row.locator("input").fill("typed")
    row.locator("textarea").evaluate("e => { e.scrollTop = 20 }")
    link = row.locator("th a")
    link.focus()
    page.evaluate("""
        window.held = {
          row: document.querySelector('#items tr[data-key="3"]'),
          focus: document.activeElement,
          parts: [...document.querySelectorAll('#items tr[data-key="3"] *')],
        };
        getSelection().selectAllChildren(held.row.querySelector('details p'));
    """)
    page.evaluate(INSERT_ROWS, [2, 201])
    expect(page.locator("#items tbody tr")).to_have_count(206)
    expect(page.locator("#summary")).to_contain_text("201")
    found: dict[str, Any] = page.evaluate("""() => {
        const row = document.querySelector('#items tr[data-key="3"]');
        return {
          row: row === held.row,
          parts: [...row.querySelectorAll('*')].every((each, place) => each === held.parts[place]),
          focus: document.activeElement === held.focus,
          selection: getSelection().toString(),
          details: [...document.querySelectorAll('#items details')].filter((each) => each.open).length,
          open: row.querySelector('details').open,
          typed: row.querySelector('input').value,
          scroll: row.querySelector('textarea').scrollTop,
        };
    }""")
    assert found == {
        "row": True, "parts": True, "focus": True, "selection": "long text", "details": 1, "open": True,
        "typed": "typed", "scroll": 20,
    }  # fmt: skip


def test_what_a_script_has_changed_stays_until_the_server_changes_it(tab: Seen, server: StepflowRuntime) -> None:
    run_id = server.sync_client.submit(FORM, [{"topic": "tea", "ms": 0}] * 3)
    server.sync_client.wait_run(run_id)
    page = tab.go(f"/runs/{run_id}")
    page.evaluate(f"async () => {{ {FRESH} }}")
    page.evaluate("""() => {
        document.querySelector('#items th a').textContent = 'zero';
        document.querySelector('#items tr[data-key="1"]').classList.add('chosen');
        document.querySelector('#summary').append('added');
        update((fresh) => { fresh.querySelector('#items tr[data-key="1"] td').textContent = 'other'; });
    }""")
    expect(page.locator("#items tr[data-key='0'] th")).to_have_text("zero")
    expect(page.locator("#items tr.chosen td").first).to_have_text("other")
    expect(page.locator("#summary")).to_contain_text("added")
    # Rows that change their places are moved, and those that are gone are removed.
    page.evaluate("""() => {
        document.querySelector('#items tr[data-key="2"] a').focus();
        update((fresh) => {
          const body = fresh.querySelector('#items tbody');
          body.prepend(body.querySelector('tr[data-key="2"]'));
          body.querySelector('tr[data-key="0"]').remove();
        });
    }""")
    expect(page.locator("#items tbody th")).to_have_text(["2", "1"])
    assert page.evaluate("document.activeElement.textContent") == "2"

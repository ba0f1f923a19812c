// The list of runs. New runs are held back while the list is in use, and entire rows are clickable.

import { sourceOf, takeOver } from "./patch.js";

const list = document.getElementById("list");
const waiting = document.getElementById("waiting");
let latest;

const rowsOf = (root) => [...root.querySelectorAll("tr[data-key]")];

function isHeld() {
  return list.contains(document.activeElement) || (matchMedia("(hover: hover)").matches && list.matches(":hover"));
}

// Keeps the current rows, including any now on the next page. Returns the number of new rows held back.
function hold(fresh) {
  const body = fresh.querySelector("#list tbody");
  const present = rowsOf(list);
  if (!present.length || !body || !isHeld()) return 0;
  const known = new Map(rowsOf(body).map((row) => [row.dataset.key, row]));
  const rows = present.map((row) => known.get(row.dataset.key) ?? sourceOf(row).cloneNode(true));
  const count = [...known.values()].filter((row) => !rows.includes(row)).length;
  body.replaceChildren(...rows);
  return count;
}

function show(count) {
  waiting.hidden = !count;
  const words = `${count} new ${count === 1 ? "run" : "runs"}`;
  if (count && waiting.textContent !== words) waiting.textContent = words;
}

// Applies a fresh page, but keeps the current rows if the list is in use.
export function takeOverList(fresh) {
  if (!list || !waiting) return takeOver(fresh);
  latest = fresh.cloneNode(true);
  const count = hold(fresh);
  takeOver(fresh);
  show(count);
  if (!count) latest = undefined;
}

function release() {
  if (!latest) return;
  takeOver(latest);
  latest = undefined;
  show(0);
}

if (list && waiting) {
  waiting.addEventListener("click", () => {
    release();
    list.querySelector("tbody a")?.focus();
  });
  for (const name of ["pointerleave", "focusout"]) {
    list.addEventListener(name, () => setTimeout(() => isHeld() || release()));
  }
}

// Suggest completions for the last word of the query.
const query = document.getElementById("find");
const terms = [...document.querySelectorAll("#terms option")];
query?.addEventListener("input", () => {
  const begin = query.value.replace(/\S*$/, "");
  for (const term of terms) term.value = begin + term.textContent;
});

document.addEventListener("click", (event) => {
  const row = event.target.closest("tr[data-key]");
  const link = row?.querySelector("th a");
  if (!link || event.target.closest("a,button,summary,input,select,textarea,td:first-child") || String(getSelection())) return;
  if (event.ctrlKey || event.metaKey) open(link.href, "_blank", "noopener");
  else link.click();
});

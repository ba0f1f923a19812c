import { sliding } from "./patch.js";

// Shows a batch's items as a grid of small links. The server sends the states; only this script touches the grid.

// Keep in sync with STATES in `run_followers.py`.
const STATES = ["waiting", "running", "completed", "failed", "cancelled"];
// Beyond this many items, cells are smaller than the 24px needed for touch. The table has the same links.
const MANY = 200;
const grid = document.getElementById("grid");
const cells = [];
let box;
let current;

function statesOf(text) {
  const states = [];
  for (const each of text ? text.split(";") : []) {
    const [code, ranges] = each.split(":");
    for (const range of ranges.split(",")) {
      const [first, last] = range.split("-").map(Number);
      for (let index = first; index <= (last ?? first); index++) states[index] = STATES[code];
    }
  }
  return states;
}

function show() {
  const states = statesOf(grid.dataset.states);
  // The batch may still be registering its items.
  while (cells.length < Number(grid.dataset.total)) {
    const cell = document.createElement("a");
    cell.href = `/runs/${grid.dataset.run}/items/${cells.length}`;
    cell.tabIndex = -1;
    cells.push(cell);
    box.append(cell);
  }
  for (const [index, cell] of cells.entries()) {
    const state = states[index] ?? STATES[0];
    if (cell.className === state) continue;
    cell.className = state;
    cell.ariaLabel = cell.title = `Item ${index}: ${state}`;
  }
}

// Tab moves focus into the grid, and arrow keys move within it.
function step(event) {
  const place = cells.indexOf(document.activeElement);
  const width = cells.findIndex((cell) => cell.offsetTop > cells[0].offsetTop);
  const row = width > 0 ? width : cells.length;
  const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -row, ArrowDown: row }[event.key];
  const next = event.key === "Home" ? cells[0] : event.key === "End" ? cells.at(-1) : cells[place + by];
  if (place < 0 || !next || (by === undefined && !/^(Home|End)$/.test(event.key))) return;
  event.preventDefault();
  enter(next);
  next.focus();
}

function enter(cell) {
  if (current) current.tabIndex = -1;
  current = cell;
  cell.tabIndex = 0;
}

if (grid && Number(grid.dataset.total)) {
  const className = Number(grid.dataset.total) > MANY ? "cells dense" : "cells";
  box = Object.assign(document.createElement("div"), { className });
  box.addEventListener("keydown", step);
  box.addEventListener("focusin", (event) => cells.includes(event.target) && enter(event.target));
  const legend = Object.assign(document.createElement("p"), { className: "legend soft" });
  for (const state of STATES) {
    const entry = document.createElement("span");
    entry.append(Object.assign(document.createElement("i"), { className: state }), state);
    legend.append(entry, " ");
  }
  show();
  enter(cells[0]);
  sliding(() => {
    grid.append(legend, box);
    grid.hidden = false;
  });
  document.addEventListener("patched", show);
}

// A batch while it runs: its numbers, and all of its items as a grid of small links.

import { showNumbers } from "./numbers.js";

// The same states as in `states.py`, in the same order.
const STATES = ["waiting", "running", "completed", "failed", "cancelled"];
const grid = document.getElementById("grid");
const cells = [];
let current;

function describe(cell, state, index = cells.indexOf(cell)) {
  cell.className = state;
  cell.ariaLabel = cell.title = `Item ${index}: ${state}`;
}

function* changesIn(text) {
  for (const each of text ? text.split(";") : []) {
    const [code, ranges] = each.split(":");
    for (const range of ranges.split(",")) {
      const [first, last] = range.split("-").map(Number);
      for (let index = first; index <= (last ?? first); index++) yield [index, STATES[code]];
    }
  }
}

function apply(text) {
  for (const [index, state] of changesIn(text)) {
    const cell = cells[index];
    // The page may be older than what the stream has told: states only go on.
    if (cell && STATES.indexOf(state) > STATES.indexOf(cell.className)) describe(cell, state, index);
  }
  for (const row of document.querySelectorAll("#items tr[data-key]")) {
    const word = row.querySelector(".status");
    const state = cells[row.dataset.key]?.className;
    if (state && word && word.textContent !== state) {
      word.textContent = state;
      word.className = `status ${state}`;
    }
  }
}

// One Tab reaches the grid; arrow keys move in it.
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

function build() {
  const box = document.createElement("div");
  box.className = "cells";
  for (let index = 0; index < Number(grid.dataset.total); index++) {
    const cell = document.createElement("a");
    cell.href = `/runs/${grid.dataset.run}/items/${index}`;
    cell.tabIndex = -1;
    cells.push(cell);
    describe(cell, STATES[0], index);
  }
  box.append(...cells);
  enter(cells[0]);
  box.addEventListener("keydown", step);
  box.addEventListener("focusin", (event) => cells.includes(event.target) && enter(event.target));
  const legend = document.createElement("p");
  legend.className = "legend soft";
  for (const state of STATES) {
    const mark = document.createElement("i");
    mark.className = state;
    legend.append(mark, `${state} `);
  }
  grid.append(legend, box);
  grid.hidden = false;
  apply(grid.dataset.states);
}

export function showBatch(numbers) {
  const box = document.querySelector("[data-progress]");
  if (box) showNumbers(box, numbers);
  apply(numbers.states);
  for (const state of grid && numbers.states ? STATES : []) {
    const count = document.querySelector(`#items [data-state="${state}"] span`);
    if (count) count.textContent = cells.filter((cell) => cell.className === state).length;
  }
}

if (grid && Number(grid.dataset.total)) {
  build();
  document.addEventListener("patched", () => apply(grid.dataset.states));
}

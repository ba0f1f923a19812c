// Selects a step without reloading the page, from the graph, timeline or table, or from links in the panel.

import { takeOver } from "./patch.js";

// Fetches a page. If that fails, navigates to `url` and returns null.
export async function fetchPage(address, url = address) {
  const response = await fetch(address).catch(() => null);
  if (response?.ok) return new DOMParser().parseFromString(await response.text(), "text/html");
  location.assign(url);
  return null;
}

// Whether a click would open the link in the same tab.
export const isPlain = (event) => !(event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey);

const panel = document.getElementById("panel");
let latest = 0;

function mark() {
  const { step, box } = panel.dataset;
  for (const link of document.querySelectorAll("[data-step]:is(a)")) {
    const name = link.dataset.step;
    const isBox = link.closest("#graph");
    const isCurrent = step !== "" && !link.closest("#panel") && name === (isBox ? box || step : step);
    if (isCurrent) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
}

async function show(url, isNew) {
  const number = ++latest;
  const part = new URL(url);
  part.searchParams.set("part", "panel");
  const fresh = await fetchPage(part, url);
  if (!fresh || number !== latest) return;
  if (isNew) history.pushState(null, "", url);
  takeOver(fresh);
  panel.closest(".pane").scrollTop = 0;
  mark();
  if (isNew && panel.getBoundingClientRect().top < 0) panel.scrollIntoView({ block: "start" });
}

if (panel) {
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[data-step]");
    if (!link || !isPlain(event)) return;
    event.preventDefault();
    // SVG links don't have a string `href` property.
    show(new URL(link.getAttribute("href"), location.href).href, true);
  });
  addEventListener("popstate", () => show(location.href, false));
  document.addEventListener("patched", mark);
  mark();
}

// Expands "more" links in outputs and inputs in place.

import { fetchPage, isPlain } from "./panel.js";

async function open(link) {
  const fresh = await fetchPage(link.href);
  const whole = fresh?.querySelector("#tree > .js")?.firstElementChild;
  const entry = link.closest("div");
  if (!whole) return;
  const text = whole.querySelector(":scope > pre");
  // Replace truncated text with the full text. Otherwise, add the new entries after those already shown.
  const shown = entry.previousElementSibling;
  if (text && shown?.localName === "pre") shown.replaceWith(text);
  const more = text ? [...whole.querySelectorAll(":scope > pre ~ *")] : [...whole.children].filter((each) => each.localName !== "summary");
  const hadFocus = document.activeElement === link;
  entry.replaceWith(...more);
  if (hadFocus) (more[0]?.querySelector("summary,a") ?? shown?.closest("details")?.querySelector("summary"))?.focus();
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a.more");
  if (!link || !isPlain(event)) return;
  event.preventDefault();
  open(link);
});

// Outputs and inputs: "more" opens in its place.

async function open(link) {
  const response = await fetch(link.href, { credentials: "same-origin" }).catch(() => null);
  if (!response?.ok) {
    location.assign(link.href);
    return;
  }
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  const tree = fresh.querySelector("#tree > .js");
  const whole = tree?.firstElementChild;
  const entry = link.closest("div");
  if (!whole) return;
  const text = whole.querySelector(":scope > pre");
  // The rest of a text replaces its beginning; other entries follow those that are shown.
  const shown = entry.previousElementSibling;
  if (text && shown?.localName === "pre") shown.replaceWith(text);
  const more = text ? [...whole.querySelectorAll(":scope > pre ~ *")] : [...whole.children].filter((each) => each.localName !== "summary");
  const hadFocus = document.activeElement === link;
  entry.replaceWith(...more);
  if (hadFocus) (more[0]?.querySelector("summary,a") ?? shown?.closest("details")?.querySelector("summary"))?.focus();
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a.more");
  if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  open(link);
});

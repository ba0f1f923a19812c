// Outputs and inputs: "more" opens in its place, and JSON is copied from where it is.

const told = document.getElementById("told");

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

async function copy(button) {
  const text = fetch(button.dataset.copyUrl, { credentials: "same-origin" }).then((response) => response.text());
  try {
    if (navigator.clipboard.write) {
      const blob = text.then((found) => new Blob([found], { type: "text/plain" }));
      await navigator.clipboard.write([new ClipboardItem({ "text/plain": blob })]);
    } else {
      await navigator.clipboard.writeText(await text);
    }
    told.textContent = "Copied.";
    button.dataset.done = "";
  } catch {
    told.textContent = "The browser does not allow copying.";
    location.assign(button.dataset.copyUrl);
  }
  setTimeout(() => {
    delete button.dataset.done;
    told.textContent = "";
  }, 1500);
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a.more");
  const button = event.target.closest?.("[data-copy-url]");
  if (button) copy(button);
  if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  open(link);
});

// Takes over what the server sent anew, part by part.

// What the server sent for each part: what somebody has opened or typed since then makes no difference.
const sources = new Map();
for (const part of document.querySelectorAll("[data-part]")) sources.set(part.id, part.innerHTML);

export function takeOver(fresh) {
  for (const part of document.querySelectorAll("[data-part]")) {
    const next = fresh.getElementById(part.id);
    if (!next) continue;
    // Forms have other tokens each time: what says that they are the same is on the part.
    const isSame = part.dataset.same === undefined ? sources.get(part.id) === next.innerHTML
      : part.dataset.same === next.dataset.same;
    if (isSame) continue;
    sources.set(part.id, next.innerHTML);
    const open = [...part.querySelectorAll("details")].map((each) => each.open);
    const scrolled = [...part.querySelectorAll(".scroll")].map((each) => [each.scrollLeft, each.scrollTop]);
    const focusable = "a,button,summary,[tabindex]";
    const place = [...part.querySelectorAll(focusable)].indexOf(document.activeElement);
    for (const name of part.getAttributeNames()) if (!next.hasAttribute(name)) part.removeAttribute(name);
    for (const name of next.getAttributeNames()) part.setAttribute(name, next.getAttribute(name));
    part.replaceChildren(...document.importNode(next, true).childNodes);
    part.querySelectorAll("details").forEach((each, index) => {
      if (index < open.length) each.open = open[index];
    });
    part.querySelectorAll(".scroll").forEach((each, index) => {
      if (index < scrolled.length) [each.scrollLeft, each.scrollTop] = scrolled[index];
    });
    if (place >= 0) part.querySelectorAll(focusable)[place]?.focus({ preventScroll: true });
  }
}

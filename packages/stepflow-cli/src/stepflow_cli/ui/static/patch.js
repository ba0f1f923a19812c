// Morphs the parts of a page into the parts of a fresh copy from the server.
//
// Each node remembers the server's node it was created from. Only differences between that node and the new one are
// applied, which preserves changes by the user or scripts: focus, selection, open details, typed values, scroll
// positions, ticking times, and nodes added by scripts.

const sources = new WeakMap();

function learn(node, source) {
  sources.set(node, source);
  for (let index = 0; index < source.childNodes.length; index++) learn(node.childNodes[index], source.childNodes[index]);
}

for (const part of document.querySelectorAll("[data-part]")) learn(part, part.cloneNode(true));

function keyOf(source) {
  return source.nodeType === Node.ELEMENT_NODE ? source.dataset.key || source.id || source.dataset.step || "" : "";
}

function setAttributes(node, source, next) {
  for (const name of new Set([...source.getAttributeNames(), ...next.getAttributeNames()])) {
    const value = next.getAttribute(name);
    if (value === source.getAttribute(name) || (name === "open" && node.localName === "details")) continue;
    if (value === null) node.removeAttribute(name);
    else node.setAttribute(name, value);
  }
}

function move(parent, node, place) {
  // `moveBefore` preserves the node's focus and scroll position.
  if (parent.moveBefore && node.isConnected) parent.moveBefore(node, place);
  else parent.insertBefore(node, place);
}

function made(next) {
  const node = document.importNode(next, true);
  learn(node, next);
  return node;
}

// Pairs new children with existing children of the same kind, by key if they have one, or else in order.
function paired(children, next) {
  const keyed = new Map();
  const others = [];
  for (const child of children) {
    const key = keyOf(sources.get(child));
    if (key) keyed.set(key, child);
    else others.push(child);
  }
  return [...next.childNodes].map((fresh) => {
    const key = keyOf(fresh);
    const found = key ? keyed.get(key) : others[0];
    if (found?.nodeName !== fresh.nodeName) return [null, fresh];
    if (!key) others.shift();
    return [found, fresh];
  });
}

function setChildren(node, next) {
  const present = [...node.childNodes].filter((child) => sources.has(child));
  const pairs = paired(present, next);
  const kept = new Set(pairs.map(([child]) => child));
  // Remove old nodes first, so that nodes still in order are never moved. Also remove text written by scripts, which
  // would duplicate the server's text.
  for (const child of [...node.childNodes]) {
    if (sources.has(child) ? !kept.has(child) : child.nodeType === Node.TEXT_NODE) child.remove();
  }
  let place = node.firstChild;
  for (const [child, fresh] of pairs) {
    while (place && !sources.has(place)) place = place.nextSibling;
    if (child === null) node.insertBefore(made(fresh), place);
    else if (child === place) place = place.nextSibling;
    else move(node, child, place);
    if (child !== null) morph(child, fresh);
  }
}

function morph(node, next) {
  const source = sources.get(node);
  if (source.isEqualNode(next)) return;
  sources.set(node, next);
  if (node.nodeType === Node.ELEMENT_NODE) {
    setAttributes(node, source, next);
    setChildren(node, next);
  } else if (source.data !== next.data) {
    node.data = next.data;
  }
}

// Elements moved by an update slide into place. If they jumped, users might lose their line or click the wrong one.
const MOVABLE = "[data-part], [data-part] [data-key]";

export function sliding(update) {
  // Browsers keep a scrolled page in place by themselves.
  const isStill = scrollY > 0 || document.hidden || matchMedia("(prefers-reduced-motion: reduce)").matches;
  const nodes = isStill ? [] : [...document.querySelectorAll(MOVABLE)].filter((node) => node.offsetHeight);
  const before = nodes.map((node) => node.getBoundingClientRect().top);
  update();
  const moves = new Map(nodes.map((node, index) => [node, node.getBoundingClientRect().top - before[index]]));
  for (const [node, by] of moves) {
    const own = by - (moves.get(node.parentElement?.closest(MOVABLE)) ?? 0);
    if (!node.isConnected || !own) continue;
    const slide = node.animate([{ transform: `translateY(${-own}px)` }, {}], { duration: 200, composite: "add" });
    // Start from the node's old position, however late the next frame is.
    slide.pause();
    requestAnimationFrame(() => setTimeout(() => slide.play()));
  }
}

// Returns the server's node that a node was created from.
export const sourceOf = (node) => sources.get(node);

// Applies a fresh page to the open page. Scripts can listen for `patched`.
export function takeOver(fresh) {
  const focused = document.activeElement;
  sliding(() => {
    for (const part of document.querySelectorAll("[data-part]")) {
      const next = fresh.getElementById(part.id);
      if (next) morph(part, next);
    }
    if (fresh.title) document.title = fresh.title;
    if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
    document.dispatchEvent(new Event("patched"));
  });
}

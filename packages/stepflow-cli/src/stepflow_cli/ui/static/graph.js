// Zooming with buttons or ctrl+wheel, panning by dragging, and bars that grow while their step is running.

// Set the zoom in a style sheet, because attributes are managed by the server.
const sheet = new CSSStyleSheet();
document.adoptedStyleSheets.push(sheet);
const sizes = new Map();

function set(box, size) {
  const scroll = box.querySelector(".scroll");
  const before = sizes.get(box.dataset.zoom) ?? 1;
  const now = Math.min(4, Math.max(0.05, size));
  const middle = [scroll.scrollLeft + scroll.clientWidth / 2, scroll.scrollTop + scroll.clientHeight / 2];
  sizes.set(box.dataset.zoom, now);
  sheet.replaceSync([...sizes].map(([name, by]) => `[data-zoom="${name}"] svg{zoom:${by}}`).join(""));
  scroll.scrollLeft = (middle[0] * now) / before - scroll.clientWidth / 2;
  scroll.scrollTop = (middle[1] * now) / before - scroll.clientHeight / 2;
}

function fit(box, least = 0.05) {
  const scroll = box.querySelector(".scroll");
  const svg = scroll.querySelector("svg");
  const tall = Number.parseFloat(getComputedStyle(scroll).maxHeight) || innerHeight;
  const size = Math.min(scroll.clientWidth / svg.width.baseVal.value, tall / svg.height.baseVal.value, 1);
  set(box, Math.max(size, least));
}

for (const box of document.querySelectorAll(".zoom")) {
  const svg = box.querySelector("svg");
  const scroll = box.querySelector(".scroll");
  // Shrink large graphs at first, but keep their text readable.
  if (svg.width.baseVal.value > scroll.clientWidth) fit(box, 0.75);
  const selected = box.querySelector("[aria-current]");
  if (selected) {
    const [place, frame] = [selected.getBoundingClientRect(), scroll.getBoundingClientRect()];
    if (place.top < frame.top || place.bottom > frame.bottom) scroll.scrollTop += place.top + place.height / 2 - frame.top - frame.height / 2;
    if (place.width < frame.width && (place.left < frame.left || place.right > frame.right)) {
      scroll.scrollLeft += place.left + place.width / 2 - frame.left - frame.width / 2;
    }
  }
}

document.addEventListener("click", (event) => {
  const by = event.target.closest?.("[data-by]")?.dataset.by;
  if (!by) return;
  const box = event.target.closest(".zoom");
  if (by === "fit") fit(box);
  else set(box, by === "1" ? 1 : (sizes.get(box.dataset.zoom) ?? 1) * Number(by));
});

document.addEventListener("wheel", (event) => {
  const box = event.ctrlKey && event.target.closest?.(".zoom");
  if (!box) return;
  event.preventDefault();
  set(box, (sizes.get(box.dataset.zoom) ?? 1) * Math.exp(-event.deltaY / 300));
}, { passive: false });

let held = null;
document.addEventListener("pointerdown", (event) => {
  const scroll = event.button === 0 && event.pointerType === "mouse" && event.target.closest?.("svg")?.closest(".zoom .scroll");
  held = scroll && !event.target.closest("a,text") ? [scroll, event.clientX, event.clientY] : null;
});
document.addEventListener("pointermove", (event) => {
  if (!held || !(event.buttons & 1)) return;
  const [scroll, x, y] = held;
  scroll.scrollLeft -= event.clientX - x;
  scroll.scrollTop -= event.clientY - y;
  held = [scroll, event.clientX, event.clientY];
});

function grow() {
  for (const bar of document.querySelectorAll("rect[data-since]")) {
    const { scale } = bar.closest("svg").dataset;
    const most = bar.closest("svg").viewBox.baseVal.width - 90 - bar.x.baseVal.value;
    const wide = Math.min(most, ((Date.now() - new Date(bar.dataset.since)) / 1000) * scale);
    bar.setAttribute("width", Math.max(2, wide).toFixed(1));
    const text = bar.parentElement.querySelector("text[data-since]");
    text?.setAttribute("x", (bar.x.baseVal.value + wide + 5).toFixed(1));
  }
}
if (document.querySelector("#timeline")) setInterval(() => !document.hidden && grow(), 1000);

// What the theme leaves out for keyboards and screen readers. It adds these elements after the page has loaded.
function complete() {
  document.querySelectorAll("nav.md-code__nav").forEach((nav, index) => {
    nav.setAttribute("aria-label", `Code ${index + 1}`);
  });
  const labels = new Set();
  document.querySelectorAll("nav[aria-label]").forEach((nav, index) => {
    const label = nav.getAttribute("aria-label");
    if (labels.has(label)) nav.setAttribute("aria-label", `${label}, ${index}`);
    labels.add(label);
  });
  document.querySelectorAll(".md-typeset__scrollwrap, .md-typeset pre > code").forEach((box) => {
    if (box.scrollWidth > box.clientWidth) box.setAttribute("tabindex", "0");
  });
}

let due = 0;
function later() {
  cancelAnimationFrame(due);
  due = requestAnimationFrame(complete);
}

window.addEventListener("load", later);
new MutationObserver(later).observe(document.body, { childList: true, subtree: true });

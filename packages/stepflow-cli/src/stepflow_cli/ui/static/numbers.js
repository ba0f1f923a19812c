// The numbers of a running batch, on its page and in the list of runs.

export function showNumbers(box, { text, completed, failed, total }) {
  const words = box.querySelector("[data-text]");
  if (words && words.textContent !== text) words.textContent = text;
  const bar = box.querySelector("[data-bar]");
  if (!bar) return;
  const [good, bad] = bar.children;
  const part = (count) => (total ? (1000 * count) / total : 0);
  good.setAttribute("width", part(completed));
  bad.setAttribute("x", part(completed));
  bad.setAttribute("width", part(failed));
  bar.setAttribute("aria-label", `${completed} completed and ${failed} failed of ${total}`);
}

// Buttons that copy: [data-copy] has the text, [data-copy-from] the selector of an element with the text,
// [data-copy-url] the URL of the text.

const announced = document.getElementById("announced");

async function textOf({ copy, copyFrom, copyUrl }) {
  if (copyUrl) return (await fetch(copyUrl)).text();
  return copyFrom ? document.querySelector(copyFrom).textContent : copy;
}

async function put(text) {
  if (navigator.clipboard?.write) {
    // A promise: browsers allow copying only soon after a click.
    const blob = text.then((found) => new Blob([found], { type: "text/plain" }));
    return navigator.clipboard.write([new ClipboardItem({ "text/plain": blob })]);
  }
  if (navigator.clipboard) return navigator.clipboard.writeText(await text);
  // Browsers have no clipboard for pages from other machines without TLS.
  const area = document.createElement("textarea");
  area.value = await text;
  document.body.append(area);
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  if (!isCopied) throw new Error("refused");
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy],[data-copy-from],[data-copy-url]");
  if (!button) return;
  event.preventDefault();
  try {
    await put(textOf(button.dataset));
    button.focus();
    button.dataset.done = "";
    announced.textContent = "Copied.";
  } catch {
    announced.textContent = "The browser does not allow copying.";
    if (button.dataset.copyUrl) location.assign(button.dataset.copyUrl);
  }
  setTimeout(() => {
    delete button.dataset.done;
    announced.textContent = "";
  }, 1500);
});

// Copy buttons. The text is in [data-copy], the element selected by [data-copy-from], or at [data-copy-url].

const announced = document.getElementById("announced");

async function textOf({ copy, copyFrom, copyUrl }) {
  if (copyUrl) return (await fetch(copyUrl)).text();
  return copyFrom ? document.querySelector(copyFrom).textContent : copy;
}

async function put(text) {
  if (navigator.clipboard?.write) {
    // Pass a promise, because browsers only allow copying right after a click.
    const blob = text.then((found) => new Blob([found], { type: "text/plain" }));
    return navigator.clipboard.write([new ClipboardItem({ "text/plain": blob })]);
  }
  if (navigator.clipboard) return navigator.clipboard.writeText(await text);
  // There is no clipboard API without TLS, unless the page is from this machine.
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

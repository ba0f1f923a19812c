// Buttons that copy: [data-copy] has the text, [data-copy-from] the selector of the element whose text is copied.

const told = document.getElementById("told");

async function put(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Browsers have no clipboard for pages from other machines without TLS.
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  if (!isCopied) throw new Error("refused");
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy],[data-copy-from]");
  if (!button) return;
  event.preventDefault();
  const from = button.dataset.copyFrom && document.querySelector(button.dataset.copyFrom);
  try {
    await put(from ? from.textContent : button.dataset.copy ?? "");
  } catch {
    told.textContent = "The browser does not allow copying.";
    return;
  }
  button.focus();
  button.dataset.done = "";
  told.textContent = "Copied.";
  setTimeout(() => {
    delete button.dataset.done;
    told.textContent = "";
  }, 1500);
});

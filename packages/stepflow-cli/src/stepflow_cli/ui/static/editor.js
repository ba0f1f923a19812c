// Checks a flow as the user types.

const editor = document.querySelector("[data-check]");
if (editor) {
  const list = document.getElementById("findings");
  let timer;
  let latest = 0;
  const check = async () => {
    const number = ++latest;
    const body = new URLSearchParams({ csrf: editor.dataset.check, text: editor.value });
    const response = await fetch("/flows/check", { method: "POST", body });
    if (!response.ok || number !== latest) return;
    const { findings } = await response.json();
    list.replaceChildren(...findings.map((each) => {
      const entry = document.createElement("li");
      entry.className = each.level === "warning" ? "soft" : "problem";
      entry.textContent = `Line ${each.line}: ${each.message}${each.hint ? ` (${each.hint})` : ""}`;
      return entry;
    }));
  };
  editor.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(check, 400);
  });
  document.getElementById("file")?.addEventListener("change", async (event) => {
    const file = event.target.files[0];
    if (!file || file.size > 1_000_000) return;
    editor.value = await file.text();
    event.target.value = "";
    check();
  });
}

// Keyboard shortcuts: / to search, j and k to move between rows, f for the next failure, ? for help.

const KEYS = [
  ["/", "Find runs"],
  ["j", "Next row"],
  ["k", "Previous row"],
  ["f", "Next failure"],
  ["Enter", "Open it"],
  ["?", "Show these keys"],
];
const ROWS = "main tbody tr th a, main [data-row] a:first-of-type";
const FAILURES = "main tr:has(.status.failed, .status.recovery_failed) th a, main .cells a.failed, main a[data-failed]";

let dialog;

function help() {
  if (!dialog) {
    dialog = document.createElement("dialog");
    dialog.ariaLabel = "Keys";
    const list = document.createElement("dl");
    for (const [key, what] of KEYS) {
      const term = document.createElement("dt");
      term.append(Object.assign(document.createElement("kbd"), { textContent: key }));
      list.append(term, Object.assign(document.createElement("dd"), { textContent: what }));
    }
    const close = Object.assign(document.createElement("button"), { textContent: "Close" });
    close.addEventListener("click", () => dialog.close());
    dialog.append(list, close);
    document.body.append(dialog);
  }
  if (dialog.open) dialog.close();
  else dialog.showModal();
}

// Moves the focus to the next or previous matching link.
function go(selector, by) {
  const links = [...document.querySelectorAll(selector)].filter((link) => link.getClientRects().length);
  if (!links.length) return;
  const from = document.activeElement;
  const place = links.indexOf(from.closest("tr")?.querySelector("th a") ?? from);
  let next = place + by;
  if (place < 0) {
    const after = links.findIndex((link) => from.compareDocumentPosition(link) & Node.DOCUMENT_POSITION_FOLLOWING);
    next = from === document.body || after < 0 ? 0 : by > 0 ? after : after - 1;
  }
  const link = links[(next + links.length) % links.length];
  link.focus();
  link.scrollIntoView({ block: "nearest" });
}

function find() {
  const field = document.querySelector("input[type=search]");
  if (!field) location.assign("/runs#find");
  else field.select();
}

const ACTIONS = {
  "/": find,
  j: () => go(ROWS, 1),
  k: () => go(ROWS, -1),
  f: () => go(FAILURES, 1),
  "?": help,
};

document.addEventListener("keydown", (event) => {
  const action = ACTIONS[event.key];
  const isTyped = event.target.closest("input,textarea,select,[contenteditable]");
  if (!action || isTyped || event.ctrlKey || event.metaKey || event.altKey) return;
  if (dialog?.open && event.key !== "?") return;
  event.preventDefault();
  action();
});

document.getElementById("keys").addEventListener("click", help);
if (location.hash === "#find") find();

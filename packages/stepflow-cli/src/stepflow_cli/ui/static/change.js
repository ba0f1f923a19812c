// Shows lists as rows, which update the field's JSON. Without scripts, the JSON itself can be edited.

function read(control) {
  const text = control.value;
  if (text === "") return undefined;
  if (control.dataset.kind === "number") return Number(text);
  return control.dataset.kind === "text" ? text : JSON.parse(text);
}

function write(control, value) {
  control.value = value === undefined ? "" : control.dataset.kind === "text" ? value : JSON.stringify(value);
  return value === undefined || read(control) === value;
}

class Rows {
  constructor(area) {
    this.area = area;
    this.template = document.getElementById(area.dataset.rows);
    this.keys = JSON.parse(this.template.dataset.keys);
    this.isFlat = this.keys.length === 1 && this.keys[0] === "";
    this.title = area.labels[0]?.firstChild.textContent.trim() ?? "";
    this.list = document.createElement("ol");
    this.list.className = "rows";
  }

  show() {
    const values = this.area.value.trim() ? JSON.parse(this.area.value) : [];
    if (!Array.isArray(values) || !values.every((value) => this.add(value))) return;
    const more = this.button(`Add to ${this.title}`, () => {
      this.add(this.isFlat ? undefined : {});
      this.list.lastElementChild.querySelector("[data-kind]").focus();
      this.store();
    });
    more.textContent = "Add";
    this.area.after(this.list, more);
    this.area.hidden = true;
    this.area.labels[0]?.querySelector(".as-json")?.remove();
    this.area.labels[0]?.removeAttribute("for");
    this.list.setAttribute("aria-label", this.title);
    this.list.addEventListener("input", () => this.store());
  }

  button(name, act) {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-label", name);
    button.addEventListener("click", act);
    return button;
  }

  // Returns whether the row can show all of the value.
  add(value) {
    const row = document.createElement("li");
    row.append(this.template.content.cloneNode(true));
    const number = this.list.children.length + 1;
    for (const label of row.querySelectorAll("label")) {
      const name = this.isFlat ? `${this.title} ${number}` : `${label.firstElementChild.textContent} ${number}`;
      label.lastElementChild.setAttribute("aria-label", name);
      if (this.isFlat) label.firstElementChild.remove();
    }
    const remove = this.button(`Remove ${this.title} ${number}`, () => {
      row.remove();
      this.store();
    });
    remove.textContent = "Remove";
    row.append(remove);
    this.list.append(row);
    if (this.isFlat) return write(row.querySelector("[data-kind]"), value);
    if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
    if (!Object.keys(value).every((key) => this.keys.includes(key))) return false;
    return [...row.querySelectorAll("[data-kind]")].every((each, place) => write(each, value[this.keys[place]]));
  }

  store() {
    const values = [...this.list.children].map((row) => {
      const controls = [...row.querySelectorAll("[data-kind]")];
      if (this.isFlat) return read(controls[0]) ?? (controls[0].dataset.kind === "text" ? "" : null);
      const entries = controls.map((each, place) => [this.keys[place], read(each)]);
      return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
    });
    this.area.value = values.length ? JSON.stringify(values) : "";
  }
}

for (const area of document.querySelectorAll("textarea[data-rows]")) {
  try {
    new Rows(area).show();
  } catch {
    // Leave values that rows can't show as text.
  }
}

// Once the text has been edited, it becomes the input and the fields are not submitted.

const raw = document.getElementById("raw");
const fields = document.getElementById("input-fields");

function choose() {
  const isChanged = raw.value !== raw.defaultValue || "typed" in raw.dataset;
  fields.disabled = isChanged && raw.value.trim() !== "";
}

if (raw && fields) {
  raw.addEventListener("input", choose);
  choose();
}

// Show the plan without reloading the page, so that secrets stay in their fields.

const form = document.getElementById("change");
form?.addEventListener("submit", async (event) => {
  if (event.submitter?.value !== "plan") return;
  event.preventDefault();
  const body = new URLSearchParams(new FormData(form, event.submitter));
  const response = await fetch(form.action, { method: "POST", body });
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  const sent = fresh.getElementById("change");
  if (!sent) return;
  form.elements.csrf.value = sent.elements.csrf.value;
  const problem = fresh.getElementById("problem");
  const plan = document.getElementById("plan");
  plan.replaceChildren(...(problem ? [problem] : fresh.getElementById("plan").childNodes));
  plan.scrollIntoView({ block: "nearest" });
});

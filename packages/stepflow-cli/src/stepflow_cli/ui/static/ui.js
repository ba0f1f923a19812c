// Keeps an open page as it is on the server, and checks a flow while it is typed. Pages can be read without it.

const notice = document.getElementById("notice");
let isShown = false;

function say(words, isGood = false) {
  notice.classList.toggle("good", isGood);
  if (notice.textContent !== words) notice.textContent = words;
}

// What the server sent for each part: what somebody has opened or typed since then makes no difference.
const sources = new Map();
for (const part of document.querySelectorAll("[data-part]")) sources.set(part.id, part.innerHTML);

function takeOver(fresh) {
  for (const part of document.querySelectorAll("[data-part]")) {
    const next = fresh.getElementById(part.id);
    if (!next) continue;
    // Forms have other tokens each time: what says that they are the same is on the part.
    const isSame = part.dataset.same === undefined ? sources.get(part.id) === next.innerHTML
      : part.dataset.same === next.dataset.same;
    if (isSame) continue;
    sources.set(part.id, next.innerHTML);
    const open = [...part.querySelectorAll("details")].map((each) => each.open);
    const scrolled = [...part.querySelectorAll(".scroll")].map((each) => [each.scrollLeft, each.scrollTop]);
    const focusable = "a,button,summary,[tabindex]";
    const place = [...part.querySelectorAll(focusable)].indexOf(document.activeElement);
    for (const name of part.getAttributeNames()) if (!next.hasAttribute(name)) part.removeAttribute(name);
    for (const name of next.getAttributeNames()) part.setAttribute(name, next.getAttribute(name));
    part.replaceChildren(...document.importNode(next, true).childNodes);
    part.querySelectorAll("details").forEach((each, index) => {
      if (index < open.length) each.open = open[index];
    });
    part.querySelectorAll(".scroll").forEach((each, index) => {
      if (index < scrolled.length) [each.scrollLeft, each.scrollTop] = scrolled[index];
    });
    if (place >= 0) part.querySelectorAll(focusable)[place]?.focus({ preventScroll: true });
  }
}

let isFetching = false;
let isStale = false;

async function refresh(stream) {
  if (isFetching) {
    isStale = true;
    return;
  }
  isFetching = true;
  try {
    do {
      isStale = false;
      const response = await fetch(location.href, { credentials: "same-origin" });
      if (response.status === 401) {
        stream.close();
        say("This page belongs to a 'stepflow ui' that has ended. Open the link of the new one.");
        return;
      }
      if (response.redirected && response.url !== location.href) {
        location.assign(response.url);
        return;
      }
      const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
      if (response.ok && !document.getElementById("again")) {
        takeOver(fresh);
      } else if (response.ok) {
        location.reload();
        return;
      } else if (document.getElementById("again")) {
        setTimeout(() => refresh(stream), 2000);
      }
      if (response.ok && !fresh.body.dataset.live) {
        stream.close();
        say("");
      }
    } while (isStale);
  } catch {
    // The stream says what is wrong.
  } finally {
    isFetching = false;
  }
}

function follow(url) {
  const stream = new EventSource(url);
  let wasDown = false;
  stream.addEventListener("open", () => {
    if (isShown) refresh(stream);
    isShown = true;
  });
  stream.addEventListener("server", (message) => {
    const isDown = message.data === "down";
    if (isDown) say("The server does not respond. The page goes on as soon as it does.");
    else say(wasDown ? "The server is back." : "", true);
    // A page that could not be shown may have missed that the server was down.
    if (!isDown && (wasDown || document.getElementById("again"))) refresh(stream);
    wasDown = isDown;
  });
  stream.addEventListener("change", () => refresh(stream));
  stream.addEventListener("error", () => {
    wasDown = true;
    if (stream.readyState === EventSource.CLOSED) {
      // Refused: the server was away, or this session is over. A closed stream does not try again by itself.
      say("The connection to 'stepflow ui' is lost. Trying again.");
      refresh(stream);
      setTimeout(() => follow(url), 3000);
    } else {
      say("The connection to 'stepflow ui' is lost. Trying again.");
    }
  });
  addEventListener("pagehide", () => stream.close());
}

if (document.body.dataset.live) follow(document.body.dataset.live);

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

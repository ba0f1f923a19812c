// Follows changes on the server, using an event stream or polling.

import { takeOverList } from "./list.js";

// Browsers open up to six connections per host. If all were streams, no further page could load.
const STREAMS = 4;
const LOOK_MS = 5_000;
const HIDDEN_LOOK_MS = 15_000;
// Before the next fetch, wait this many times the duration of the last one.
const REST = 3;
const LOST = "Lost the connection to 'stepflow ui'. Trying again.";
const DOWN = "The server does not respond. The page will continue when it does.";

const notice = document.getElementById("notice");
let isFetching = false;
let isStale = false;
let isPolling = false;
let isOver = false;
let wasDown = false;
let starts = 0;
let stop = () => {};

// Shows a notice at the top, e.g. when the connection is lost.
function say(words, isGood = false) {
  notice.classList.toggle("good", isGood);
  if (notice.textContent !== words) notice.textContent = words;
}

function end() {
  isOver = true;
  stop();
}

async function takeFresh() {
  const url = location.href;
  const response = await fetch(url);
  if (response.status === 401) {
    end();
    return say("This page belongs to a 'stepflow ui' that has exited. Open the link from the new one.");
  }
  if (response.redirected && response.url !== location.href) return location.assign(response.url);
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  // A different step was selected in the meantime.
  if (url !== location.href) return takeFresh();
  const isAway = document.getElementById("again");
  if (response.ok && isAway) return location.reload();
  if (isAway) setTimeout(refresh, 2000);
  // An error page is live only if it's because the server doesn't respond.
  if (isPolling) say(response.ok || !fresh.body.dataset.live ? "" : DOWN);
  if (!response.ok) return undefined;
  takeOverList(fresh);
  if (fresh.body.dataset.live) return undefined;
  end();
  return say("");
}

async function refresh() {
  if (isFetching) {
    isStale = true;
    return;
  }
  isFetching = true;
  try {
    do {
      isStale = false;
      const began = performance.now();
      await takeFresh();
      // Refresh less often if the page is expensive to render.
      await new Promise((go) => setTimeout(go, isOver ? 0 : REST * (performance.now() - began)));
    } while (isStale && !isOver);
  } catch {
    // If there is a stream, it reports the reason.
    if (isPolling) say(LOST);
  } finally {
    isFetching = false;
  }
}

// Returns a function to release the stream's slot, or null if other pages hold every slot.
function place(number = 0) {
  if (!navigator.locks) return Promise.resolve(() => {});
  if (number === STREAMS) return Promise.resolve(null);
  return new Promise((found) => {
    navigator.locks.request(`stream ${number}`, { ifAvailable: true }, (lock) =>
      lock ? new Promise((free) => { found(free); }) : void found(place(number + 1)));
  });
}

function listen(stream, restart) {
  stream.addEventListener("server", (message) => {
    const isDown = message.data === "down";
    if (isDown) say(DOWN);
    else say(wasDown ? "The server is back." : "", true);
    // Also refresh an error page, which may have loaded while the server was down.
    if (!isDown && (wasDown || document.getElementById("again"))) refresh();
    wasDown = isDown;
  });
  stream.addEventListener("change", refresh);
  stream.addEventListener("error", () => {
    wasDown = true;
    say(LOST);
    // Refused, because the server was down or the session is over. A closed stream doesn't reconnect by itself.
    if (stream.readyState !== EventSource.CLOSED) return;
    refresh();
    setTimeout(restart, 3000);
  });
}

export function follow(url) {
  let isShown = false;

  async function start() {
    const number = ++starts;
    stop();
    if (isOver) return;
    const free = document.hidden ? null : await place();
    if (number !== starts) {
      free?.();
      return;
    }
    isPolling = !free;
    if (isPolling) {
      const timer = setInterval(refresh, document.hidden ? HIDDEN_LOOK_MS : LOOK_MS);
      stop = () => clearInterval(timer);
      return;
    }
    const stream = new EventSource(url);
    stop = () => { stream.close(); free(); };
    stream.addEventListener("open", () => {
      if (isShown) refresh();
      isShown = true;
    });
    listen(stream, () => number === starts && start());
  }

  start();
  // Leave the streams to visible pages.
  document.addEventListener("visibilitychange", start);
  addEventListener("pagehide", () => stop());
  addEventListener("pageshow", (event) => event.persisted && start());
}

// Follows what happens on the server.

import { say } from "./notice.js";
import { takeOverList } from "./list.js";

let isShown = false;
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
        takeOverList(fresh);
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

export function follow(url, showProgress) {
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
  stream.addEventListener("progress", (message) => showProgress(JSON.parse(message.data)));
  stream.addEventListener("error", () => {
    wasDown = true;
    if (stream.readyState === EventSource.CLOSED) {
      // Refused: the server was away, or this session is over. A closed stream does not try again by itself.
      say("The connection to 'stepflow ui' is lost. Trying again.");
      refresh(stream);
      setTimeout(() => follow(url, showProgress), 3000);
    } else {
      say("The connection to 'stepflow ui' is lost. Trying again.");
    }
  });
  addEventListener("pagehide", () => stream.close());
}

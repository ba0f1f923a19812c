// Shows times in a readable form and keeps them up to date, e.g. "3m ago" with the full time in a tooltip.

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86400;
const whole = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const short = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const dated = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });

function ago(seconds) {
  if (seconds < 5) return "just now";
  if (seconds < MINUTE) return `${Math.floor(seconds)}s ago`;
  if (seconds < HOUR) return `${Math.floor(seconds / MINUTE)}m ago`;
  return seconds < DAY ? `${Math.floor(seconds / HOUR)}h ago` : "";
}

// Formats durations like the command line does: 42s, 3m05s, 2h04m, 3d02h.
export function duration(seconds) {
  const two = (number) => String(Math.floor(number)).padStart(2, "0");
  if (seconds < MINUTE) return `${Math.floor(seconds)}s`;
  if (seconds < HOUR) return `${Math.floor(seconds / MINUTE)}m${two(seconds % MINUTE)}s`;
  if (seconds < DAY) return `${Math.floor(seconds / HOUR)}h${two((seconds % HOUR) / MINUTE)}m`;
  return `${Math.floor(seconds / DAY)}d${two((seconds % DAY) / HOUR)}h`;
}

function words(element, time, seconds) {
  const recent = ago(seconds);
  if (element.dataset.show === "whole") return whole.format(time) + (recent && ` (${recent})`);
  return recent || (seconds < 300 * DAY ? short : dated).format(time);
}

// Reuses the server's text node, so that `patch.js` recognizes it.
const write = (element, text) => {
  if (element.textContent === text) return;
  if (element.firstChild?.nodeType === Node.TEXT_NODE) element.firstChild.data = text;
  else element.textContent = text;
};

let timer;

// Safe to call at any time: elements whose text is already correct aren't touched.
export function showTimes() {
  clearTimeout(timer);
  const now = Date.now();
  let pause = 60;
  for (const element of document.querySelectorAll("time[datetime]")) {
    const time = new Date(element.dateTime);
    if (Number.isNaN(time.getTime())) continue;
    const seconds = Math.max(0, (now - time) / 1000);
    write(element, words(element, time, seconds));
    const title = `${whole.format(time)} here, ${time.toISOString().slice(0, 19).replace("T", " ")} UTC`;
    if (element.title !== title) element.title = title;
    if (seconds < MINUTE) pause = Math.min(pause, 5);
  }
  for (const element of document.querySelectorAll("[data-since]")) {
    write(element, duration(Math.max(0, (now - new Date(element.dataset.since)) / 1000)));
    pause = 1;
  }
  observer.takeRecords();
  if (!document.hidden) timer = setTimeout(showTimes, pause * 1000);
}

const observer = new MutationObserver(showTimes);
observer.observe(document.getElementById("main"), { childList: true, characterData: true, subtree: true });
document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : showTimes()));
showTimes();

// Keeps a page fresh: on each change the page is fetched again, and only the rows that differ are
// replaced, by their ids. Nothing moves while text is selected. Pages are whole without this file.

const live = document.getElementById("live");
let stale = false;
let fetching = false;

const holdStill = () => document.hidden || !getSelection().isCollapsed;

function say(text) {
  live.textContent = text;
  live.hidden = text === "";
}

async function refresh() {
  if (fetching || holdStill()) {
    stale = true;
    if (!document.hidden) say("changes are waiting while text is selected");
    return;
  }
  fetching = true;
  stale = false;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (answer.ok) patch(new DOMParser().parseFromString(await answer.text(), "text/html"));
    say("");
  } catch {
    say("Thump does not answer; trying again");
  } finally {
    fetching = false;
    if (stale) setTimeout(refresh, 250);
  }
}

function patch(fresh) {
  document.title = fresh.title;
  for (const part of document.querySelectorAll("[data-live-self]")) {
    const next = fresh.getElementById(part.id);
    if (next && next.innerHTML !== part.innerHTML) part.replaceChildren(...next.childNodes);
  }
  const bodies = document.querySelectorAll("[data-live]");
  const freshBodies = fresh.querySelectorAll("[data-live]");
  if (bodies.length !== freshBodies.length) {
    // The first row, or the last one gone: the page has another shape.
    document.querySelector("main").replaceChildren(...fresh.querySelector("main").childNodes);
    showTimes();
    return;
  }
  bodies.forEach((body, index) => patchRows(body, freshBodies[index]));
  const log = document.getElementById("log");
  const freshLog = fresh.getElementById("log");
  if (log && freshLog) {
    if (log.dataset.attempt !== freshLog.dataset.attempt) {
      log.dataset.attempt = freshLog.dataset.attempt;
      log.dataset.ends = "0";
      log.textContent = "";
    }
    if ("done" in freshLog.dataset) log.dataset.done = "";
  }
  showTimes();
}

function patchRows(body, fresh) {
  const known = new Map([...body.children].map((row) => [row.id, row]));
  let before = body.firstElementChild;
  for (const next of [...fresh.children]) {
    const row = known.get(next.id);
    known.delete(next.id);
    if (!row) {
      body.insertBefore(next, before);
      continue;
    }
    if (row !== before) body.insertBefore(row, before);
    else before = before.nextElementSibling;
    if (row.dataset.made !== next.innerHTML && row.innerHTML !== next.innerHTML) {
      row.dataset.made = next.innerHTML;
      row.replaceChildren(...next.childNodes);
    }
  }
  for (const gone of known.values()) gone.remove();
}

// Times as the reader's clock has them; the exact one stays in the attribute.
function showTimes() {
  for (const time of document.querySelectorAll("time[datetime]")) {
    const date = new Date(time.dateTime);
    if (Number.isNaN(date.valueOf())) continue;
    time.title = time.dateTime;
    time.textContent = date.toLocaleString();
  }
}

// The log grows at its end; the view follows only if it stood at the end.
async function followLog() {
  const log = document.getElementById("log");
  if (!log) return;
  const wasDone = "done" in log.dataset;
  if (!holdStill() && log.dataset.attempt !== "") {
    try {
      const url = `/api/v1/jobs/${log.dataset.job}/log?attempt=${log.dataset.attempt}`;
      const answer = await fetch(url, { headers: { range: `bytes=${log.dataset.ends}-` } });
      if (answer.status === 206) {
        const bytes = new Uint8Array(await answer.arrayBuffer());
        const text = plain(new TextDecoder().decode(bytes));
        const atEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 40;
        log.append(text);
        log.dataset.ends = String(Number(log.dataset.ends) + bytes.length);
        if (atEnd) log.scrollTop = log.scrollHeight;
      }
    } catch {
      say("Thump does not answer; trying again");
    }
  }
  if (!wasDone) setTimeout(followLog, 500);
}

// What the server does to a log's text (shown.rs), for the pieces that come later.
function plain(text) {
  return text
    .replace(/\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(\x07|\x1b\\)|\x1b./g, "")
    .replace(/\r/g, "")
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\u061c]/g,
      (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
}

const feed = new EventSource("/api/v1/events");
let waiting = 0;
feed.addEventListener("change", () => {
  // Changes come in bursts; one look shows them all.
  if (!waiting) waiting = setTimeout(() => { waiting = 0; refresh(); }, 60);
});
feed.addEventListener("open", () => say(""));
feed.addEventListener("error", () => say("Thump does not answer; trying again"));
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
document.addEventListener("selectionchange", () => { if (stale && !holdStill()) refresh(); });

showTimes();
const log = document.getElementById("log");
if (log) log.scrollTop = log.scrollHeight;
followLog();

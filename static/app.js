// What the server cannot do: hold polls while the reader is busy, keep times moving, show dialogs.
// The keys are in keys.js, the notes of actions in toasts.js, lists that stand still in hold.js.
"use strict";

const $ = (selector, root = document) => root.querySelector(selector);
const live = $("#live");
const skew = Number(document.documentElement.dataset.now) - Date.now();
let paused = false;
let leaving = false; // the answer to a press leads to another page: what this one shows may be gone

// --- live regions: why a poll must wait, and the word for it in the header

// Whether the reader waits for the answer to something pressed in the region or in the dialog, or for what takes its place.
const isAwaited = (region) =>
  $(".htmx-request", region) !== null || $(`#dialog .htmx-request, .htmx-request[hx-target="#${region.id}"]`) !== null;

function busy(region) {
  const selection = getSelection();
  if (document.hidden) return "Hidden";
  if (leaving) return "Live";
  if (paused) return "Paused";
  if (isAwaited(region)) return "Live";
  if (!selection.isCollapsed && region.contains(selection.anchorNode)) return "Text selected";
  return $("details[open], dialog[open], :popover-open", region) ? "Paused" : "";
}

function say(word) {
  if (!live) return;
  live.hidden = !$("[data-poll][hx-trigger*=every]");
  live.dataset.word = word;
  $(".live-word", live).textContent = word;
}

const sayUnlessPaused = (word) => say(paused ? "Paused" : word);

// Many tabs together are asked to wait longer (Retry-After) than the clock of a region does. What the reader asks for is
// never held back, and is answered afresh.
const notBefore = new Map();
const lastAsked = new WeakMap(); // region: its last poll
const byClock = (event) => !event; // htmx gives the polls of its own clock no event

document.addEventListener("htmx:beforeRequest", (event) => {
  const { elt, requestConfig, target } = event.detail;
  if (!elt.matches("[data-poll]")) {
    const poll = lastAsked.get(elt.closest("[data-poll]") ?? target);
    if (poll) poll.isOld = true;
    return;
  }
  lastAsked.set(elt, requestConfig);
  if (requestConfig.triggeringEvent?.type === "changed") return;
  const reason = busy(elt);
  if (reason) say(reason);
  if (reason || (byClock(requestConfig.triggeringEvent) && Date.now() < notBefore.get(elt.id))) event.preventDefault();
});

// The reader comes first. An answer that was asked for before something was pressed tells of what was; one that comes while
// the press waits for its own would take the button away, and with it the toast; one that comes when the reader has begun to
// be busy would close the menu, or drop the selection. Each is asked for again.
const behind = new Set();

document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  const { elt, isOld, triggeringEvent } = detail.requestConfig;
  if (!elt.matches("[data-poll]")) return;
  const mustWait = triggeringEvent?.type === "changed" ? isAwaited(elt) : busy(elt);
  if (!isOld && !mustWait) return;
  detail.shouldSwap = false;
  behind.add(elt);
});

document.addEventListener("htmx:afterRequest", () => {
  for (const region of behind) {
    if (isAwaited(region)) continue;
    behind.delete(region);
    htmx.trigger(region, "poll");
  }
});

document.addEventListener("htmx:configRequest", ({ detail }) => {
  const isOwn = detail.elt.matches("[data-poll]") && !byClock(detail.triggeringEvent);
  if (isOwn) detail.headers["Cache-Control"] = "no-cache";
});

document.addEventListener("htmx:beforeOnLoad", ({ detail: { elt, xhr } }) => {
  leaving ||= xhr.getResponseHeader("HX-Redirect") !== null;
  if (!elt.matches("[data-poll]")) return;
  if (xhr.status < 400) $("#trouble").hidden = true;
  const wait = Number(xhr.getResponseHeader("Retry-After"));
  notBefore.set(elt.id, Date.now() + wait * 1000 - 500); // the clock may be a little early
  sayUnlessPaused(wait > 5 ? `Every ${wait} s` : "Live"); // a few clicks in a row are no reason to say so
});

function sayTrouble({ detail: { elt, xhr } }) {
  if (!elt.matches("[data-poll]")) return;
  sayUnlessPaused(xhr.status === 404 ? "Gone" : "Retrying");
  const isOurs = xhr.status >= 500 && xhr.getResponseHeader("Content-Type")?.startsWith("text/plain");
  if (xhr.status && !isOurs) return;
  $("#trouble").textContent = isOurs ? xhr.responseText : "No connection; what is shown may be out of date.";
  $("#trouble").hidden = false;
}
document.addEventListener("htmx:responseError", sayTrouble);
document.addEventListener("htmx:sendError", sayTrouble);
document.addEventListener("htmx:timeout", sayTrouble);

function pollNow() {
  document.querySelectorAll("[data-poll]").forEach((region) => window.htmx?.trigger(region, "poll"));
}

document.addEventListener("visibilitychange", () => document.hidden || pollNow());
live?.addEventListener("click", () => {
  paused = !paused;
  live.setAttribute("aria-pressed", paused);
  sayUnlessPaused("Live");
  if (!paused) pollNow();
});

// --- times: the same words as views/words.py, in the reader's own zone

const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

function span(ms, parts = 2) {
  const s = Math.max(0, Math.floor(ms / 1000));
  const at = UNITS.findIndex(([length]) => s >= length || length === 1);
  const [length, unit] = UNITS[at];
  const first = `${Math.floor(s / length)} ${unit}`;
  if (parts === 1 || length === 1) return first;
  const [less, name] = UNITS[at + 1];
  return `${first} ${Math.floor((s % length) / less)} ${name}`;
}

const HOUR = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const DAY = { day: "numeric", month: "short", year: "numeric" };

function clock(then, now) {
  const utc = document.documentElement.dataset.zone === "utc";
  const zone = utc ? { timeZone: "UTC" } : {};
  const day = (instant) => instant.toLocaleDateString("en-GB", { ...DAY, ...zone });
  const shown = { ...HOUR, second: "2-digit", ...(day(then) === day(now) ? {} : DAY) };
  return then.toLocaleString("en-GB", { ...shown, ...zone }) + (utc ? " UTC" : "");
}

// What a pointer sees: the instant here and in UTC (which the server wrote).
function both(at) {
  return new Date(at).toLocaleString("en-GB", { ...HOUR, ...DAY, second: "2-digit", timeZoneName: "short" });
}

const SHOWS = {
  elapsed: (at, now) => span(now - at),
  ago: (at, now) => (now - at < 5000 ? "just now" : `${span(now - at, 1)} ago`),
  ahead: (at, now) => (at > now ? `in ${span(at - now + 999, 1)}` : "now"),
  clock: (at, now) => clock(new Date(at), new Date(now)),
};

function tick() {
  if (document.hidden || !getSelection().isCollapsed) return;
  const now = Date.now() + skew;
  document.querySelectorAll("time[data-shows]").forEach((time) => {
    const words = SHOWS[time.dataset.shows](Number(time.dataset.at), now);
    if (time.textContent !== words) time.textContent = words;
    if (!time.title.includes("\n")) time.title = `${both(Number(time.dataset.at))}\n${time.title}`;
  });
}

setInterval(tick, 1000);

// --- dialogs, theme

document.addEventListener("changed", () => $("#dialog").close());
document.addEventListener("prefer", ({ detail }) => {
  document.documentElement.dataset[detail.name] = detail.choice;
  document.querySelectorAll(`[data-preference=${detail.name}]`).forEach((b) => b.setAttribute("aria-pressed", b.value === detail.choice));
  tick();
});
document.addEventListener("signals", ({ detail }) => {
  document.title = detail.title;
  $("#icon").href = detail.icon;
});
document.addEventListener("click", (event) => {
  const dialog = event.target.closest("dialog");
  if (dialog && event.target.closest("[data-close]")) {
    event.preventDefault();
    dialog.close();
  }
});

// --- forms: nothing is sent twice, empty filters leave no trace in the address

document.addEventListener("submit", ({ target }) => {
  const button = target.matches("[data-once]") && $("button[type=submit]", target);
  if (button) setTimeout(() => (button.disabled = true));
});
addEventListener("pageshow", () => {
  leaving = false;
  document.querySelectorAll("[data-once] :disabled").forEach((b) => (b.disabled = false));
});

document.addEventListener("htmx:configRequest", ({ detail }) => {
  if (detail.verb !== "get") return;
  for (const [name, value] of [...detail.formData]) if (value === "") detail.formData.delete(name);
});

function refresh() {
  tick();
  if (window.htmx) say(live.dataset.word || "Live");
}

document.addEventListener("htmx:afterSettle", ({ target }) => {
  if (target.id === "dialog") target.showModal();
  $("[autofocus]", target)?.focus();
  refresh();
});
refresh();

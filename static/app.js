// What the server cannot do: hold polls while the reader is busy, keep times moving, show toasts and dialogs.
"use strict";

const $ = (selector, root = document) => root.querySelector(selector);
const live = $("#live");
const skew = Number(document.documentElement.dataset.now) - Date.now();
let paused = false;

// --- live regions: why a poll must wait, and the word for it in the header

function busy(region) {
  const selection = getSelection();
  if (document.hidden) return "Hidden";
  if (paused) return "Paused";
  if ($(".htmx-request", region)) return "Live";
  if (!selection.isCollapsed && region.contains(selection.anchorNode)) return "Text selected";
  return $("details[open], dialog[open], :popover-open", region) ? "Paused" : "";
}

function say(word) {
  if (!live) return;
  live.hidden = !$("[data-poll][hx-trigger*=every]");
  live.dataset.word = word;
  $(".live-word", live).textContent = word;
}

document.addEventListener("htmx:beforeRequest", (event) => {
  const { elt, requestConfig } = event.detail;
  if (!elt.matches("[data-poll]") || requestConfig.triggeringEvent?.type === "changed") return;
  const reason = busy(elt);
  if (reason) {
    event.preventDefault();
    say(reason);
  }
});

function hear(event, word) {
  document.addEventListener(event, ({ detail }) => detail.elt.matches("[data-poll]") && say(paused ? "Paused" : word));
}
hear("htmx:beforeOnLoad", "Live");
hear("htmx:responseError", "Retrying");
hear("htmx:sendError", "Retrying");

function pollNow() {
  document.querySelectorAll("[data-poll]").forEach((region) => window.htmx?.trigger(region, "poll"));
}

document.addEventListener("visibilitychange", () => document.hidden || pollNow());
live?.addEventListener("click", () => {
  paused = !paused;
  live.setAttribute("aria-pressed", paused);
  say(paused ? "Paused" : "Live");
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

function clock(then, now) {
  const time = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  if (then.toDateString() === now.toDateString()) return then.toLocaleTimeString("en-GB", { ...time, second: "2-digit" });
  return then.toLocaleString("en-GB", { ...time, day: "numeric", month: "short", year: "numeric" });
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
  });
}

setInterval(tick, 1000);

// --- output that follows its end, unless the reader has scrolled away from it

const atEnd = (box) => box.scrollHeight - box.scrollTop - box.clientHeight < 24;
const toEnd = (box) => box.scrollTo({ top: box.scrollHeight });

document.addEventListener("htmx:oobBeforeSwap", ({ detail }) => {
  const box = detail.target;
  if (box.matches("pre.text")) box.dataset.pinned = atEnd(box) ? "yes" : "";
});
document.addEventListener("htmx:oobAfterSwap", ({ detail }) => {
  const box = detail.target;
  if (box.matches("pre.text") && box.dataset.pinned) toEnd(box);
});

// --- toasts, dialogs, theme

function toast({ text, kind }) {
  const note = document.createElement("p");
  const close = document.createElement("button");
  note.className = "toast";
  note.dataset.kind = kind;
  note.textContent = text;
  close.type = "button";
  close.setAttribute("aria-label", "Dismiss");
  close.textContent = "×";
  close.addEventListener("click", () => note.remove());
  note.append(close);
  $("#toasts").append(note);
  setTimeout(() => note.remove(), 8000);
}

document.addEventListener("toast", (event) => event.target.matches("[data-poll]") || toast(event.detail));
document.addEventListener("changed", () => $("#dialog").close());
document.addEventListener("theme", ({ detail }) => {
  document.documentElement.dataset.theme = detail.name;
  document.querySelectorAll(".themes button").forEach((b) => b.setAttribute("aria-pressed", b.value === detail.name));
});
document.addEventListener("click", (event) => {
  const dialog = event.target.closest("dialog");
  if (dialog && event.target.closest("[data-close]")) {
    event.preventDefault();
    dialog.close();
  }
});

// --- forms: nothing is sent twice, empty filters leave no trace in the address, one box selects all

document.addEventListener("submit", ({ target }) => {
  const button = target.matches("[data-once]") && $("button[type=submit]", target);
  if (button) setTimeout(() => (button.disabled = true));
});
addEventListener("pageshow", () => document.querySelectorAll("[data-once] :disabled").forEach((b) => (b.disabled = false)));

document.addEventListener("htmx:configRequest", ({ detail }) => {
  if (detail.verb !== "get") return;
  for (const [name, value] of [...detail.formData]) if (value === "") detail.formData.delete(name);
});

function countPicked() {
  const boxes = [...document.querySelectorAll("input[name=id]")];
  const picked = boxes.filter((box) => box.checked).length;
  const all = $("#pick-all");
  const button = $("#retry-selected");
  if (!all || !button) return;
  all.closest("label").hidden = false;
  all.checked = picked > 0 && picked === boxes.length;
  all.indeterminate = picked > 0 && picked < boxes.length;
  button.disabled = !picked;
  $("span", button).textContent = picked ? `Retry ${picked} selected` : "Retry selected";
}

document.addEventListener("change", ({ target }) => {
  if (target.matches("[data-pick-all]")) {
    document.querySelectorAll("input[name=id]").forEach((box) => (box.checked = target.checked));
  }
  countPicked();
});

function refresh() {
  tick();
  countPicked();
  document.querySelectorAll("pre[data-follow]").forEach((box) => {
    delete box.dataset.follow;
    toEnd(box);
  });
  if (window.htmx) say(live.dataset.word || "Live");
}

document.addEventListener("htmx:afterSettle", ({ target }) => {
  if (target.id === "dialog") target.showModal();
  $("[autofocus]", target)?.focus();
  refresh();
});
refresh();

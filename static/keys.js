// Keys that act, the list of the palette, rows to walk through. Which key does what is in the page: data-keys.
"use strict";

{
  const palette = document.querySelector("#palette");
  const field = document.querySelector("#palette-field");
  const WRITES = "input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]";
  const ROWS = "main tbody tr, main .lines > li";
  const STEPS = { j: 1, k: -1, ArrowDown: 1, ArrowUp: -1 };
  let begun = ""; // the first key of a pair
  let forget;

  // --- shortcuts: none while somebody writes, none with Ctrl, Alt or Meta, and none at all when they are off

  function control(keys) {
    const all = (root) => [...root.querySelectorAll("[data-keys]")].filter((one) => one.dataset.keys.split(",").includes(keys));
    return [...all(document.querySelector("main")), ...all(document).reverse()].find((one) => one.checkVisibility());
  }

  function use(element) {
    if (!element.matches("input")) return element.click();
    element.focus();
    element.select();
  }

  function obey(event) {
    const keys = begun ? `${begun} ${event.key}` : event.key;
    clearTimeout(forget);
    begun = "";
    if (keys === "g") {
      begun = "g";
      forget = setTimeout(() => (begun = ""), 1500);
      return true;
    }
    if (keys === "Escape") return document.querySelector(".toast:last-child .toast-close")?.click();
    if (keys in STEPS || keys === "x") return walk(event, keys);
    const found = !event.repeat && control(keys);
    if (found) use(found);
    return found;
  }

  document.addEventListener("keydown", (event) => {
    const { target, key } = event;
    if (event.defaultPrevented || event.isComposing || event.altKey) return;
    const open = document.querySelector("dialog[open]");
    if ((event.ctrlKey || event.metaKey) && !event.shiftKey && key.toLowerCase() === "k") {
      event.preventDefault();
      if (!open) document.querySelector("#find").click();
      else if (open === palette) palette.close();
    } else if (target === field) {
      if (choose(key)) event.preventDefault();
    } else if (target.closest(WRITES)) {
      if (key === "Escape" && !target.value) target.blur();
    } else if (!event.ctrlKey && !event.metaKey && !open && document.documentElement.dataset.keys !== "off") {
      if (obey(event)) event.preventDefault();
    }
  });

  // --- rows: the focus itself moves, so Enter, screen readers and refreshes need no more of us

  const door = (row) => row.querySelector(".job-name, a[href], button:not(:disabled)");

  function walk(event, key) {
    const here = document.activeElement.closest(ROWS);
    if (key === "x") {
      const box = here?.querySelector("input[type=checkbox]");
      box?.click();
      return box;
    }
    if (!here && key.startsWith("Arrow")) return false;
    const rows = [...document.querySelectorAll(ROWS)].filter((row) => door(row) && row.checkVisibility());
    const next = rows[here ? rows.indexOf(here) + STEPS[key] : 0];
    if (next) door(next).focus();
    return next;
  }

  // --- the palette: a combobox; its results come from the server and may be those of an earlier text

  const results = () => document.querySelector("#palette-results");
  const options = () => [...palette.querySelectorAll("[role=option]")];
  const marked = () => options().findIndex((option) => option.getAttribute("aria-selected") === "true");
  let wanted = false; // Enter was pressed before the results of this text had come

  document.querySelector("#find").addEventListener("click", (event) => {
    if (!window.htmx || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    wanted = false;
    palette.showModal(); // at once, so that no letter goes anywhere else
    field.select();
    window.htmx.trigger(field, "open");
  });

  function mark(at) {
    const all = options();
    all.forEach((option, index) => option.setAttribute("aria-selected", index === at));
    all[at]?.scrollIntoView({ block: "nearest" });
    if (all[at]) field.setAttribute("aria-activedescendant", all[at].id);
    else field.removeAttribute("aria-activedescendant");
  }

  function choose(key) {
    const all = options();
    if (key in STEPS && key.startsWith("Arrow")) mark((marked() + STEPS[key] + all.length) % all.length);
    else if (key !== "Enter") return false;
    else if (results().dataset.text !== field.value.trim()) wanted = true;
    else all[marked()]?.click();
    return true;
  }

  document.addEventListener("htmx:afterSettle", ({ target }) => {
    if (target.id !== "palette-results") return;
    mark(0);
    if (wanted && results().dataset.text === field.value.trim()) {
      wanted = false;
      choose("Enter");
    }
  });

  palette.addEventListener("click", ({ target }) => target.closest(".found-entry") && palette.close());
}

// The page of one job: output that follows its end, lines that can be linked, copying. Works on top of app.js.
"use strict";

(() => {
  document.documentElement.dataset.script = "";

  // --- following: a box that shows its end goes on showing it; unticking Follow holds the output

  const atEnd = (box) => box.scrollHeight - box.scrollTop - box.clientHeight < 24;
  const toEnd = (box) => box.scrollTo({ top: box.scrollHeight });
  const boxOf = (element) => element.closest?.("pre.text");
  const follows = () => document.querySelector("#follow")?.checked ?? true;
  const pinned = new WeakSet();
  const begun = new WeakSet(); // boxes that were taken to their end once, as each new run's are

  document.addEventListener("htmx:oobBeforeSwap", ({ detail }) => {
    const box = boxOf(detail.target);
    if (box) pinned[atEnd(box) ? "add" : "delete"](box);
  });
  document.addEventListener("htmx:oobAfterSwap", ({ detail }) => {
    const box = boxOf(detail.target);
    if (!box) return;
    const shown = pinned.delete(box);
    trim(box, shown ? 3000 : 20000);
    if (shown) toEnd(box);
  });

  // A page that stays open for days must not grow: the oldest rows go, and a link leads to them.
  function trim(box, most) {
    const rows = box.querySelector("[id$=-rows]");
    if (rows.childElementCount <= most) return;
    while (rows.childElementCount > most) rows.firstElementChild.remove();
    const empty = box.querySelector("[data-empty]");
    while (rows.previousSibling !== empty) rows.previousSibling.remove();
    const link = document.createElement("a");
    const first = rows.querySelector(".row > a")?.dataset.n ?? 1;
    link.className = "more-rows";
    link.textContent = "Show earlier output";
    link.href = `${box.closest("#output").dataset.lineUrl}&stream=${box.id}&line=${first}`;
    empty.after(link);
  }

  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.detail.elt.id === "tail" && !follows()) event.preventDefault();
  });
  document.addEventListener("change", ({ target }) => {
    if (target.id !== "follow" || !target.checked) return;
    document.querySelectorAll("pre.text").forEach(toEnd);
    window.htmx?.trigger("#tail", "poll");
  });

  // Rows put on top must not move those that are being read.
  document.addEventListener("htmx:beforeSwap", ({ detail }) => {
    const box = boxOf(detail.target);
    if (!box) return;
    const below = box.scrollHeight - box.scrollTop;
    requestAnimationFrame(() => (box.scrollTop = box.scrollHeight - below));
  });

  // --- lines: a link to one names the run too; one that is not on the page is asked for

  document.addEventListener("click", ({ target }) => {
    if (!target.matches(".row > a")) return;
    const address = new URL(location);
    address.searchParams.set("run", target.closest("#output").dataset.run);
    history.replaceState(history.state, "", address);
  });

  function showLine() {
    const [, stream, line] = location.hash.match(/^#(stdout|stderr)-L(\d{1,9})$/) ?? [];
    const output = document.querySelector("#output[data-line-url]");
    if (!stream || !output || new URL(location).searchParams.has(stream)) return Boolean(stream);
    if (!document.querySelector(location.hash)) location.replace(`${output.dataset.lineUrl}&stream=${stream}&line=${line}`);
    return true;
  }

  // --- copying: by the clipboard where the browser gives it (https, localhost), else by selecting

  async function copy(button) {
    const text = document.getElementById(button.dataset.copy);
    getSelection().selectAllChildren(text);
    try {
      if (navigator.clipboard) await navigator.clipboard.writeText(text.dataset.exact ?? text.textContent);
      else document.execCommand("copy");
      getSelection().removeAllRanges();
      button.dataset.copied = "";
      setTimeout(() => delete button.dataset.copied, 1500);
    } catch {
      // The text stays selected: the reader can copy it by hand.
    }
  }

  document.addEventListener("click", ({ target }) => {
    const button = target.closest?.("[data-copy]");
    if (button) copy(button);
  });

  const fresh = () => [...document.querySelectorAll("#output pre")].filter((box) => !begun.has(box) && begun.add(box));
  const begin = () => fresh().forEach(toEnd);

  if (showLine()) fresh();
  else begin();
  document.addEventListener("htmx:afterSettle", begin);
  addEventListener("hashchange", showLine);
})();

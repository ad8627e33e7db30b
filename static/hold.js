// A list that the reader is busy with stands still: the rows that it shows are kept up to date in their places, and what would
// move them waits behind a notice. So a click meets the row that was aimed at. Works on top of app.js.
"use strict";

{
  const LIST = "[data-rows]";
  const ON_ITS_WAY_MS = 2000; // so long after its last movement a pointer may be on its way to a row
  const notice = document.querySelector("#held");
  const regions = () => [...document.querySelectorAll("[data-poll]")];
  const newest = new WeakMap(); // held region: the address of its next poll, which names the version it has not shown yet
  const released = new WeakSet(); // regions whose news the reader asked to see

  // --- why a list stands still

  let isFinger = matchMedia("(hover: none)").matches; // it comes without a sign, so lists always wait for it
  let isDown = false;
  let movedAt = -ON_ITS_WAY_MS;

  addEventListener("pointermove", () => (movedAt = performance.now()), { passive: true });
  addEventListener("pointerdown", ({ pointerType }) => {
    isFinger = pointerType === "touch";
    isDown = true;
  });
  for (const type of ["pointerup", "pointercancel"]) addEventListener(type, () => (isDown = false));

  // isOwn: after something that the reader did, which is to be seen unless the pointer or the focus is in the list.
  function isHeld(region, isOwn) {
    if (![...region.querySelectorAll(LIST)].some((list) => list.firstElementChild)) return false;
    if (region.querySelector(`${LIST}:hover, ${LIST} :focus-visible, ${LIST} input:checked, #pick-every:checked`)) return true;
    return !isOwn && (isFinger || isDown || scrollY > 0 || performance.now() - movedAt < ON_ITS_WAY_MS);
  }

  // --- what is no list: a press meets the button that was under the pointer when it last moved, or nothing

  const BUTTON = "[data-poll] :is(button, a.button)";
  let aimedAt; // the id of that button
  let isOther = false; // whether the page has changed since

  function aim(target) {
    aimedAt = target.closest?.(BUTTON)?.id;
    isOther = false;
  }
  addEventListener("pointermove", ({ target }) => aim(target), { passive: true });
  addEventListener("scroll", () => (isOther = false), { passive: true }); // the reader moved the page
  document.addEventListener("htmx:afterSwap", () => (isOther = true));
  document.addEventListener("click", (event) => {
    const button = event.target.closest(BUTTON);
    if (!button || !isOther || event.pointerType !== "mouse" || button.id === aimedAt) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    aim(button);
    const text = "The page changed under the pointer, so nothing was done. Press again if you mean this button.";
    document.body.dispatchEvent(new CustomEvent("toast", { bubbles: true, detail: { text, kind: "bad" } }));
  }, { capture: true });

  // --- keeping up to date what stands still

  // Put the new cells into the row, all but those that would change its height. Returns whether all could be.
  function renew(row, fresh, isOwn) {
    const height = row.offsetHeight;
    const before = [...row.children];
    const mayAct = !isOwn && row.matches(":hover, :focus-within"); // its buttons are being aimed at
    const focused = row.contains(document.activeElement) && document.activeElement.id;
    let fits = true;
    [...fresh.children].forEach((cell, at) => {
      const old = before[at];
      const isKept = !old || cell.matches(".cell-pick") || (mayAct && cell.querySelector("button, .button"));
      if (isKept || old.outerHTML === cell.outerHTML) return;
      old.replaceWith(cell);
      if (row.offsetHeight === height) return;
      cell.replaceWith(old);
      fits = false;
    });
    htmx.process(row);
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    return fits;
  }

  function replace(part, fresh) {
    const height = part.offsetHeight;
    part.replaceWith(fresh);
    const fits = fresh.offsetHeight === height;
    if (!fits) fresh.replaceWith(part);
    else htmx.process(fresh);
    return fits;
  }

  function isAtEnd(row, known) {
    for (let next = row.nextElementSibling; next; next = next.nextElementSibling) if (known.has(next.id)) return false;
    return true;
  }

  function merge(region, page, isOwn) {
    const here = (fresh) => document.getElementById(fresh.id);
    const rows = [...page.querySelectorAll(`${LIST} > [id]`)];
    const known = new Set(rows.filter(here).map((row) => row.id));
    let fits = true;
    for (const row of rows) if (known.has(row.id)) fits = renew(here(row), row, isOwn) && fits;
    for (const part of page.querySelectorAll("[data-part]")) fits = (!here(part) || replace(here(part), part)) && fits;
    const added = rows.length - known.size;
    let pushed = added; // new rows move so many from the end of a full list to its next page
    const gone = [...region.querySelectorAll(`${LIST} > [id]`)].reverse().filter((row) => {
      const isGone = !known.has(row.id) && !(isAtEnd(row, known) && pushed-- > 0);
      row.toggleAttribute("data-gone", isGone);
      return isGone;
    });
    say(added, gone.length, fits);
  }

  function say(added, gone, fits) {
    const words = [added && `${added} new`, gone && `${gone} gone`].filter(Boolean);
    if (!words.length && !fits) words.push("Changed");
    notice.hidden = !words.length;
    notice.querySelector("button").textContent = `${words.join(", ")}, show`;
  }

  // --- between the poll and the page

  document.addEventListener("htmx:configRequest", ({ detail }) => {
    if (newest.has(detail.elt)) detail.path = newest.get(detail.elt);
  });

  document.addEventListener("htmx:beforeSwap", ({ detail }) => {
    const { elt, triggeringEvent } = detail.requestConfig;
    if (!detail.shouldSwap || detail.target !== elt || !elt.matches("[data-poll]")) return;
    const isOwn = triggeringEvent?.type === "changed";
    if (released.has(elt) || !isHeld(elt, isOwn)) return;
    const page = new DOMParser().parseFromString(detail.serverResponse, "text/html");
    const lacks = (there, here) => [...here.querySelectorAll("[data-part][id]")].some(({ id }) => !there.getElementById(id));
    if (lacks(page, elt) || lacks(document, page) || !page.querySelector(`${LIST} > *`)) return; // nothing that is shown can be kept up to date
    detail.shouldSwap = false;
    if (isDown) return; // the next poll asks again
    newest.set(elt, page.getElementById(elt.id).getAttribute("hx-get"));
    merge(elt, page, isOwn);
  });

  document.addEventListener("htmx:afterSettle", () => {
    if (!regions().some((region) => newest.has(region))) notice.hidden = true;
  });

  function release(region) {
    newest.delete(region);
    htmx.trigger(region, "poll");
  }

  notice.addEventListener("click", () => {
    for (const region of regions().filter((one) => newest.has(one))) {
      released.add(region);
      release(region);
    }
  });
  setInterval(() => {
    for (const region of regions()) if (newest.has(region) && !document.hidden && !isHeld(region, false)) release(region);
  }, 500);
}

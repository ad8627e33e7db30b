// Selecting in a list: one box for what is shown, one for all that match. Who has selected is not disturbed by new rows.
"use strict";

{
  const find = (selector) => document.querySelector(selector);
  const boxes = () => [...document.querySelectorAll(".rows input[name=id]")];

  function tell() {
    const shown = find("#pick-all");
    const every = find("#pick-every");
    if (!shown) return;
    const picked = boxes().filter((box) => box.checked).length;
    shown.closest("label").hidden = false;
    shown.checked = picked > 0 && picked === boxes().length;
    shown.indeterminate = picked > 0 && !shown.checked;
    const count = every.dataset.count ? `all ${Number(every.dataset.count).toLocaleString("en")}` : "all that match";
    const words = every.checked ? count : picked ? `${picked} selected` : "selected";
    document.querySelectorAll("[data-bulk]").forEach((button) => {
      button.disabled = !picked && !every.checked;
      button.querySelector("span").textContent = `${button.dataset.bulk} ${words}`;
    });
  }

  function clear() {
    document.querySelectorAll(".rows input[type=checkbox]").forEach((box) => (box.checked = false));
    tell();
  }

  document.addEventListener("change", ({ target }) => {
    if (target.id === "pick-all") boxes().forEach((box) => (box.checked = target.checked));
    tell();
  });

  // A poll on an older page asks only how many are new.
  document.addEventListener("htmx:configRequest", ({ detail }) => {
    const { elt, formData, triggeringEvent } = detail;
    if (elt.matches(".filter")) clear();
    if (!elt.matches("[data-poll]") || triggeringEvent?.type === "changed") return;
    if (elt.matches("[data-holds]")) formData.set("news", find("#news a")?.dataset.count ?? 0);
  });

  document.addEventListener("htmx:afterRequest", ({ detail }) => {
    if (detail.successful && detail.xhr.status === 204 && detail.elt.matches("[data-bulk], .confirm")) clear();
  });
  document.addEventListener("htmx:afterSettle", tell);
  tell();
}

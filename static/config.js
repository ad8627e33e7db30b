// A form with text that is not saved yet stays when somebody else changes its setting; saving it tells of that. One that
// waits for its answer stays too, for that answer replaces it.
"use strict";

document.addEventListener("htmx:oobBeforeSwap", ({ detail }) => {
  const field = detail.target.querySelector?.("[name=value]");
  if (!field) return;
  const first = field.matches("select") ? [...field.options].find((option) => option.defaultSelected)?.value : field.defaultValue;
  const isSent = detail.target.matches(".htmx-request, :has(.htmx-request)");
  if (isSent || field.value !== first) detail.shouldSwap = false;
});

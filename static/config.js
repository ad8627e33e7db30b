// A form with text that is not saved yet stays when somebody else changes its setting; saving it tells of that.
"use strict";

document.addEventListener("htmx:oobBeforeSwap", ({ detail }) => {
  const field = detail.target.querySelector?.("[name=value]");
  if (!field) return;
  const first = field.matches("select") ? [...field.options].find((option) => option.defaultSelected)?.value : field.defaultValue;
  if (field.value !== first) detail.shouldSwap = false;
});

// What the server cannot know of a form: the reader's time zone, and whether it is the same one as before.
"use strict";

{
  // A chosen date is one of the reader's own zone; without a script it is UTC until somebody says another.
  const zone = document.querySelector("#f-run_zone");
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone && !zone.value && own && document.documentElement.dataset.zone !== "utc") zone.value = own;

  // Going back leads to this form, not to a new one, so that what it says still is stored once only.
  const token = document.querySelector("#token");
  if (history.state?.form && token) token.value = history.state.form;
  else if (token) history.replaceState({ ...history.state, form: token.value }, "");
}

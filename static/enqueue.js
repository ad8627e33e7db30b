// A chosen date is a time of the reader's own zone; without a script it is UTC until somebody says another.
"use strict";

{
  const zone = document.querySelector("#f-run_zone");
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone && !zone.value && own && document.documentElement.dataset.zone !== "utc") zone.value = own;
}

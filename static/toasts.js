// What an action says when it is done or refused: a note in the corner, for a while, with the way back. Works on top of app.js.
"use strict";

{
  const all = () => [...document.querySelectorAll(".toast")];

  function toast({ text, kind, undo, about = "" }) {
    const note = $("#toast").content.firstElementChild.cloneNode(true);
    const leave = () => {
      if (document.hidden || note.matches(":hover, :focus-within")) setTimeout(leave, 3000);
      else note.remove();
    };
    note.dataset.kind = kind;
    note.dataset.about = about;
    $(".toast-text", note).textContent = text;
    if (undo) offer(undo, $(".undo", note));
    note.addEventListener("click", ({ target }) => target.matches(".toast-close") && note.remove());
    $("#toasts").append(note);
    window.htmx?.process(note);
    setTimeout(leave, undo || kind === "bad" ? 20000 : 8000);
  }

  function offer({ label, url, fields, target }, form) {
    for (const [name, value] of Object.entries(fields)) {
      form.append(Object.assign(document.createElement("input"), { type: "hidden", name, value }));
    }
    form.hidden = false;
    form.action = url;
    form.setAttribute("hx-post", url);
    form.setAttribute("hx-swap", target ? "outerHTML" : "none");
    if (target) form.setAttribute("hx-target", `#${target}`);
    $("button", form).textContent = label;
    form.addEventListener("htmx:afterRequest", ({ detail }) => detail.xhr.status && form.closest(".toast").remove());
  }

  document.addEventListener("toast", ({ target, detail }) => {
    if (target.matches("[data-poll]")) return;
    if (detail.kind === "bad") $("#dialog").close();
    toast(detail);
  });

  // What is done to the same thing now makes the older note about it untrue, and its way back another.
  document.addEventListener("htmx:beforeRequest", ({ detail: { elt, requestConfig } }) => {
    if (requestConfig.verb === "get") return;
    const path = `${requestConfig.path.split("?")[0]}/`;
    const isOld = (note) => note.dataset.about && path.startsWith(`${note.dataset.about}/`) && !note.contains(elt);
    all().filter(isOld).forEach((note) => note.remove());
  });

  // --- no connection: a press says so at once

  const NO_PRESS = [undefined, "poll", "changed"]; // what makes regions ask by themselves

  function unsent(sentence) {
    all().filter((note) => note.textContent.includes(sentence)).forEach((note) => note.remove());
    toast({ text: sentence, kind: "bad" });
  }

  for (const [name, sentence] of [
    ["htmx:sendError", "Not sent: no connection."],
    ["htmx:timeout", "No answer came; look whether it was done."],
  ]) {
    document.addEventListener(name, ({ detail: { requestConfig } }) => {
      if (!NO_PRESS.includes(requestConfig.triggeringEvent?.type)) unsent(sentence);
    });
  }
  document.addEventListener("submit", (event) => {
    if (navigator.onLine || event.target.hasAttribute("hx-post") || event.target.hasAttribute("hx-get")) return;
    if (event.submitter?.hasAttribute("hx-post")) return; // htmx sends it and says so itself
    event.preventDefault();
    event.stopImmediatePropagation(); // before the button is switched off
    unsent("Not sent: no connection.");
  }, { capture: true });
}

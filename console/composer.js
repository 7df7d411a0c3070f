// Where messages are written: drafts that outlive everything but being sent, and saying what became of a send. A draft is
// kept with the form's key: whatever happened to an earlier try, the same text goes once.
"use strict";
(() => {
  const find = (selector) => document.querySelector(selector);
  const fields = () => document.querySelectorAll(".composer [data-draft]");
  const keyOf = (form) => form.querySelector("input[name=key]");
  const at = (field) => `draft:${field.dataset.draft}`;
  const freshKey = () => {
    const bytes = [...crypto.getRandomValues(new Uint8Array(16))];
    return bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("");
  };

  const restore = () => {
    for (const field of fields()) {
      const kept = localStorage.getItem(at(field));
      if (!kept || field.value) continue;
      field.value = kept;
      const key = localStorage.getItem(`${at(field)}:key`);
      if (key) keyOf(field.form).value = key;
      field.dispatchEvent(new Event("input", { bubbles: true }));
    }
  };
  const keep = (field) => {
    if (field.value) {
      // The key first: other tabs look at it when the text changes.
      localStorage.setItem(`${at(field)}:key`, keyOf(field.form).value);
      localStorage.setItem(at(field), field.value);
    } else {
      forget(field);
    }
  };
  const forget = (field) => {
    localStorage.removeItem(`${at(field)}:key`);
    localStorage.removeItem(at(field));
  };
  document.addEventListener("input", (event) => { if (event.target.dataset?.draft) keep(event.target); });

  // What was written while the send was under way stays; so does what another tab has written since.
  let sent = {};
  document.addEventListener("htmx:before:request", (event) => {
    if (!event.target.matches?.(".composer")) return;
    sent = Object.fromEntries([...fields()].map((field) => [at(field), field.value]));
  });
  document.addEventListener("replied", () => {
    for (const field of fields()) {
      const kept = localStorage.getItem(at(field)) ?? "";
      const text = sent[at(field)] ?? "";
      forget(field);
      if (!kept.startsWith(text)) {
        field.value = kept;
      } else {
        field.value = kept.slice(text.length).trimStart();
      }
      if (!field.value) continue;
      // What is left is another message.
      keyOf(field.form).value = freshKey();
      keep(field);
    }
    // The answer is below the newest messages.
    if (new URLSearchParams(location.search).has("before")) location.assign(location.pathname);
    setTimeout(() => find("#reply")?.focus());
  });

  const say = (text) => { find("#wrong").textContent = text; };
  const UNKNOWN = "It is not known whether it was sent. Sending it again from here is safe: it goes once.";
  document.addEventListener("htmx:response:error", (event) => {
    if (!event.target.matches?.(".composer")) return;
    const { ctx } = event.detail;
    const { status } = ctx.response;
    if (status === 422) {
      isRefused = true;
      return;
    }
    const page = new DOMParser().parseFromString(ctx.text ?? "", "text/html");
    const why = page.querySelector("[role=alert]")?.textContent;
    if (status === 401) say("Not sent: you are no longer logged in. Log in in another tab, then send it again.");
    else if (status >= 500) say(`The server answered ${status}${why ? `: ${why}` : "."} ${UNKNOWN}`);
    else say(`Not sent: ${why ?? `the server answered ${status}.`}`);
  });
  document.addEventListener("htmx:error", (event) => {
    if (event.target.matches?.(".composer")) say(`The server cannot be reached. ${UNKNOWN}`);
  });
  // A refused form comes back with what is wrong with it, and a key of its own.
  let isRefused = false;
  document.addEventListener("htmx:after:swap", () => {
    if (isRefused) find(".composer textarea")?.focus();
    isRefused = false;
    for (const field of fields()) if (localStorage.getItem(at(field)) === field.value) keep(field);
  });

  // Another tab's change of the same draft.
  addEventListener("storage", (event) => {
    for (const field of fields()) {
      if (event.key !== at(field) || field.value !== (event.oldValue ?? "")) continue;
      field.value = event.newValue ?? "";
      // A key that has sent something sends nothing else.
      keyOf(field.form).value = localStorage.getItem(`${at(field)}:key`) ?? freshKey();
    }
  });
  // Who logs out leaves nothing to the next.
  document.addEventListener("submit", (event) => {
    if (!event.target.getAttribute("action")?.endsWith("/logout")) return;
    for (const key of Object.keys(localStorage)) if (key.startsWith("draft:")) localStorage.removeItem(key);
  });

  // htmx is loaded last, and has looked through the page then: it counts what is restored.
  document.addEventListener("htmx:after:process", () => setTimeout(restore), { once: true });
})();

// What the pages cannot do without a script: keys, drafts that outlive a restart, copying, and saying when the
// connection is gone. Everything else is HTML from the server. Must not render what others wrote.
"use strict";
(() => {
  const find = (selector) => document.querySelector(selector);

  // Drafts: kept per conversation until they are sent.
  const draftKey = (field) => `draft:${field.dataset.draft}`;
  const restoreDrafts = () => {
    for (const field of document.querySelectorAll("[data-draft]")) {
      const kept = localStorage.getItem(draftKey(field));
      if (kept && !field.value) {
        field.value = kept;
        field.dispatchEvent(new Event("input", { bubbles: true }));
      }
    }
  };
  document.addEventListener("input", (event) => {
    const field = event.target;
    if (!field.dataset?.draft) return;
    if (field.value) localStorage.setItem(draftKey(field), field.value);
    else localStorage.removeItem(draftKey(field));
  });
  // The server says so once the reply is stored.
  document.addEventListener("replied", (event) => {
    const form = event.target.closest?.(".composer") ?? find(".composer");
    for (const field of form?.querySelectorAll("[data-draft]") ?? []) localStorage.removeItem(draftKey(field));
    setTimeout(() => find("#reply")?.focus());
  });

  // A reply that did not arrive: the form stays as it is, and says so.
  const notSent = (event, why) => {
    const wrong = event.target.closest?.(".composer") === event.target && find("#wrong");
    if (wrong) wrong.textContent = `Not sent: ${why} Your text is kept.`;
  };
  document.addEventListener("htmx:response:error", (event) => {
    const { status } = event.detail.ctx.response;
    if (status === 401) notSent(event, "you are no longer logged in. Log in in another tab, then send it again.");
    else if (status !== 422) notSent(event, `the server answered ${status}. Try again in a moment.`);
  });
  document.addEventListener("htmx:error", (event) => notSent(event, "the server cannot be reached. Try again in a moment."));

  // The connection of what keeps itself up to date.
  const offline = (is) => document.body.classList.toggle("offline", is);
  document.addEventListener("htmx:sse:error", () => offline(true));
  document.addEventListener("htmx:sse:after:connection", () => offline(false));
  document.addEventListener("htmx:error", (event) => {
    if (event.target.hasAttribute?.("hx-sse:connect")) offline(true);
  });

  // A list that has met nothing so far looks at what is older.
  const onward = find("[data-onward]");
  if (onward) location.replace(onward.href);

  // Who leaves the page ends what it still asks for; who comes back to a kept page sees it anew.
  addEventListener("pagehide", () => {
    for (const region of document.querySelectorAll("[hx-sse\\:connect]")) htmx.trigger(region, "htmx:abort");
  });
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-copy]");
    if (!button) return;
    const text = document.getElementById(button.dataset.copy).textContent;
    navigator.clipboard.writeText(text).then(() => { button.textContent = "Copied"; });
  });

  // Keys.
  const entries = () => [...document.querySelectorAll("[data-list] a")];
  const move = (by) => {
    const all = entries();
    if (!all.length) return;
    const at = all.indexOf(document.activeElement);
    const open = all.findIndex((entry) => entry.getAttribute("aria-current") === "true");
    const next = at < 0 && open < 0 ? 0 : (at < 0 ? open : at) + by;
    all[Math.max(0, Math.min(all.length - 1, next))].focus();
  };
  const shortcuts = {
    "/": () => find("#search")?.focus(),
    "?": () => find("#shortcuts")?.showModal(),
    r: () => find("#reply")?.focus(),
    j: () => move(1),
    k: () => move(-1),
  };
  let goes = false;
  document.addEventListener("keydown", (event) => {
    const field = event.target.closest?.("input, textarea, select");
    if (field) {
      if (event.key === "Escape") field.blur();
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) field.form?.requestSubmit();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || find("dialog[open]")) return;
    if (goes) {
      goes = false;
      find(`nav a[data-key="${CSS.escape(event.key)}"]`)?.click();
      return;
    }
    if (event.key === "g") {
      goes = true;
      setTimeout(() => { goes = false; }, 1500);
      return;
    }
    const does = shortcuts[event.key];
    if (does) {
      event.preventDefault();
      does();
    }
  });

  restoreDrafts();
})();

// What the pages cannot do without a script: keys, copying, and lists that go on by themselves. Everything else is HTML
// from the server. Must not render what others wrote.
"use strict";
(() => {
  const find = (selector) => document.querySelector(selector);

  // A list that has met nothing so far looks at what is older.
  const onward = find("[data-onward]");
  if (onward) location.replace(onward.href);
  // Whoever loads it again, or passes it on, means all of it.
  const address = find("[data-address]")?.dataset.address;
  if (address && !onward) history.replaceState(null, "", address);
  find("[data-list] [aria-current]")?.scrollIntoView({ block: "nearest" });

  // Who comes back to a page that the browser kept sees it anew.
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

  // What is not filtered by is not in the address.
  document.addEventListener("formdata", (event) => {
    if (event.target.method !== "get") return;
    for (const [name, value] of [...event.formData]) if (!value) event.formData.delete(name);
  });

  // A form is sent once, however often its button is pressed.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post" || form.hasAttribute("hx-post")) return;
    if (form.dataset.sent) event.preventDefault();
    form.dataset.sent = "true";
  });

  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("[data-copy]");
    if (!button) return;
    const source = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.textContent);
      button.textContent = "Copied";
    } catch {
      // Browsers lend the clipboard to trusted origins only.
      getSelection().selectAllChildren(source);
      button.textContent = "Selected: copy it";
    }
  });

  // Keys.
  const KEYS_OFF = "keys-off";
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
    c: () => location.assign("/new"),
    r: () => find("#reply")?.focus(),
    j: () => move(1),
    k: () => move(-1),
  };
  let goes = false;
  document.addEventListener("keydown", (event) => {
    // A key that composes a character is not ours.
    if (event.isComposing) return;
    const field = event.target.closest?.("input, textarea, select");
    if (field) {
      if (event.key === "Escape") field.blur();
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) field.form?.requestSubmit();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || find("dialog[open]")) return;
    if (localStorage.getItem(KEYS_OFF) && event.key !== "?") return;
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
  const keysOn = find("#keys-on");
  if (keysOn) {
    keysOn.checked = !localStorage.getItem(KEYS_OFF);
    keysOn.addEventListener("change", () => {
      if (keysOn.checked) localStorage.removeItem(KEYS_OFF);
      else localStorage.setItem(KEYS_OFF, "true");
    });
  }
})();

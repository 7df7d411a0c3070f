// The stream that keeps a page up to date: asked for while somebody looks, asked for again when it broke, and what is said
// in the meantime. hx-sse reads it and tries again once it has been connected; the rest is here.
"use strict";
(() => {
  const SELECTOR = "[hx-sse\\:connect]";
  // The server says something every 15 seconds: a line that is silent for longer is dead (a laptop slept, a network changed).
  const SILENCE_MS = 40_000;
  const RETRY_MS_MAX = 4_000;
  // A list does not move under a hand that points at it, for so long.
  const HOLD_MS = 3_000;
  const POINTED_MS = 800;

  const region = document.querySelector(SELECTOR);
  if (!region) return;
  const isOurs = (event) => event.target === region;
  const say = (state) => { document.body.dataset.live = state; };

  let connection = null;
  let isAsking = false;
  let isOver = false;
  let failures = 0;
  let heardAt = 0;

  const start = () => {
    if (document.hidden || connection || isAsking || isOver) return;
    isAsking = true;
    htmx.trigger(region, "live");
  };
  const fail = (status) => {
    isAsking = false;
    if (status === 401) {
      // Whose session has ended sees nothing more; what was written is kept.
      isOver = true;
      location.assign(`/login?ended=yes&next=${encodeURIComponent(location.pathname + location.search)}`);
    } else if (status === 403 || status === 404) {
      isOver = true;
      say("gone");
    } else {
      say("offline");
    }
  };
  const failFirst = (status) => {
    fail(status);
    failures += 1;
    setTimeout(start, Math.min(250 * 2 ** failures, RETRY_MS_MAX));
  };

  document.addEventListener("visibilitychange", start);
  document.addEventListener("htmx:sse:before:connection", (event) => {
    if (isOurs(event) && (document.hidden || isOver)) event.preventDefault();
  });
  document.addEventListener("htmx:sse:after:connection", (event) => {
    if (!isOurs(event)) return;
    ({ connection } = event.detail);
    isAsking = false;
    failures = 0;
    heardAt = Date.now();
    say("connected");
  });
  document.addEventListener("htmx:sse:close", (event) => {
    if (!isOurs(event)) return;
    connection = null;
    isAsking = false;
    start();
  });
  document.addEventListener("htmx:sse:error", (event) => { if (isOurs(event)) fail(event.detail.status); });
  document.addEventListener("htmx:response:error", (event) => {
    if (isOurs(event)) failFirst(event.detail.ctx.response.status);
  });
  document.addEventListener("htmx:error", (event) => { if (isOurs(event)) failFirst(); });
  // Who leaves before the answer ends the question.
  addEventListener("pagehide", () => {
    isOver = true;
    htmx.trigger(region, "htmx:abort");
  });
  setInterval(() => {
    if (connection && !document.hidden && Date.now() - heardAt > SILENCE_MS) connection.reader?.cancel();
  }, 5_000);

  let pointedAt = -Infinity;
  for (const type of ["pointermove", "pointerdown"]) {
    document.addEventListener(type, (event) => {
      pointedAt = event.target.closest?.("[data-list]") ? Date.now() : -Infinity;
    });
  }
  let letThroughUntil = -Infinity;
  const handIsAway = async () => {
    const began = Date.now();
    // What has come meanwhile goes through at once: otherwise ever older states would be shown.
    if (began < letThroughUntil) return;
    while (Date.now() - pointedAt < POINTED_MS) {
      if (Date.now() - began > HOLD_MS) {
        letThroughUntil = Date.now() + 1_000;
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };
  document.addEventListener("htmx:sse:before:message", (event) => {
    if (!isOurs(event)) return;
    heardAt = Date.now();
    event.detail.waitUntil(handIsAway());
  });

  // htmx is loaded last, and has looked through the page then.
  document.addEventListener("htmx:after:process", () => setTimeout(start), { once: true });
})();

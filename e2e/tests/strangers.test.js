// What strangers write stays text, and who has no key stays out.
import assert from "node:assert/strict";
import path from "node:path";
import { after, before, test } from "node:test";
import { App, Browser, artefacts, connected, violations } from "../stage.js";

let app;
let browser;

before(async () => {
  [app, browser] = await Promise.all([App.start(), Browser.start()]);
});

after(async () => {
  await browser?.stop();
  await app?.stop();
});

const corpus = [
  "<script>globalThis.hit=1</script>",
  "<img src=x onerror=globalThis.hit=1>",
  "<svg onload=globalThis.hit=1>",
  "\"><script>globalThis.hit=1</script>",
  "'><img src=x onerror=globalThis.hit=1>",
  "</textarea><script>globalThis.hit=1</script>",
  "</title><script>globalThis.hit=1</script>",
  "<a href=\"javascript:globalThis.hit=1\">click</a>",
  "<iframe srcdoc=\"<script>parent.hit=1</script>\"></iframe>",
  "<form action=/keys method=post><button id=stolen>x</button></form>",
  "<div hx-get=/keys hx-trigger=load></div>",
  "<div hx-sse:connect=/live/inbox></div>",
  "<style>body{display:none}</style>",
  "<meta http-equiv=refresh content=\"0;url=https://evil.example\">",
  "<base href=https://evil.example>",
  "<link rel=stylesheet href=https://evil.example/x.css>",
  "{{constructor.constructor('globalThis.hit=1')()}}",
  "\ndata: <script>globalThis.hit=1</script>\n\nid: 1",
  "<details open ontoggle=globalThis.hit=1>",
  "<template><script>globalThis.hit=1</script></template>",
  "<math><mtext></form><form><mglyph><style></math><img src onerror=globalThis.hit=1>",
  "\u202e<script>globalThis.hit=1</script>",
];

test("a corpus of attacks is inert on every page", async () => {
  const pages = ["/", "/messages", "/outbox", "/providers"];
  const refused = [];
  for (const [number, attack] of corpus.entries()) {
    const mail = await app.call("POST", "/api/webhooks/email", {
      from: `x${number}@example.net`, to: "app@example.com", subject: attack.replaceAll("\n", " "),
      body: attack, messaging_provider_id: `mail ${number} ${attack}`.replaceAll(/[\n\u202e]/g, ""), attachments: [`https://evil.example/${encodeURIComponent(attack)}`],
    });
    const named = await app.call("POST", "/api/messages/email", {
      from: `"${attack.replaceAll(/["\\\n]/g, "")}" <app@example.com>`, to: `y${number}@example.net`, subject: "Hi", body: attack,
    }).catch(() => null);
    // Quoted, nearly everything is an address (RFC 5322 section 3.4.1).
    const quoted = `"${attack.replaceAll(/["\\\n\u202e]/g, "")}"@example.net`;
    const strange = await app.call("POST", "/api/webhooks/email", {
      from: quoted, to: "app@example.com", body: "Who?", messaging_provider_id: `strange ${number}`,
    }).catch((error) => { refused.push(error.message); return null; });
    assert.ok(strange || refused.at(-1).includes("400"), refused.at(-1));
    const sent = await app.sms(attack, { to: `+120255501${10 + number}`, metadata: { [attack.slice(0, 40)]: attack } });
    await app.received(attack, `sms-${number}`);
    for (const { id } of [mail, sent, named, strange].filter(Boolean)) {
      const { conversation_id } = await app.get(`/api/messages/${id}`);
      pages.push(`/messages/${id}`, `/conversations/${conversation_id}`);
    }
    const told = encodeURIComponent(attack.replaceAll("\n", " "));
    pages.push(`/search?q=${told}`, `/bulk?action=retry&text=${told}`, `/messages?to=${told}`, `/new?to=${told}`);
    await fetch(`${app.url}/api/webhooks/sim-twilio?x=${encodeURIComponent(attack)}`, {
      method: "POST", body: attack, headers: { "x-attack": attack.replaceAll(/[^\x20-\x7e]/g, "") },
    });
  }
  const kept = await fetch(`${app.url}/quarantine`).then((it) => it.text());
  pages.push("/quarantine", ...kept.match(/\/quarantine\/[0-9a-f-]{36}/g).slice(0, 20));
  const page = await browser.page(app);
  for (const at of pages) {
    await page.goto(app.url + at, { waitUntil: "load" });
    const found = await page.evaluate(() => ({
      hit: globalThis.hit,
      foreign: document.querySelectorAll("main script, main style, main base, main meta, main link, main [onerror], main [onload], main img, #stolen, main [hx-trigger=load]").length,
      scripts: document.scripts.length,
      shown: getComputedStyle(document.body).display !== "none",
    }));
    assert.deepEqual(found, { hit: undefined, foreign: 0, scripts: 4, shown: true }, at);
    for (const frame of page.frames().slice(1)) {
      assert.equal(await frame.locator("script, img, form, iframe, style, meta[http-equiv], base, link").count(), 0, at);
    }
    assert.deepEqual(page.complaints, [], at);
  }
  console.log(`${corpus.length} attacks on ${pages.length} pages; ${refused.length} as addresses were refused`);
  // And through the streams of pages that are open.
  const first = await app.received("Hello", "live", { from: "+12025550188" });
  const { conversation_id } = await app.get(`/api/messages/${first.id}`);
  for (const [at, row] of [["/messages", "r"], [`/conversations/${conversation_id}`, "m"]]) {
    await page.goto(app.url + at);
    await connected(page);
    let newest;
    for (const [number, attack] of corpus.entries()) {
      newest = await app.received(attack, `live ${row} ${number}`, { from: "+12025550188" });
    }
    await page.locator(`#${row}-${newest.id}`).waitFor();
    assert.equal(await page.evaluate(() => globalThis.hit), undefined, at);
    assert.equal(await page.locator("main script, main img, main style, #stolen").count(), 0, at);
    assert.deepEqual(page.complaints, [], at);
  }
  await page.context().close();
});

test("with a key, the console asks for it, keeps it in a cookie that scripts cannot read, and forgets it", async () => {
  const maker = await browser.page(app);
  await maker.goto(`${app.url}/keys`);
  await maker.fill("#name", "operator");
  await maker.click("button:has-text('Make a key')");
  app.key = (await maker.locator("#made").textContent()).trim();
  assert.deepEqual(await violations(maker), []);
  await maker.goto(app.url);
  await maker.locator("#inbox-title").waitFor();

  const page = await browser.page(app);
  await page.goto(`${app.url}/messages?status=failed`);
  await page.waitForURL("**/login?**");
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await page.screenshot({ path: path.join(artefacts, `login-${colorScheme}.png`) });
    assert.deepEqual(await violations(page), [], colorScheme);
  }
  await page.fill("#key", "app_wrong");
  await page.click("button[type=submit]");
  await page.locator("[role=alert]").waitFor();
  page.complaints.length = 0; // The browser tells of the 401.
  await page.fill("#key", app.key);
  await page.click("button[type=submit]");
  await page.waitForURL("**/messages?status=failed");
  const [cookie] = await page.context().cookies();
  assert.deepEqual([cookie.httpOnly, cookie.sameSite], [true, "Lax"]);
  assert.equal(await page.evaluate(() => document.cookie), "");
  assert.deepEqual(page.complaints, []);

  const headers = { cookie: `${cookie.name}=${cookie.value}`, "content-type": "application/x-www-form-urlencoded" };
  for (const from of [{}, { origin: "https://evil.example" }, { origin: app.url, "sec-fetch-site": "cross-site" }]) {
    const answer = await fetch(`${app.url}/keys`, { method: "POST", headers: { ...headers, ...from }, body: "name=stolen", redirect: "manual" });
    assert.equal(answer.status, 403, JSON.stringify(from));
  }
  const outside = await fetch(`${app.url}/api/messages`, { headers });
  assert.equal(outside.status, 401, "the cookie is not a key of the API");

  await page.click("button:has-text('Log out')");
  await page.waitForURL("**/login");
  await page.goto(app.url);
  await page.waitForURL("**/login?**");

  // Revoking a key ends its sessions, also those of pages that are open.
  await page.goto(`${app.url}/messages`);
  await page.fill("#key", app.key);
  await page.click("button[type=submit]");
  await page.waitForURL("**/messages");
  await connected(page);
  await maker.goto(`${app.url}/keys`);
  await maker.fill("#name", "second");
  await maker.selectOption("#role", "operator");
  await maker.click("button:has-text('Make a key')");
  app.key = (await maker.locator("#made").textContent()).trim();
  await maker.goto(`${app.url}/keys`);
  assert.deepEqual(await violations(maker), []);
  await maker.click("a:has-text('Revoke operator')");
  assert.deepEqual(await violations(maker), []);
  await maker.click("button:has-text('Revoke operator')");
  await maker.waitForURL("**/login?**");
  await page.waitForURL("**/login?ended=yes&next=%2Fmessages");
  await maker.context().close();
  await page.context().close();
});

// Drafts and updates survive what happens to a server and to a tab.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { App, Browser, connected, until } from "../stage.js";

let app;
let browser;

before(async () => {
  [app, browser] = await Promise.all([App.start(), Browser.start()]);
});

after(async () => {
  await browser?.stop();
  await app?.stop();
});

const events = async (id) => {
  const ids = [];
  for (let cursor = ""; cursor !== null;) {
    const page = await app.get(`/api/messages/${id}/events?limit=200${cursor && `&cursor=${cursor}`}`);
    ids.push(...page.events.map((event) => event.id));
    cursor = page.next_cursor;
  }
  return ids;
};

const shownEvents = (page) =>
  page.evaluate(() => [...document.querySelectorAll("#timeline [data-event]")].map((it) => it.dataset.event));

test("an empty inbox offers somebody who writes, and who answers", async () => {
  const page = await browser.page(app);
  await page.goto(app.url);
  await page.click("button:has-text('Have somebody write to you')");
  await page.locator("#inbox li a", { hasText: "I am simulated" }).click();
  await page.fill("#reply", "Who are you?");
  await page.click("#composer button[type=submit]");
  await page.locator("#thread li.outbound .chip", { hasText: "delivered" }).waitFor();
  await page.locator("#thread li.inbound", { hasText: "Who are you?" }).waitFor();
  assert.deepEqual(page.complaints, []);
  await page.context().close();
});

test("a draft is kept through a hundred inbound messages, a kill, and loading the page again", async () => {
  const first = await app.received("Hello", "draft-0");
  const { conversation_id } = await app.get(`/api/messages/${first.id}`);
  const page = await browser.page(app);
  await page.goto(`${app.url}/conversations/${conversation_id}`);
  await page.click("#reply");
  await page.keyboard.type("Half a thou");
  for (let number = 1; number <= 100; number++) {
    await app.received(`Number ${number}`, `draft-${number}`);
    if (number % 20 === 0) await page.keyboard.type("!");
  }
  await page.locator("#thread li", { hasText: "Number 100" }).waitFor();
  const field = () => page.evaluate(() => {
    const reply = document.getElementById("reply");
    return { value: reply.value, focused: document.activeElement === reply, caret: reply.selectionStart };
  });
  const draft = "Half a thou!!!!!";
  assert.deepEqual(await field(), { value: draft, focused: true, caret: draft.length });
  assert.deepEqual(page.complaints, []);

  await app.kill();
  await page.locator("#offline").waitFor();
  assert.deepEqual(await field(), { value: draft, focused: true, caret: draft.length });
  await page.keyboard.press("Control+Enter");
  await page.locator("#wrong", { hasText: "The server cannot be reached." }).waitFor();
  assert.equal((await field()).value, draft);
  await app.run();
  await app.received("After the restart", "draft-101");
  await page.locator("#thread li", { hasText: "After the restart" }).waitFor();
  await until("the page says no more that it is cut off", () => page.locator("#offline").isHidden());
  assert.deepEqual(await field(), { value: draft, focused: true, caret: draft.length });

  await page.reload();
  assert.equal(await page.inputValue("#reply"), draft);
  await page.keyboard.press("r");
  await page.keyboard.press("Control+Enter");
  await page.locator("#thread li.outbound", { hasText: draft }).waitFor();
  await page.reload();
  assert.equal(await page.inputValue("#reply"), "", "what was sent is no draft any more");
  await page.context().close();
});

/// A conversation's page, and a way to hold what becomes of its replies.
const conversation = async (from) => {
  const { id } = await app.received("Hello", `from ${from}`, { from });
  const { conversation_id } = await app.get(`/api/messages/${id}`);
  const page = await browser.page(app);
  await page.goto(`${app.url}/conversations/${conversation_id}`);
  await connected(page);
  const bodies = async () => {
    const { messages } = await app.get(`/api/conversations/${conversation_id}/messages`);
    return messages.filter((message) => message.direction === "outbound").map((message) => message.body);
  };
  return { page, bodies };
};

test("a reply whose answer was lost goes once, though it is sent again from a page that was loaded again", async () => {
  const { page, bodies } = await conversation("+12025550161");
  await page.route("**/reply", async (route) => { await route.fetch(); await route.abort(); }, { times: 1 });
  await page.fill("#reply", "Only once");
  await page.click("#send");
  await page.locator("#wrong", { hasText: "It is not known whether it was sent." }).waitFor();
  await page.reload();
  assert.equal(await page.inputValue("#reply"), "Only once");
  await page.click("#send");
  await until("the field is empty", async () => (await page.inputValue("#reply")) === "");
  assert.deepEqual(await bodies(), ["Only once"]);

  // Another text in its place is told apart, and sent when it is meant.
  await page.route("**/reply", async (route) => { await route.fetch(); await route.abort(); }, { times: 1 });
  await page.fill("#reply", "First");
  await page.click("#send");
  await page.locator("#wrong", { hasText: "It is not known whether it was sent." }).waitFor();
  await page.fill("#reply", "Second");
  await page.click("#send");
  await page.locator("#wrong", { hasText: "was sent after all" }).waitFor();
  assert.equal(await page.inputValue("#reply"), "Second");
  await page.click("#send");
  await until("the field is empty", async () => (await page.inputValue("#reply")) === "");
  assert.deepEqual(await bodies(), ["Only once", "First", "Second"]);
  await page.context().close();
});

test("what is written while a reply is under way stays", async () => {
  const { page, bodies } = await conversation("+12025550162");
  let release;
  const released = new Promise((resolve) => { release = resolve; });
  await page.route("**/reply", async (route) => {
    const response = await route.fetch();
    await released;
    await route.fulfill({ response });
  }, { times: 1 });
  await page.click("#reply");
  await page.keyboard.type("First.");
  await page.keyboard.press("Control+Enter");
  await page.keyboard.type(" And more");
  await page.keyboard.press("Control+Enter");
  release();
  await until("only what was written since is left", async () => (await page.inputValue("#reply")) === "And more");
  assert.deepEqual(await bodies(), ["First."]);
  await page.reload();
  assert.equal(await page.inputValue("#reply"), "And more");
  await page.context().close();
});

test("a draft is the same in two tabs, and what one of them has sent is gone in both", async () => {
  const { page, bodies } = await conversation("+12025550165");
  const other = await page.context().newPage();
  await other.goto(page.url());
  await connected(other);
  await page.fill("#reply", "OK");
  await until("the other tab has it", async () => (await other.inputValue("#reply")) === "OK");
  await page.click("#send");
  await until("it is gone in both", async () => (await page.inputValue("#reply")) + (await other.inputValue("#reply")) === "");
  // The same text again is another message.
  await other.fill("#reply", "OK");
  await other.click("#send");
  await until("it is gone", async () => (await other.inputValue("#reply")) === "");
  assert.deepEqual(await bodies(), ["OK", "OK"]);
  await page.context().close();
});

test("a page whose first connection fails tries again, and says so in the meantime", async () => {
  const page = await browser.page(app);
  let failures = 0;
  await page.route("**/live/inbox", async (route) => {
    failures += 1;
    if (failures === 1) await route.fulfill({ status: 503 });
    else if (failures === 2) await route.abort();
    else await route.continue();
  });
  await page.goto(app.url);
  await page.locator("#offline").waitFor();
  await connected(page);
  assert.equal(await page.locator("#offline").isHidden(), true);
  const { id } = await app.received("Are you there?", "late", { from: "+12025550163" });
  const { conversation_id } = await app.get(`/api/messages/${id}`);
  await page.locator(`#c-${conversation_id}`).waitFor();
  await page.context().close();
});

test("a tab that was opened in the background asks for nothing, and has read nothing", async () => {
  const { id } = await app.received("Psst", "background", { from: "+12025550164" });
  const { conversation_id } = await app.get(`/api/messages/${id}`);
  const context = (await browser.page(app)).context();
  await context.addInitScript(() => {
    Object.defineProperty(document, "hidden", { value: true, configurable: true });
  });
  const page = await context.newPage();
  const asked = [];
  page.on("request", (request) => { if (request.url().includes("/live/")) asked.push(request.url()); });
  await page.goto(`${app.url}/conversations/${conversation_id}`, { waitUntil: "load" });
  assert.deepEqual(asked, []);
  const inbox = await browser.page(app);
  await inbox.goto(app.url);
  const badge = inbox.locator(`#c-${conversation_id} .badge`);
  await badge.waitFor();
  await page.evaluate(() => {
    Object.defineProperty(document, "hidden", { value: false, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  });
  await connected(page);
  await badge.waitFor({ state: "detached" });
  assert.equal(asked.length, 1);
  await context.close();
  await inbox.context().close();
});

test("after a kill mid-stream no event of a message is missing", async () => {
  await app.fault({ match: { to: "+12025550171" }, fault: { type: "status", status: 500 }, times: 3 });
  const sent = await app.sms("Through it all", { to: "+12025550171" });
  const page = await browser.page(app);
  await page.goto(`${app.url}/messages/${sent.id}`);
  await page.locator("#timeline [data-event]").nth(1).waitFor();
  await app.kill();
  await app.run();
  await app.settled(sent.id, (message) => message.status !== "outbox" && message.attempt > 0);
  await app.call("POST", `/api/messages/${sent.id}/cancel`).catch(() => null);
  await app.settled(sent.id, (message) => message.status === "failed" || message.delivery === "delivered");
  const all = await events(sent.id);
  await until("the page shows every event", async () => {
    const shown = await shownEvents(page);
    return all.every((id) => shown.includes(id));
  });
  assert.deepEqual(await shownEvents(page), all);
  await page.context().close();
});

test("a hidden tab catches up when it is looked at again", async () => {
  const sent = await app.sms("Later", { to: "+12025550172", send_at: new Date(Date.now() + 3_600_000).toISOString() });
  const page = await browser.page(app);
  await page.goto(`${app.url}/messages/${sent.id}`);
  await connected(page);
  const hide = (hidden) => page.evaluate((is) => {
    Object.defineProperty(document, "hidden", { value: is, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);
  await hide(true);
  await app.call("POST", `/api/messages/${sent.id}/cancel`);
  await app.call("POST", `/api/messages/${sent.id}/retry`);
  await app.settled(sent.id, (message) => message.delivery === "delivered");
  const all = await events(sent.id);
  assert.equal((await shownEvents(page)).length, 1, "nothing is sent to who does not look");
  await hide(false);
  await until("the page shows every event", async () => (await shownEvents(page)).length === all.length);
  assert.deepEqual(await shownEvents(page), all);
  assert.deepEqual(page.complaints, []);
  await page.context().close();
});

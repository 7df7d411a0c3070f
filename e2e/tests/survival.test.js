// Drafts and updates survive what happens to a server and to a tab.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { App, Browser, until } from "../stage.js";

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
  await page.locator("#connection").waitFor();
  assert.deepEqual(await field(), { value: draft, focused: true, caret: draft.length });
  await page.keyboard.press("Control+Enter");
  await page.locator("#wrong", { hasText: "Not sent: the server cannot be reached." }).waitFor();
  assert.equal((await field()).value, draft);
  await app.run();
  await app.received("After the restart", "draft-101");
  await page.locator("#thread li", { hasText: "After the restart" }).waitFor();
  await until("the page says no more that it is cut off", () => page.locator("#connection").isHidden());
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
  await page.locator(".answer").waitFor();
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

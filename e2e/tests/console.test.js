// The console as its users meet it: the real binary, the simulator, a real browser.
import assert from "node:assert/strict";
import path from "node:path";
import { after, before, test } from "node:test";
import { App, Browser, artefacts, connected, until, violations } from "../stage.js";

let app;
let browser;

before(async () => {
  [app, browser] = await Promise.all([App.start(), Browser.start()]);
});

after(async () => {
  await browser?.stop();
  await app?.stop();
});

test("the first page weighs at most 60 kB, compressed", async () => {
  const page = await browser.page(app);
  const session = await page.context().newCDPSession(page);
  await session.send("Network.enable");
  let bytes = 0;
  session.on("Network.loadingFinished", (event) => { bytes += event.encodedDataLength; });
  await page.goto(app.url, { waitUntil: "load" });
  console.log(`first page: ${bytes} bytes`);
  assert.ok(bytes > 1_000 && bytes <= 60_000, `${bytes} bytes`);
  assert.deepEqual(page.complaints, []);
  await page.context().close();
});

test("a reply makes its round trip, live", async () => {
  const page = await browser.page(app);
  await page.goto(app.url);
  const sent = await app.sms("Hello from the API");
  const entry = page.locator(`#c-${sent.conversation_id}`);
  await entry.waitFor();
  await entry.locator("a").click();
  await page.locator(`#m-${sent.id} .chip`, { hasText: "delivered" }).waitFor();
  await page.locator("#thread li.inbound").first().waitFor();
  await page.fill("#reply", "Thank you € so much");
  await page.locator("#segments", { hasText: "1 segment · 20 of 160 · GSM-7" }).waitFor();
  await page.click("#composer button[type=submit]");
  const own = page.locator("#thread li.outbound", { hasText: "Thank you € so much" });
  await own.waitFor();
  await own.locator(".chip", { hasText: "delivered" }).waitFor();
  await until("the simulated recipient answers", async () => (await page.locator("#thread li.inbound").count()) === 2);
  assert.equal(await page.inputValue("#reply"), "");
  const list = await app.get(`/api/conversations/${sent.conversation_id}/messages`);
  assert.equal(list.messages.length, 4);
  assert.deepEqual(page.complaints, []);
  await page.context().close();
});

test("a reply by keyboard alone", async () => {
  const sent = await app.sms("For the keyboard", { to: "+12025550155" });
  const page = await browser.page(app);
  await page.goto(app.url);
  await page.locator(`#c-${sent.conversation_id}`).waitFor();
  await page.keyboard.press("j");
  await until("the first entry has the focus", () =>
    page.evaluate((id) => document.activeElement?.closest("li")?.id === `c-${id}`, sent.conversation_id));
  await page.keyboard.press("Enter");
  await page.waitForURL(`**/conversations/${sent.conversation_id}`);
  await page.keyboard.press("r");
  await page.keyboard.type("Typed only");
  await page.keyboard.press("Control+Enter");
  await page.locator("#thread li.outbound", { hasText: "Typed only" }).waitFor();
  await until("the field has the focus again", () => page.evaluate(() => document.activeElement?.id === "reply"));
  await page.keyboard.press("Escape");
  await page.keyboard.press("g");
  await page.keyboard.press("m");
  await page.waitForURL("**/messages");
  await page.keyboard.press("/");
  await page.keyboard.type(sent.id);
  await page.keyboard.press("Enter");
  await page.waitForURL(`**/messages/${sent.id}`);
  await page.keyboard.press("?");
  await page.locator("#shortcuts[open]").waitFor();
  assert.deepEqual(page.complaints, []);
  await page.context().close();
});

test("a message to somebody new, and the same again", async () => {
  const page = await browser.page(app);
  await page.goto(app.url);
  await page.keyboard.press("c");
  await page.waitForURL("**/new");
  await page.fill("#from", "+12025550100");
  await page.fill("#to", "+1 202 555 0156");
  await page.fill("#body", "Nice to meet you");
  await page.locator("#segments", { hasText: "1 segment" }).waitFor();
  await page.click("#send");
  await page.waitForURL("**/messages/*");
  await page.locator(".answer .chip", { hasText: "delivered" }).waitFor();
  const id = page.url().split("/").pop();
  assert.equal((await app.get(`/api/messages/${id}`)).to, "+12025550156");
  await page.click("text=Write the same again");
  assert.deepEqual(
    [await page.inputValue("#to"), await page.inputValue("#body")],
    ["+12025550156", "Nice to meet you"], "and no draft of what was sent");
  await page.goto(`${app.url}/new`);
  assert.deepEqual([await page.inputValue("#from"), await page.inputValue("#body")], ["+12025550100", ""]);
  assert.deepEqual(page.complaints, []);
  await page.context().close();
});

test("a reply that is refused comes back with what is wrong, and nothing else happens", async () => {
  const sent = await app.sms("To be answered", { to: "+12025550157" });
  const page = await browser.page(app);
  await page.goto(`${app.url}/conversations/${sent.conversation_id}`);
  await connected(page);
  await page.fill("#reply", "x".repeat(1601));
  await page.locator("#segments", { hasText: "too long by 1" }).waitFor();
  await page.click("#send");
  await page.locator("#wrong", { hasText: "1601 characters; 1600 are taken at most" }).waitFor();
  await until("the text can be put right", () => page.evaluate(() => document.activeElement.id === "reply"));
  assert.deepEqual(await violations(page), []);
  const complaints = page.complaints.filter((it) => !it.includes("422"));
  assert.deepEqual(complaints, []);
  await page.context().close();
});

test("unread conversations are marked until they are read", async () => {
  const { id } = await app.received("Anybody there?", "unread-1", { from: "+12025550133" });
  const { conversation_id } = await app.get(`/api/messages/${id}`);
  const page = await browser.page(app);
  await page.goto(app.url);
  const entry = page.locator(`#c-${conversation_id}`);
  await entry.locator(".badge", { hasText: "1" }).waitFor();
  await entry.locator("a").click();
  await page.waitForURL("**/conversations/**");
  await connected(page);
  await page.goto(app.url);
  await entry.locator(".badge").waitFor({ state: "detached" });
  await app.received("Hello?", "unread-2", { from: "+12025550133" });
  await entry.locator(".badge", { hasText: "1" }).waitFor();
  assert.deepEqual(page.complaints, []);
  await page.context().close();
});

test("a filtered set is retried with progress", async () => {
  await app.fault({ match: { to_prefix: "+1202555016" }, fault: { type: "status", status: 400, code: 21610 } });
  const sent = [];
  for (let number = 0; number < 30; number++) {
    sent.push(await app.sms(`No ${number}`, { to: `+1202555016${number % 10}` }));
  }
  await Promise.all(sent.map(({ id }) => app.settled(id, (message) => message.status === "failed")));
  await app.noFaults();
  const page = await browser.page(app);
  await page.goto(`${app.url}/messages`);
  await page.selectOption("#f-status", "failed");
  await page.click(".filters button[type=submit]");
  await page.waitForURL(/status=failed/);
  assert.equal(await page.locator("tbody tr").count(), 30);
  await page.click("text=Retry…");
  await page.locator("main", { hasText: "30 of them can be." }).waitFor();
  await page.click("main form button[type=submit]");
  await page.locator("#counts", { hasText: "30 of 30 tried again" }).waitFor();
  await Promise.all(sent.map(({ id }) => app.settled(id, (message) => message.delivery === "delivered")));
  assert.deepEqual(page.complaints, []);
  await page.context().close();
});

test("thousands are canceled with progress", async () => {
  const wanted = 2_000;
  const send_at = new Date(Date.now() + 3_600_000).toISOString();
  for (let sent = 0; sent < wanted; sent += 50) {
    const some = Array.from({ length: 50 }, () => app.sms("Later", { to: "+12025550148", send_at }));
    await Promise.all(some);
  }
  const page = await browser.page(app);
  await page.goto(`${app.url}/messages?to=%2B12025550148&status=outbox`);
  await page.click("text=Cancel…");
  await page.locator("main", { hasText: "2,000 of them can be." }).waitFor();
  await page.click("main form button[type=submit]");
  await page.waitForURL("**/jobs/*");
  // A fast machine may have done it by now.
  await page.locator("progress[value], p.good").first().waitFor();
  await page.locator("#counts", { hasText: "2,000 of 2,000 canceled." }).waitFor();
  const left = await app.get("/api/messages?to=%2B12025550148&status=outbox&limit=1");
  assert.equal(left.messages.length, 0);
  assert.deepEqual(page.complaints, []);
  await page.context().close();
});

test("why a message has not gone is one sentence, and its provider can be paused and resumed there", async () => {
  const page = await browser.page(app);
  await page.goto(`${app.url}/providers`);
  await page.fill("#note-sim-twilio", "looking into it");
  // An update must not take away what is typed.
  await connected(page);
  const figures = () => page.locator("#p-sim-twilio").evaluate((it) => it.innerHTML);
  const before = await figures();
  await app.sms("Tick", { to: "+12025550144" });
  await until("the region was updated", async () => (await figures()) !== before);
  assert.equal(await page.inputValue("#note-sim-twilio"), "looking into it");
  await page.click("#p-sim-twilio button");
  await page.locator("#p-sim-twilio", { hasText: "paused by an operator" }).waitFor();
  await page.locator("#p-sim-twilio", { hasText: "looking into it" }).waitFor();
  await until("processors know of it", async () => {
    const { id } = await app.sms("Waits", { to: "+12025550145" });
    await page.goto(`${app.url}/messages/${id}`);
    return (await page.locator(".answer").textContent()).includes("paused");
  });
  const shown = page.url().split("/").pop();
  await page.goto(`${app.url}/providers`);
  await page.click("#p-sim-twilio button");
  await app.settled(shown, (message) => message.delivery === "delivered");
  assert.deepEqual(page.complaints, []);
  await page.context().close();
});

test("an outage is seen on a page that is open, and recovered from", async () => {
  const page = await browser.page(app);
  await page.goto(`${app.url}/simulator`);
  await page.click("button:has-text('Outage of 30 s')");
  await page.locator("main", { hasText: /outage, has met 0 calls, ends in \d+ s/ }).waitFor();
  await page.goto(`${app.url}/providers`);
  await connected(page);
  const inbox = await browser.page(app);
  await inbox.goto(app.url);
  await connected(inbox);
  const sent = [];
  for (let number = 0; number < 20; number++) sent.push(await app.sms("Out", { to: "+12025550146" }));
  const began = Date.now();
  await page.locator("#p-sim-twilio h2", { hasText: "down" }).waitFor();
  console.log(`outage seen ${Date.now() - began} ms after the last send`);
  await inbox.locator("#pulse a", { hasText: "sim-twilio down" }).waitFor();
  await page.goto(`${app.url}/simulator`);
  await page.click("button:has-text('End all')");
  await page.locator("main", { hasText: "None." }).waitFor();
  await Promise.all(sent.map(({ id }) => app.settled(id, (message) => message.status === "ok")));
  await inbox.locator("#pulse a", { hasText: "All works" }).waitFor();
  assert.deepEqual([...page.complaints, ...inbox.complaints], []);
  await inbox.context().close();
  await page.context().close();
});

test("a webhook in quarantine is shown and can be forgotten", async () => {
  const answer = await fetch(`${app.url}/api/webhooks/sim-twilio`, { method: "POST", body: "From=nobody" });
  assert.equal(answer.status, 403);
  const page = await browser.page(app);
  await page.goto(`${app.url}/quarantine`);
  await page.locator("tbody a").first().click();
  await page.locator("pre", { hasText: "From=nobody" }).waitFor();
  await page.click("button:has-text('Process again')");
  await page.locator("[role=alert]", { hasText: "It still is not verified" }).waitFor();
  await page.click("button:has-text('Trust it')");
  await page.locator("main", { hasText: "does not prove that sim-twilio sent it" }).waitFor();
  await page.click("a:has-text('Back')");
  await page.click("button:has-text('Forget it')");
  await page.locator("main", { hasText: "is lost for good" }).waitFor();
  await page.click("button:has-text('Forget it')");
  await page.waitForURL("**/quarantine?done=forgotten&count=1");
  await page.locator("main", { hasText: "Nothing is kept." }).waitFor();
  assert.deepEqual(page.complaints, []);
  await page.context().close();
});

test("all in quarantine are processed while one looks on", async () => {
  for (let number = 0; number < 3; number++) {
    await fetch(`${app.url}/api/webhooks/sim-twilio`, { method: "POST", body: `From=nobody-${number}` });
  }
  const page = await browser.page(app);
  await page.goto(`${app.url}/quarantine?reason=unverified&provider=sim-twilio`);
  await page.click("a:has-text('Process again')");
  await page.locator("main", { hasText: "3 webhooks." }).waitFor();
  await page.click("button:has-text('Process all again')");
  await page.locator("#counts", { hasText: "0 of 3 taken in, 3 still cannot be" }).waitFor();
  await page.click("a:has-text('What is in quarantine now')");
  await page.click("a:has-text('Forget')");
  await page.click("button:has-text('Forget all')");
  await page.locator("main", { hasText: "Nothing is kept." }).waitFor();
  assert.deepEqual(page.complaints, []);
  await page.context().close();
});

test("search finds ids, numbers, words and filters", async () => {
  const sent = await app.sms("Find me", { to: "+12025550147" });
  const page = await browser.page(app);
  const search = async (text) => {
    await page.goto(app.url);
    await page.keyboard.press("/");
    await page.keyboard.type(text);
    await page.keyboard.press("Enter");
  };
  for (const [text, url] of [
    [sent.id, `/messages/${sent.id}`],
    [sent.conversation_id, `/conversations/${sent.conversation_id}`],
    ["+1 (202) 555-0147", `/conversations/${sent.conversation_id}`],
    ["status:failed", "/messages?status=failed"],
    ["failed", "/messages?status=failed"],
    ["find ME", "/messages?text=find+ME"],
  ]) {
    await search(text);
    await page.waitForURL(app.url + url);
  }
  for (const part of ["find ME", "550147"]) {
    await search(part);
    await page.locator(`#r-${sent.id}`).waitFor();
  }
  await search("nothing like this");
  await page.locator("main", { hasText: "No message matches." }).waitFor();
  assert.equal(new URL(page.url()).search, "?text=nothing+like+this");
  assert.deepEqual(page.complaints, []);
  await page.context().close();
});

test("every page passes axe in both colour schemes, without a complaint", async () => {
  const failed = await app.sms("Refused", { to: "+15005550001" });
  await app.settled(failed.id, (message) => message.status === "failed");
  await fetch(`${app.url}/api/webhooks/sim-twilio`, { method: "POST", body: "x=y" });
  const mail = await app.call("POST", "/api/webhooks/email", {
    from: "ann@example.net", to: "app@example.com", subject: "Order", messaging_provider_id: "mail-1",
    body: "<html><body><h1>Order</h1><p>Hello <b>you</b></p><img src='https://tracker.example/1.gif'></body></html>",
  });
  const kept = await fetch(`${app.url}/quarantine`).then((it) => it.text());
  const pages = {
    inbox: "/",
    conversation: `/conversations/${failed.conversation_id}`,
    new: "/new",
    "new-email": "/new?by=email",
    messages: "/messages",
    filtered: "/messages?status=failed&delivery=none&since=2d",
    nothing: "/messages?to=%2B12025559999",
    wrong: "/messages?to=x",
    failed: `/messages/${failed.id}`,
    email: `/messages/${mail.id}`,
    bulk: "/bulk?action=retry&status=failed",
    job: await fetch(`${app.url}/bulk`, {
      method: "POST", redirect: "manual", body: new URLSearchParams({ action: "cancel" }), headers: { origin: app.url },
    }).then((answer) => answer.headers.get("location")),
    outbox: "/outbox",
    providers: "/providers",
    quarantine: "/quarantine",
    webhook: kept.match(/\/quarantine\/[0-9a-f-]{36}/)[0],
    trust: `${kept.match(/\/quarantine\/[0-9a-f-]{36}/)[0]}/trust`,
    forgetting: "/quarantine/all?action=forget",
    keys: "/keys",
    simulator: "/simulator",
    search: "/messages?text=nothing",
    missing: "/messages/00000000-0000-7000-8000-000000000000",
  };
  for (const colorScheme of ["light", "dark"]) {
    const page = await browser.page(app, { colorScheme });
    for (const [name, at] of Object.entries(pages)) {
      await page.goto(app.url + at);
      await page.screenshot({ path: path.join(artefacts, `${name}-${colorScheme}.png`) });
      assert.deepEqual(await violations(page), [], `${name}, ${colorScheme}`);
      const complaints = page.complaints.filter((it) => !(name === "missing" && it.includes("404")));
      assert.deepEqual(complaints, [], `${name}, ${colorScheme}`);
      page.complaints.length = 0;
    }
    await page.context().close();
  }
  const narrow = await browser.page(app, { viewport: { width: 400, height: 800 } });
  for (const at of ["inbox", "conversation", "messages", "outbox"]) {
    await narrow.goto(app.url + pages[at]);
    await narrow.screenshot({ path: path.join(artefacts, `${at}-narrow.png`) });
    assert.deepEqual(await violations(narrow), [], `${at}, narrow`);
    const overflow = await narrow.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(overflow <= 0, `${at} is ${overflow} px too wide`);
  }
  await narrow.keyboard.press("?");
  await narrow.locator("#shortcuts[open]").waitFor();
  assert.deepEqual(await violations(narrow), [], "the list of keys");
  await narrow.context().close();
});

// SPDX-License-Identifier: Apache-2.0
// The unmodified OpenAI SDK v7 manages webhook endpoints and verifies what they get; standardwebhooks and svix verify too.
// usage: node webhooks_openai7.js BASE_URL KEY   (prints one JSON line)
const assert = require("node:assert");
const http = require("node:http");
const OpenAI = require("openai7");
const { Webhook } = require("standardwebhooks");
const svix = require("svix");

const [baseURL, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const MEMBERS = ["created_at", "event_types", "id", "name", "object", "signing_secret_hint", "updated_at", "url"];

/** Receives on loopback; `next()` gives one request after the other. */
function receiver() {
  const got = [], waiting = [];
  const server = http.createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8").on("data", (piece) => (body += piece)).on("end", () => {
      response.writeHead(Number(request.url.match(/\/status\/(\d+)/)?.[1] ?? 204)).end();
      const one = { headers: request.headers, body };
      waiting.length ? waiting.shift()(one) : got.push(one);
    });
  });
  const next = () => (got.length ? Promise.resolve(got.shift()) : new Promise((resolve) => waiting.push(resolve)));
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve({ server, next, url: `http://127.0.0.1:${server.address().port}` })));
}

/** Three verifiers agree that the secret made the signature; returns the event. */
async function verify({ body, headers }, secret) {
  const event = await client.webhooks.unwrap(body, headers, secret);
  assert.deepEqual(new Webhook(secret).verify(body, headers), event);
  assert.deepEqual(new svix.Webhook(secret).verify(body, headers), event);
  assert.equal(headers["webhook-id"], event.id);
  assert.match(headers["user-agent"], /^Videogate\//);
  return event;
}

async function refuses(request, secret) {
  await assert.rejects(client.webhooks.unwrap(request.body, request.headers, secret), OpenAI.InvalidWebhookSignatureError);
  assert.throws(() => new Webhook(secret).verify(request.body, request.headers));
  assert.throws(() => new svix.Webhook(secret).verify(request.body, request.headers));
}

async function manage(sink) {
  const types = await client.webhooks.eventTypes.list();
  assert.deepEqual(types, { object: "list", data: ["video.canceled", "video.completed", "video.expired", "video.failed"] });
  const made = await client.webhooks.create({ name: "first", url: `${sink.url}/a`, event_types: ["video.completed", "video.failed"] });
  assert.deepEqual(Object.keys(made).sort(), [...MEMBERS, "signing_secret"].sort());
  assert.match(made.signing_secret, /^whsec_[A-Za-z0-9+/]{32}$/);
  assert.ok(made.id.startsWith("whe_") && made.object === "webhook_endpoint" && made.signing_secret_hint.endsWith(made.signing_secret.slice(-4)));
  const { signing_secret: secret, ...shown } = made;
  assert.deepEqual(await client.webhooks.retrieve(made.id), shown);
  assert.deepEqual(await client.webhooks.update(made.id, {}), shown); // nothing changed: updated_at stays
  const renamed = await client.webhooks.update(made.id, { name: "renamed", event_types: ["video.completed"] });
  assert.deepEqual([renamed.name, renamed.event_types, renamed.url], ["renamed", ["video.completed"], made.url]);
  return { id: made.id, secret };
}

async function pages(sink, first) {
  const more = [];
  for (let i = 0; i < 3; i++) more.unshift((await client.webhooks.create({ name: `n${i}`, url: `${sink.url}/n${i}`, event_types: ["video.expired"] })).id);
  const seen = [];
  for await (const endpoint of client.webhooks.list({ limit: 2 })) {
    assert.deepEqual(Object.keys(endpoint).sort(), MEMBERS);
    seen.push(endpoint.id);
  }
  assert.deepEqual(seen, [...more, first]);
  const raw = await client.get("/webhook_endpoints?limit=2");
  assert.deepEqual(Object.keys(raw).sort(), ["data", "first_id", "has_more", "last_id", "object"]);
  assert.deepEqual([raw.object, raw.first_id, raw.last_id, raw.has_more], ["list", more[0], more[1], true]);
  for (const id of more) assert.deepEqual(await client.webhooks.delete(id), { id, object: "webhook_endpoint.deleted", deleted: true });
  await assert.rejects(client.webhooks.retrieve(more[0]), OpenAI.NotFoundError);
  await assert.rejects(client.webhooks.delete(more[0]), OpenAI.NotFoundError);
}

async function tests(sink, { id, secret }) {
  const result = await client.webhooks.test(id, { event_type: "video.failed" });
  assert.deepEqual(result, { object: "webhook_endpoint.test", webhook_endpoint_id: id, event_type: "video.failed", status_code: 204, success: true });
  const event = await verify(await sink.next(), secret);
  assert.deepEqual([event.type, event.object, event.data.object, event.data.status], ["video.failed", "event", "video", "failed"]);
  await assert.rejects(client.videos.retrieve(event.data.id), OpenAI.NotFoundError); // it was made up
  await client.webhooks.update(id, { url: `${sink.url}/status/503` });
  assert.equal((await client.webhooks.test(id, { event_type: "video.completed" })).status_code, 503);
  await sink.next();
  await client.webhooks.update(id, { url: "http://127.0.0.1:1/nobody" });
  await assert.rejects(client.webhooks.test(id, { event_type: "video.completed" }), OpenAI.BadRequestError);
  await client.webhooks.update(id, { url: `${sink.url}/a` });
}

const newVideo = () => client.post("/videos", { body: { model: "sandbox-instant", prompt: "a kite", size: "160x90", seconds: 1 } });

async function deliveries(sink, { id, secret }) {
  const video = await newVideo();
  const request = await sink.next();
  const event = await verify(request, secret);
  assert.equal(event.type, "video.completed");
  assert.deepEqual(event.data, await client.videos.retrieve(video.id));
  await refuses(request, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
  await refuses({ ...request, body: request.body + " " }, secret);
  const rotated = await client.webhooks.rotateSecret(id, { keep_old_secret_active_for_24_hours: true });
  assert.notEqual(rotated.signing_secret, secret);
  await newVideo();
  const both = await sink.next();
  await verify(both, secret);
  await verify(both, rotated.signing_secret);
  const last = await client.webhooks.rotateSecret(id);
  await newVideo();
  const alone = await sink.next();
  await verify(alone, last.signing_secret);
  for (const old of [secret, rotated.signing_secret]) await refuses(alone, old);
  return video.id;
}

async function errors(sink, { id }) {
  const good = { name: "x", url: `${sink.url}/x`, event_types: ["video.completed"] };
  const bad = [
    [{ ...good, event_types: ["batch.completed"] }, "event_types"],
    [{ ...good, event_types: [] }, "event_types"],
    [{ ...good, url: "ftp://example.com/" }, "url"],
    [{ ...good, url: "http://10.0.0.1/" }, "url"],
    [{ ...good, url: "nonsense" }, "url"],
    [{ ...good, name: "x".repeat(129) }, "name"],
  ];
  for (const [body, param] of bad)
    await assert.rejects(client.webhooks.create(body), (error) => error instanceof OpenAI.BadRequestError && error.param === param);
  await assert.rejects(client.webhooks.test(id, { event_type: "video.started" }), (error) => error.status === 400 && error.param === "event_type");
  await assert.rejects(client.webhooks.retrieve("whe_none"), OpenAI.NotFoundError);
}

async function main() {
  const sink = await receiver();
  const endpoint = await manage(sink);
  await pages(sink, endpoint.id);
  await tests(sink, endpoint);
  const video = await deliveries(sink, endpoint);
  await errors(sink, endpoint);
  await client.webhooks.delete(endpoint.id);
  sink.server.closeAllConnections();
  sink.server.close();
  console.log(JSON.stringify({ video, endpoint: endpoint.id }));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});

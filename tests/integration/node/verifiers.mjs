// SPDX-License-Identifier: Apache-2.0
// Callbacks as real libraries check them. usage: node verifiers.mjs CONFIG-JSON with {package, deliveries: [{record, secret}]}
import assert from "node:assert/strict";
import { config, run } from "./steps.mjs";

const { Webhook } = await import(config.package);
const tampered = (text) => text.replace("video", "vide0");

// A secret without whsec_ is raw bytes for us (as LLM Gateway's); the packages want that said.
const hook = (secret) => (secret.startsWith("whsec_") ? new Webhook(secret) : new Webhook(secret, { format: "raw" }));

function verifies({ record, secret }) {
  const event = hook(secret).verify(record.body, record.headers);
  assert.equal(event.id, record.headers["webhook-id"]);
  assert.throws(() => hook(secret).verify(tampered(record.body), record.headers));
  assert.throws(() => hook("whsec_" + Buffer.from("another secret").toString("base64")).verify(record.body, record.headers));
  const old = { ...record.headers, "webhook-timestamp": String(Number(record.headers["webhook-timestamp"]) - 3600) };
  assert.throws(() => hook(secret).verify(record.body, old));
}

await run({
  "callback": async () => verifies(config.deliveries.raw),
  "callback, whsec_ secret": async () => verifies(config.deliveries.whsec),
});

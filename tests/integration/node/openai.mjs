// SPDX-License-Identifier: Apache-2.0
// npm openai, unmodified, major 6 or 7. usage: node openai.mjs CONFIG-JSON
import assert from "node:assert/strict";
import fs from "node:fs";
import { callbacks, config, isMp4, notOffered, run, until } from "./steps.mjs";

const { default: OpenAI, toFile } = await import(config.package);
const options = { apiKey: config.key, baseURL: config.url + "/v1", maxRetries: 0 };
const client = new OpenAI(options);
const SMALL = { model: "sandbox-instant", size: "160x90", seconds: "1" };
const KEYS = ["completed_at", "created_at", "error", "expires_at", "id", "model", "object", "progress", "prompt", "remixed_from_video_id",
  "seconds", "size", "status"];
const headers = { "Idempotency-Key": "key-" + config.package };
const made = []; // identifiers in the order of their creation
let first = null;

async function create(body) {
  const video = await client.videos.create({ ...SMALL, ...body });
  made.push(video.id);
  for (const key of KEYS) assert(key in video, "no " + key);
  assert.equal(video.object, "video");
  return video;
}

// Waits as the SDKs' own helpers do: by the header of the answer.
async function finish(id) {
  return until(id + " to end", async () => {
    const { data, response } = await client.videos.retrieve(id).withResponse();
    if (!["queued", "in_progress"].includes(data.status)) return data;
    const wait = response.headers.get("openai-poll-after-ms");
    assert.match(wait, /^[0-9]+$/);
    await new Promise((done) => setTimeout(done, Math.min(Number(wait), 200)));
  });
}

async function completed(id) {
  const video = await finish(id);
  assert.equal(video.status, "completed", JSON.stringify(video.error));
  return video;
}

async function download(query) {
  const answer = await client.videos.downloadContent(first.id, query);
  return { type: answer.headers.get("content-type"), bytes: Buffer.from(await answer.arrayBuffer()) };
}

async function refused(name, status, call) {
  const error = await call().then(() => assert.fail("not refused"), (caught) => caught);
  if (error.status === 501) throw error;
  assert(error instanceof OpenAI[name], `${error.constructor.name} (${error.status}): ${error.message}`);
  assert.equal(error.status, status);
  assert(error.message && error.type, "no detail from the envelope");
  assert(error.requestID, "no request id");
  return error;
}

const steps = {
  "create, text": async () => {
    first = await create({ prompt: "a paper boat" });
    assert.equal(first.status, "queued");
    assert.equal(first.seconds, "1");
    assert.equal(first.prompt, "a paper boat");
  },
  "create, defaults": async () => {
    const video = await client.videos.create({ prompt: "nothing but a prompt" });
    made.push(video.id);
    assert(Number(video.seconds) >= 1 && video.model && video.size);
  },
  "create, file": async () => {
    const video = await create({ prompt: "a file", input_reference: await toFile(fs.readFileSync(config.picture), "in.png", { type: "image/png" }) });
    await completed(video.id);
  },
  "create, streamed file": async () => {
    const video = await create({ prompt: "a stream", input_reference: fs.createReadStream(config.picture) });
    await completed(video.id);
  },
  "create, picture by address": async () => {
    const video = await create({ prompt: "an address", input_reference: { image_url: config.pictureUrl } });
    await completed(video.id);
    const data = "data:image/png;base64," + fs.readFileSync(config.picture).toString("base64");
    await completed((await create({ prompt: "a data URL", input_reference: { image_url: data } })).id);
  },
  "create, `file_id`": async () => {
    const error = await refused("BadRequestError", 400, () => client.videos.create({ ...SMALL, prompt: "x", input_reference: { file_id: "file_1" } }));
    assert.match(error.message, /file_id/);
    return notOffered("there is no Files API; a 400 says to send the picture itself");
  },
  "retrieve": async () => {
    const video = await completed(first.id);
    assert.equal(video.progress, 100);
    assert(video.completed_at >= video.created_at);
  },
  "list, page by page": async () => {
    for (const order of ["asc", "desc"]) {
      const seen = [];
      for await (const video of client.videos.list({ limit: 2, order })) seen.push(video.id);
      assert.deepEqual(order === "asc" ? seen : seen.reverse(), made);
    }
  },
  "download": async () => {
    const { type, bytes } = await download();
    assert.equal(type, "video/mp4");
    assert(isMp4(bytes));
    assert(isMp4((await download({ variant: "video" })).bytes));
  },
  "download, thumbnail": async () => {
    const { type, bytes } = await download({ variant: "thumbnail" });
    assert.equal(type, "image/webp");
    assert.equal(bytes.subarray(8, 12).toString(), "WEBP");
  },
  "download, spritesheet": async () => {
    const { type, bytes } = await download({ variant: "spritesheet" });
    assert.equal(type, "image/jpeg");
    assert.equal(bytes.subarray(0, 2).toString("hex"), "ffd8");
  },
  "remix": async () => {
    const video = await client.videos.remix(first.id, { prompt: "the same in the rain" });
    made.push(video.id);
    assert.equal(video.remixed_from_video_id, first.id);
    await completed(video.id);
  },
  "edit": async () => {
    const edited = await client.videos.edit({ prompt: "at night", video: { id: first.id } });
    made.push(edited.id);
    await completed(edited.id);
  },
  "edit, file": async () => {
    const { bytes } = await download();
    const edited = await client.videos.edit({ prompt: "at night", model: "sandbox-instant", video: await toFile(bytes, "in.mp4", { type: "video/mp4" }) });
    made.push(edited.id);
    await completed(edited.id);
  },
  "extend": async () => {
    const longer = await client.videos.extend({ prompt: "the camera rises", seconds: "1", video: { id: first.id } });
    made.push(longer.id);
    assert.equal(longer.seconds, "2");
    await completed(longer.id);
  },
  "characters": async () => {
    const video = await toFile(Buffer.from("not looked at"), "in.mp4", { type: "video/mp4" });
    await refused("BadRequestError", 400, () => client.videos.createCharacter({ name: "Ann", video }));
    await refused("BadRequestError", 400, () => client.videos.getCharacter("char_1"));
    return notOffered("no provider here makes characters; a 400 says so");
  },
  "cancel": async () => {
    const video = await create({ prompt: "stop", model: "sandbox-never" });
    const canceled = await client.post(`/videos/${video.id}/cancel`);
    assert.equal(canceled.id, video.id);
    assert.equal((await finish(video.id)).status, "canceled");
  },
  "delete": async () => {
    const id = made[made.length - 1];
    const gone = await client.videos.delete(id);
    assert.deepEqual({ ...gone }, { id, object: "video.deleted", deleted: true });
    made.pop();
    await refused("NotFoundError", 404, () => client.videos.retrieve(id));
  },
  "models": async () => {
    const ids = [];
    for await (const model of client.models.list()) ids.push(model.id);
    assert(ids.includes("sandbox-instant"));
    assert.equal((await client.models.retrieve("sandbox-instant")).object, "model");
  },
  "failed video": async () => {
    const video = await finish((await create({ prompt: "fail", model: "sandbox-fail" })).id);
    assert.equal(video.status, "failed");
    assert(video.error.code && video.error.message);
  },
  "request id": async () => {
    const video = await client.videos.retrieve(first.id, { headers: { "x-request-id": "mine-1" } });
    assert.equal(video._request_id, "mine-1");
    assert((await client.videos.retrieve(first.id))._request_id);
  },
  "error 400": async () => {
    const error = await refused("BadRequestError", 400, () => client.videos.create({ ...SMALL, prompt: "" }));
    assert.equal(error.param, "prompt");
  },
  "error 401": async () => {
    const error = await refused("AuthenticationError", 401, () => new OpenAI({ ...options, apiKey: "wrong" }).videos.list());
    assert.equal(error.code, "invalid_api_key");
  },
  "error 404": async () => {
    await refused("NotFoundError", 404, () => client.videos.retrieve("video_" + "0".repeat(32)));
    await refused("NotFoundError", 404, () => client.get("/nothing"));
  },
  "error 409": async () => {
    const video = await create({ prompt: "never", model: "sandbox-never" });
    let calls = 0;
    const counting = new OpenAI({ ...options, maxRetries: 2, fetch: (...given) => (calls++, fetch(...given)) });
    await refused("ConflictError", 409, () => counting.videos.downloadContent(video.id));
    assert.equal(calls, 1); // x-should-retry: false
    await client.post(`/videos/${video.id}/cancel`);
  },
  "idempotency key": async () => {
    const one = await client.videos.create({ ...SMALL, prompt: "one" }, { headers });
    made.push(one.id);
    assert.equal((await client.videos.create({ ...SMALL, prompt: "one" }, { headers })).id, one.id);
  },
  "error 422": async () => {
    await refused("UnprocessableEntityError", 422, () => client.videos.create({ ...SMALL, prompt: "two" }, { headers }));
  },
  "error 429": async () => {
    const limited = new OpenAI({ ...options, apiKey: config.limitedKey });
    const error = await refused("RateLimitError", 429, async () => {
      for (let i = 0; i < 20; i++) await limited.videos.list();
      throw new Error("never refused");
    });
    assert(Number(error.headers.get("retry-after")) <= 60);
    assert(error.headers.get("x-ratelimit-limit-requests"));
  },
  "retry makes no second video": async () => {
    let lost = 0;
    const flaky = async (...given) => {
      const answer = await fetch(...given);
      if (lost++ > 0) return answer;
      await answer.arrayBuffer();
      throw new TypeError("the connection broke");
    };
    const video = await new OpenAI({ ...options, maxRetries: 2, fetch: flaky }).videos.create({ ...SMALL, prompt: "once" });
    made.push(video.id);
    assert.equal(lost, 2);
    const page = await client.videos.list({ limit: 100 });
    assert.equal(page.data.filter((one) => one.prompt === "once").length, 1);
  },
  "callback": async () => {
    const video = await create({ prompt: "call back", callback_url: config.sink + "/ok", callback_secret: config.secret });
    const [record] = await until("the callback", () => callbacks(video.id)[0] && callbacks(video.id));
    const event = await client.webhooks.unwrap(record.body, record.headers, config.secret);
    assert.equal(event.type, "video.completed");
    assert.equal(event.data.id, video.id);
    await assert.rejects(client.webhooks.unwrap(record.body + " ", record.headers, config.secret), OpenAI.InvalidWebhookSignatureError);
  },
};

// The webhook endpoint API is new in 7.
if (client.webhooks.create) {
  let endpoint = null;
  steps["webhook endpoints"] = async () => {
    assert((await client.webhooks.eventTypes.list()).data.includes("video.completed"));
    endpoint = await client.webhooks.create({ name: "mine", url: config.sink + "/ok", event_types: ["video.completed"] });
    assert.match(endpoint.signing_secret, /^whsec_/);
    const read = await client.webhooks.retrieve(endpoint.id);
    assert.equal(read.url, config.sink + "/ok");
    assert(!("signing_secret" in read));
    assert.equal((await client.webhooks.update(endpoint.id, { name: "yours" })).name, "yours");
    const ids = [];
    for await (const one of client.webhooks.list({ limit: 1 })) ids.push(one.id);
    assert.deepEqual(ids, [endpoint.id]);
  };
  steps["webhook endpoint delivery"] = async () => {
    const video = await create({ prompt: "tell the endpoint" });
    const [record] = await until("the event", () => callbacks(video.id)[0] && callbacks(video.id));
    const event = await client.webhooks.unwrap(record.body, record.headers, endpoint.signing_secret);
    assert.equal(event.type, "video.completed");
    assert.equal(event.data.id, video.id);
  };
  steps["webhook endpoint test, rotate, delete"] = async () => {
    const result = await client.webhooks.test(endpoint.id, { event_type: "video.completed" });
    assert.equal(result.object, "webhook_endpoint.test");
    assert.equal(result.status_code, 200);
    assert.equal(result.success, true);
    const rotated = await client.webhooks.rotateSecret(endpoint.id, { keep_old_secret_active_for_24_hours: true });
    assert.notEqual(rotated.signing_secret, endpoint.signing_secret);
    assert.equal((await client.webhooks.delete(endpoint.id)).object, "webhook_endpoint.deleted");
    await refused("NotFoundError", 404, () => client.webhooks.retrieve(endpoint.id));
  };
}

await run(steps);

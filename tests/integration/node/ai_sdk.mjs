// SPDX-License-Identifier: Apache-2.0
// @llmgateway/ai-sdk-provider with ai, unmodified. usage: node ai_sdk.mjs CONFIG-JSON (Node 22)
import assert from "node:assert/strict";
import fs from "node:fs";
import { createLLMGateway } from "@llmgateway/ai-sdk-provider";
import { APICallError, experimental_generateVideo as generateVideo } from "ai";
import { callbacks, config, isMp4, run, until } from "./steps.mjs";

const seen = []; // requests as they left
const provider = (key) => createLLMGateway({
  apiKey: key, baseURL: config.url + "/v1",
  fetch: (url, init) => (seen.push({ url: String(url), method: init.method, headers: new Headers(init.headers), body: init.body }), fetch(url, init)),
});
const gateway = provider(config.key);
const picture = fs.readFileSync(config.picture);

async function make(fields, model = "sandbox-instant", via = gateway) {
  const { videos, providerMetadata } = await generateVideo({
    model: via.video(model), prompt: "a paper boat", duration: 1, resolution: "160x90", maxRetries: 0, poll: { intervalMs: 100 }, ...fields });
  for (const video of videos) {
    assert.equal(video.mediaType, "video/mp4");
    assert(isMp4(video.uint8Array));
  }
  return { videos, ids: providerMetadata.llmgateway.videos.map((video) => video.id) };
}

const read = async (path) => (await fetch(config.url + path, { headers: { authorization: "Bearer " + config.key } })).json();

await run({
  "create, text": async () => {
    const { videos, ids } = await make({});
    assert.equal(videos.length, 1);
    assert.equal((await read("/v1/videos/" + ids[0])).audio, true);
  },
  "create, first frame": async () => void (await make({ prompt: { text: "it moves", image: picture } })),
  "create, first and last frame": async () => void (await make({ frameImages: [{ image: picture, frameType: "first_frame" }, { image: picture, frameType: "last_frame" }] })),
  "create, reference pictures": async () => void (await make({ inputReferences: [picture, picture] })),
  "create, several": async () => assert.equal((await make({ n: 2 })).videos.length, 2),
  "create, silent": async () => {
    const { ids } = await make({ generateAudio: false });
    assert.equal((await read("/v1/videos/" + ids[0])).audio, false);
  },
  "retrieve": async () => assert(seen.some((one) => one.method === "GET" && /\/v1\/videos\/video_[0-9a-f]+$/.test(one.url))),
  "download": async () => assert(seen.some((one) => one.url.endsWith("/content"))),
  "failed video": async () => {
    await assert.rejects(make({}, "sandbox-fail"), (error) => error.message.length > 0 && !error.message.includes("JSON"));
  },
  "idempotency key": async () => {
    const sent = seen.find((one) => one.method === "POST");
    const key = sent.headers.get("idempotency-key");
    assert(key);
    const again = await fetch(sent.url, { method: "POST", headers: sent.headers, body: sent.body });
    const page = await read("/v1/videos?limit=100&order=asc");
    assert.equal((await again.json()).id, page.data[0].id); // the first one made with this key's project
  },
  "error 400": async () => {
    await assert.rejects(make({ duration: 61 }), (error) => APICallError.isInstance(error) && error.statusCode === 400 && !error.isRetryable && /61/.test(error.message));
  },
  "error 401": async () => {
    await assert.rejects(make({}, "sandbox-instant", provider("wrong")), (error) => APICallError.isInstance(error) && error.statusCode === 401);
  },
  "callback": async () => {
    const { ids } = await make({ providerOptions: { llmgateway: { callback_url: config.sink + "/ok", callback_secret: config.secret } } });
    const record = await until("the callback", () => callbacks(ids[0])[0]);
    assert.equal(JSON.parse(record.body).data.id, ids[0]);
  },
});

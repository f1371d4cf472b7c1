// SPDX-License-Identifier: Apache-2.0
// One create by the openai SDK with its own retries. usage: node sdk_retry.js PACKAGE BASE_URL KEY json|multipart TAG
const [name, baseURL, apiKey, form, tag] = process.argv.slice(2);
const loaded = require(name);
const OpenAI = loaded.OpenAI || loaded.default || loaded;

const client = new OpenAI({ apiKey, baseURL, maxRetries: 2, timeout: 60000 });
const fields = { prompt: `retried ${tag}`, model: "sandbox-instant", seconds: "1", size: "160x90" };
const call = form === "json" ? client.post("/videos", { body: fields }) : client.videos.create(fields);
call.then(
  (video) => process.stdout.write(JSON.stringify({ id: video.id })),
  (error) => process.stdout.write(JSON.stringify({ status: error.status ?? 0, message: error.message, code: error.code ?? null })));

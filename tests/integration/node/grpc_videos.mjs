// SPDX-License-Identifier: Apache-2.0
// @grpc/grpc-js with nothing but an address and a key. usage: node grpc_videos.mjs CONFIG-JSON
import assert from "node:assert/strict";
import grpc from "@grpc/grpc-js";
import reflection from "grpc-js-reflection-client";
import { config, run } from "./steps.mjs";

const SERVICE = "videogate.v1.VideoService";
const descriptor = await new reflection.GrpcReflection(config.address, grpc.credentials.createInsecure()).getDescriptorBySymbol(SERVICE);
const loaded = descriptor.getPackageObject({ keepCase: true, enums: String, longs: Number, defaults: true, oneofs: true });
const client = new loaded.videogate.v1.VideoService(config.address, grpc.credentials.createInsecure());
const keyed = (key) => {
  const metadata = new grpc.Metadata();
  metadata.set("authorization", "Bearer " + key);
  return metadata;
};
const metadata = keyed(config.key);
const SMALL = { model: "sandbox-instant", size: "160x90", seconds: 1 };
let source = null;

const call = (method, request, using = metadata) => new Promise((resolve, reject) =>
  client[method](request, using, { deadline: Date.now() + 60000 }, (error, answer) => (error ? reject(error) : resolve(answer))));

async function finish({ video }) {
  let last = video;
  for await (const event of client.WatchVideo({ id: video.id }, metadata)) last = event.video;
  return last;
}

async function refused(code, promise) {
  const error = await promise.then(() => assert.fail("not refused"), (caught) => caught);
  assert.equal(error.code, code, error.message);
  assert(error.metadata.get("grpc-status-details-bin").length > 0, "no details");
}

await run({
  "create, defaults": async () => void (await call("CancelVideo", { id: (await call("CreateVideo", { prompt: "only this" })).video.id })),
  "retrieve": async () => {
    source = await finish(await call("CreateVideo", { prompt: "grpc-js", ...SMALL }));
    assert.equal((await call("GetVideo", { id: source.id })).video.status, "VIDEO_STATUS_COMPLETED");
  },
  "list, page by page": async () => {
    const seen = [];
    for (let more = true, after = ""; more; ) {
      const page = await call("ListVideos", { limit: 2, after });
      seen.push(...page.data.map((video) => video.id));
      [after, more] = [seen[seen.length - 1], page.has_more];
    }
    assert(seen.includes(source.id));
    assert.equal(new Set(seen).size, seen.length);
  },
  "remix": async () => {
    const video = await finish(await call("RemixVideo", { id: source.id, prompt: "again" }));
    assert.equal(video.remixed_from_video_id, source.id);
  },
  "edit": async () => assert.equal((await finish(await call("EditVideo", { video: { id: source.id }, prompt: "at night" }))).status, "VIDEO_STATUS_COMPLETED"),
  "extend": async () => assert.equal((await finish(await call("ExtendVideo", { video: { id: source.id }, prompt: "and on", seconds: 1 }))).seconds, 2),
  "cancel": async () => {
    const made = await call("CreateVideo", { prompt: "stop", ...SMALL, model: "sandbox-never" });
    await call("CancelVideo", { id: made.video.id });
    assert.equal((await finish(made)).status, "VIDEO_STATUS_CANCELED");
  },
  "delete": async () => {
    const made = await finish(await call("CreateVideo", { prompt: "gone soon", ...SMALL }));
    assert.equal((await call("DeleteVideo", { id: made.id })).id, made.id);
    await refused(grpc.status.NOT_FOUND, call("GetVideo", { id: made.id }));
  },
  "models": async () => {
    assert((await call("ListModels", {})).data.some((model) => model.id === "sandbox"));
    assert.equal((await call("GetModel", { id: "sandbox" })).model.owned_by, "videogate");
  },
  "error 400": () => refused(grpc.status.INVALID_ARGUMENT, call("CreateVideo", { prompt: "" })),
  "error 401": () => refused(grpc.status.UNAUTHENTICATED, call("ListModels", {}, keyed("wrong"))),
});
client.close();

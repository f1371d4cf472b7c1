// SPDX-License-Identifier: Apache-2.0
// @grpc/grpc-js through the stubs that proto/stubs.sh typescript makes. usage: node stub_client.js ADDRESS KEY
import * as grpc from "@grpc/grpc-js";
import { BadRequest, ErrorInfo, Status } from "./google/rpc/status";
import {
  CreateVideoRequest, CreateVideoResponse, GetVideoResponse, ListVideosResponse, VideoServiceClient, VideoStatus, videoStatusToJSON,
} from "./videogate/v1/video";

const [address, key] = process.argv.slice(2);
const client = new VideoServiceClient(address, grpc.credentials.createInsecure());
const metadata = new grpc.Metadata();
metadata.set("authorization", `Bearer ${key}`);

const call = <T>(start: (done: (error: grpc.ServiceError | null, answer: T) => void) => unknown): Promise<T> =>
  new Promise((resolve, reject) => start((error, answer) => (error ? reject(error) : resolve(answer))));
const create = (fields: Partial<CreateVideoRequest>) =>
  call<CreateVideoResponse>((done) => client.createVideo(CreateVideoRequest.fromPartial(fields), metadata, done));

async function refusal(): Promise<object> {
  try {
    await create({ prompt: "" });
  } catch (error) {
    const failed = error as grpc.ServiceError;
    const status = Status.decode(failed.metadata.get("grpc-status-details-bin")[0] as Buffer);
    const seen: Record<string, unknown> = { code: failed.code };
    for (const detail of status.details) {
      const name = detail.typeUrl.split("/")[1];
      if (name === "google.rpc.ErrorInfo") seen.info = ErrorInfo.decode(detail.value);
      if (name === "google.rpc.BadRequest") seen.field = BadRequest.decode(detail.value).fieldViolations[0].field;
    }
    return seen;
  }
  throw new Error("an empty prompt was accepted");
}

async function main(): Promise<void> {
  const made = (await create({ prompt: "stubs", model: "sandbox", size: "160x90", seconds: 1 })).video!;
  const got = (await call<GetVideoResponse>((done) => client.getVideo({ id: made.id }, metadata, done))).video!;
  const page = { after: "", limit: 1, ascending: false };
  const listed = await call<ListVideosResponse>((done) => client.listVideos(page, metadata, done));
  let last = VideoStatus.VIDEO_STATUS_UNSPECIFIED;
  for await (const event of client.watchVideo({ id: made.id, afterVersion: 0 }, metadata)) last = event.video!.status;
  let bytes = 0;
  let total = -1;
  const download = { id: made.id, index: 0, infoOnly: false, variant: 0, linkToken: "" };
  for await (const part of client.downloadVideo(download, metadata)) {
    total = part.info?.totalBytes ?? total;
    bytes += part.data?.length ?? 0;
  }
  const seen = { same: got.id === made.id && listed.data[0].id === made.id, last: videoStatusToJSON(last), bytes, total, refused: await refusal() };
  process.stdout.write(JSON.stringify(seen));
}

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });

// SPDX-License-Identifier: Apache-2.0
// @grpc/grpc-js against the service with nothing but its address and a key. usage: node grpc_js.js ADDRESS KEY
const grpc = require("@grpc/grpc-js");
const { GrpcReflection } = require("grpc-js-reflection-client");

const [address, key] = process.argv.slice(2);
const SERVICE = "videogate.v1.VideoService";

async function main() {
  const reflection = new GrpcReflection(address, grpc.credentials.createInsecure());
  const services = await reflection.listServices();
  const descriptor = await reflection.getDescriptorBySymbol(SERVICE);
  const loaded = descriptor.getPackageObject({ keepCase: true, enums: String, longs: Number, defaults: true, oneofs: true });
  const client = new loaded.videogate.v1.VideoService(address, grpc.credentials.createInsecure());
  const metadata = new grpc.Metadata();
  metadata.set("authorization", `Bearer ${key}`);

  const call = (method, request) =>
    new Promise((resolve, reject) =>
      client[method](request, metadata, { deadline: Date.now() + 60000 }, (error, answer) => (error ? reject(error) : resolve(answer))));

  const refused = await call("GetVideo", { id: "video_" + "0".repeat(32) }).catch((error) => error.code);
  if (refused !== grpc.status.NOT_FOUND) throw new Error(`expected NOT_FOUND, got ${refused}`);

  const { video } = await call("CreateVideo", { prompt: "grpc-js", model: "sandbox", size: "160x90", seconds: 1 });
  let status = "";
  for await (const event of client.WatchVideo({ id: video.id }, metadata)) status = event.video.status;
  let bytes = 0;
  for await (const part of client.DownloadVideo({ id: video.id }, metadata)) bytes += part.data ? part.data.length : 0;
  client.close();
  process.stdout.write(JSON.stringify({ services, status, bytes }));
}

main().then(() => process.exit(0), (error) => { console.error(error); process.exit(1); });

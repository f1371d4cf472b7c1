# SPDX-License-Identifier: Apache-2.0
"""A provider worker of the tests' own, and a service and bridge that know no other: what the service sends is kept to be
looked at, what it is sent is as a test wants it."""
import concurrent.futures
import json
import subprocess

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from vg import ROOT, Stack, free_base, readyz, wait_for

SERVICE = "videogate.v1.ProviderWorkerService"


def contract():
    """Method name -> (request class, response class, whether it streams)."""
    packed = subprocess.run(["protoc", "-I", ROOT / "proto", "--include_imports", "--descriptor_set_out=/dev/stdout", ROOT / "proto/videogate/v1/worker.proto"],
                            check=True, capture_output=True).stdout
    pool = descriptor_pool.DescriptorPool()
    for one in descriptor_pb2.FileDescriptorSet.FromString(packed).file:
        pool.Add(one)
    factory = message_factory.MessageFactory(pool)
    return {m.name: (factory.GetPrototype(m.input_type), factory.GetPrototype(m.output_type), m.name == "Fetch") for m in pool.FindServiceByName(SERVICE).methods}


class FakeWorker:
    """Finishes every job within its submission. `results` maps prompts to (media type, bytes)."""

    def __init__(self, provider):
        self.provider, self.submitted, self.results, self.fetches = provider, [], {}, []
        self.contract = contract()
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(16), options=[("grpc.max_receive_message_length", 256 << 20)])
        handlers = {}
        for name, (request, response, streams) in self.contract.items():
            make = grpc.unary_stream_rpc_method_handler if streams else grpc.unary_unary_rpc_method_handler
            handlers[name] = make(getattr(self, name.lower()), request_deserializer=request.FromString, response_serializer=response.SerializeToString)
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def close(self):
        self.server.stop(1).wait()

    def of(self, prompt):
        """What was submitted with this prompt."""
        return [one for one in self.submitted if one.prompt == prompt]

    # --- the calls ---

    def describe(self, _, context):
        return self.contract["Describe"][1](provider=self.provider, supports_lookup=True)

    def submit(self, request, context):
        self.submitted.append(request)
        answer = self.contract["Submit"][1]()
        answer.finished.upstream_id = request.prompt
        answer.finished.mime_type = self.results[request.prompt][0]
        return answer

    def fetch(self, request, context):
        self.fetches.append(request.upstream_id)
        kind, data = self.results[request.upstream_id]
        part = self.contract["Fetch"][1]
        yield part(info={"mime_type": kind, "bytes": len(data)})
        for at in range(0, len(data), 65536):
            yield part(data=data[at : at + 65536])

    def lookup(self, request, context):
        return self.contract["Lookup"][1](outcome=2)

    def poll(self, request, context):
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "finished in the submission")

    cancel = readevent = poll


class Faked(Stack):
    """The HTTP caller of a service whose one provider is a fake, beside a stack. `models`: rows for its catalog."""

    def __init__(self, beside, folder, worker, models):
        self.beside, self.base, self.worker = beside, free_base(), worker
        self.blobs, self.name = folder / "blobs", "service"
        catalog = folder / "catalog.json"
        catalog.write_text(json.dumps({"version": 1, "default_model": models[0]["name"], "models": models}))
        beside.start("service", "--listen", f"127.0.0.1:{self.base + 2}", "--monitor", f"127.0.0.1:{self.base + 3}", "--blob-dir", self.blobs,
                     "--catalog", catalog, "--workers", f"{worker.provider}=127.0.0.1:{worker.port}", "--image-allow-http", "true",
                     "--image-allow-any-port", "true", "--image-allow-nets", "127.0.0.0/8")
        beside.start("bridge", "--listen", f"127.0.0.1:{self.base}", "--service", f"127.0.0.1:{self.base + 2}")
        for port in (self.base + 3, self.base):
            wait_for(lambda: readyz(port)[0] == 200, f"port {port} to be ready", patience=60)
        self.env = {"VIDEOGATE_API_KEY": beside.new_key("--service", f"127.0.0.1:{self.base + 2}"), "DATABASE_URL": beside.database}

    def log(self, name):
        return self.beside.log(name).read_text()

    def files(self, video_id):
        return list(self.blobs.glob(f"*/*/{video_id}.*"))


def model(name, provider="fake", **route):
    """A row of the catalog."""
    whole = {"provider": provider, "model": "up/" + name, "sizes": ["160x90", "320x180"], "seconds": {"min": 1, "max": 10}, "audio": "both",
             "inputs": {"image": "optional", "last_frame": True, "references": {"min": 1, "max": 3}}, "price_per_second": {"default": 0.1},
             "deadline_s": 600, "max_attempts": 3, **route}
    return {"name": name, "owned_by": "tests", "created": 1, "default_size": "160x90", "default_seconds": 1, "routes": [whole]}

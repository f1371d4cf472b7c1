# SPDX-License-Identifier: Apache-2.0
"""What attack_ssrf.py runs inside namespaces of its own (ssrf_net.py): the real programs with their guards closed, attacked through every door that
takes an address from outside.

usage: unshare --net --mount ssrf_inside.py MODE FOLDER SEED ROUNDS short|long    MODE: strings, moves, firewall; the last line is JSON
"""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path[:0] = [str(HERE), str(HERE.parent / "integration"), str(HERE.parent)]

import grpc  # noqa: E402
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # noqa: E402

import ssrf_cases  # noqa: E402
import ssrf_net  # noqa: E402
import vg  # noqa: E402
from process import Process  # noqa: E402
from world import World  # noqa: E402

PRIVATE_FLAGS = ("--allow-nets", "--callback-allow-nets", "--result-allow-nets")
SMALL = {"ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0:quarantine_size_mb=4"}  # or freed memory would count as memory


def messages():
    """A function from a message's name to its class."""
    with tempfile.NamedTemporaryFile(suffix=".pb") as file:
        sources = ("videogate/v1/webhook.proto", "videogate/v1/worker.proto", "videogate/store/v1/upstream.proto")
        subprocess.run(["protoc", "-I", vg.ROOT / "proto", "--include_imports", f"--descriptor_set_out={file.name}", *sources], check=True)
        told = descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(file.name).read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for one in told.file:
        pool.Add(one)
    return lambda name: message_factory.MessageFactory(pool).GetPrototype(pool.FindMessageTypeByName(name))


class Guarded(World):
    """A world in which nothing private is allowed, whatever World says."""

    def _add(self, name, offset, program, args, **more):
        def closed():
            words = [str(one) for one in args()]
            for flag in PRIVATE_FLAGS:
                if flag in words:
                    at = words.index(flag)
                    del words[at:at + 2]
            return words

        return super()._add(name, offset, program, closed, **more)


class Sender:
    """A videogate-webhook, asked straight over gRPC: as if registration had let the address in."""

    def __init__(self, name, folder, message, *flags, env=None, prefix=()):
        port, self.monitor = vg.free_base(2), None
        self.monitor = port + 1
        self.process = Process(name, [*prefix, vg.BUILD / "bin/videogate-webhook", "--listen", f"127.0.0.1:{port}", "--monitor", f"127.0.0.1:{self.monitor}",
                                      "--allow-http", "true", "--allow-any-port", "true", *flags], {**os.environ, **SMALL, **(env or {})},
                               folder / f"{name}.log", self.monitor)
        self.process.start()
        self.request = message("videogate.v1.DeliverRequest")
        response = message("videogate.v1.DeliverResponse")
        self.call = grpc.insecure_channel(f"127.0.0.1:{port}").unary_unary(
            "/videogate.v1.WebhookSenderService/Deliver", request_serializer=self.request.SerializeToString, response_deserializer=response.FromString)

    def deliver(self, url, timeout_ms=5000):
        """One of delivered, retry:REASON, gone, refused:REASON."""
        try:
            told = self.call(self.request(id="evt_1", url=url, secret="s3cret-s3cret", body=b"{}", timeout_ms=timeout_ms), timeout=60)
        except grpc.RpcError as error:
            return f"refused:{error.code().name}"
        kind = ("", "delivered", "retry", "gone", "refused")[told.outcome]
        return kind if kind == "delivered" else f"{kind}:{told.reason}"


class Worker:
    """A videogate-worker, asked for results at any address: as if the provider had said that they are there."""

    def __init__(self, folder, message, *flags, prefix=()):
        port = vg.free_base(2)
        base = f"http://127.0.0.1:{vg.free_base(1)}"  # nobody
        self.key = "key-of-the-ssrf-test"
        self.process = Process("worker-kling", [*prefix, vg.BUILD / "bin/videogate-worker", "--provider", "kling", "--base-url", base, "--listen", f"127.0.0.1:{port}",
                                                "--monitor", f"127.0.0.1:{port + 1}", "--result-allow-http", "true", "--result-allow-any-port", "true", *flags],
                               {**os.environ, **SMALL, "VIDEOGATE_KLING_KEYS": self.key}, folder / "worker-kling.log", port + 1)
        self.process.start()
        self.state, self.request, self.base = message("videogate.store.v1.UpstreamState"), message("videogate.v1.FetchRequest"), base
        response = message("videogate.v1.FetchResponse")
        self.call = grpc.insecure_channel(f"127.0.0.1:{port}").unary_stream(
            "/videogate.v1.ProviderWorkerService/Fetch", request_serializer=self.request.SerializeToString, response_deserializer=response.FromString)

    def fetch(self, url, timeout=20):
        """delivered, or error:CODE, or the RPC's own status."""
        state = self.state(credential=hashlib.sha256(self.key.encode()).hexdigest()[:12], base_url=self.base, model="kling-v3", result=url, submitted_at_ms=1)
        try:
            for part in self.call(self.request(upstream_id="job", poll_state=state.SerializeToString()), timeout=timeout):
                if part.WhichOneof("part") == "error":
                    return f"error:{part.error.upstream_code or part.error.upstream_message}"
        except grpc.RpcError as error:
            return f"error:{error.code().name}"
        return "delivered"


class Attack:
    """Programs, doors, and the one thing that counts: nobody inside was reached."""

    def __init__(self, folder, dice, short):
        self.folder, self.dice, self.short = folder, dice, short
        self.names, self.web, self.message = ssrf_net.Names(), ssrf_net.Web(), messages()
        self.started, self.world = [], None
        self.pool = concurrent.futures.ThreadPoolExecutor(8)

    def sender(self, name, *flags, **more):
        made = Sender(name, self.folder, self.message, *flags, **more)
        self.started.append(made.process)
        return made

    def worker(self, *flags, **more):
        made = Worker(self.folder, self.message, *flags, **more)
        self.started.append(made.process)
        return made

    def all(self, check, items):
        """[(item, what `check` says)] for all, some at a time; and nobody inside was reached."""
        told = list(zip(items, self.pool.map(check, items)))
        assert not self.web.inner, f"reached from inside: {self.web.inner[:5]} by one of {items[:3]}..."
        return told

    def control(self):
        """The test would notice: the inner addresses answer, and are written down."""
        found = [one for one in ssrf_cases.INNER if ssrf_net.reachable(one)]
        vg.wait_for(lambda: len(self.web.inner) >= len(found), "the web server to write them down", pause=0.05)
        self.web.inner.clear()
        assert len(found) > 25, f"only {found} can be reached here"
        return len(found)

    def end(self):
        for process in self.started:
            process.stop()
            process.check_log()


def main():
    mode, folder, seed, rounds, length = sys.argv[1:]
    ssrf_net.up()
    attack = Attack(pathlib.Path(folder), random.Random(seed), length == "short")
    figures = getattr(ssrf_cases, mode)(attack, int(rounds))
    attack.end()
    print(json.dumps(figures), flush=True)
    os._exit(0)  # threads of servers do not hold us up


if __name__ == "__main__":
    main()

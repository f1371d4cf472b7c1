# SPDX-License-Identifier: Apache-2.0
"""Mutual TLS between all processes: bridge, service, worker, webhook sender; and for gRPC callers."""
import http.client
import json
import subprocess

import grpc
import pytest
from test_grpc import SERVICE, Client
from vg import ROOT, TERMINAL, Beside, free_base, readyz, wait_for

# Methods of the four servers, for a caller who knows no message.
CALLS = {"service": "/grpc.health.v1.Health/Check", "worker": "/videogate.v1.ProviderWorkerService/Describe",
         "webhook": "/grpc.health.v1.Health/Check"}


def openssl(*args):
    subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True)


class Authority:
    """A certificate authority of its own in a folder; makes NAME.crt and NAME.key."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                "-subj", f"/CN={folder.name}", "-keyout", folder / "ca.key", "-out", folder / "ca.crt")

    def __getitem__(self, name):
        return self.folder / name

    def issue(self, name):
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}",
                "-keyout", self[f"{name}.key"], "-out", self[f"{name}.csr"])
        (self[f"{name}.ext"]).write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        openssl("x509", "-req", "-in", self[f"{name}.csr"], "-CA", self["ca.crt"], "-CAkey", self["ca.key"], "-CAcreateserial",
                "-days", "2", "-extfile", self[f"{name}.ext"], "-out", self[f"{name}.crt"])

    def credentials(self, name=None, roots=None):
        root = (roots or self)["ca.crt"].read_bytes()
        if name is None:
            return grpc.ssl_channel_credentials(root)
        return grpc.ssl_channel_credentials(root, self[f"{name}.key"].read_bytes(), self[f"{name}.crt"].read_bytes())


class Secured:
    """The processes, each demanding and showing certificates."""

    def __init__(self, beside, folder):
        self.beside, self.ca, self.base = beside, Authority(folder / "authority"), free_base()
        for name in ("server", "client"):
            self.ca.issue(name)
        ca, base = self.ca, self.base
        serve = ("--tls-cert", ca["server.crt"], "--tls-key", ca["server.key"], "--tls-client-ca", ca["ca.crt"])
        self.ports = {"worker": base + 4, "webhook": base + 6, "service": base + 2}
        beside.start("worker", "--provider", "sandbox", *self.listen(4), "--sandbox-dir", folder / "sandbox", *serve)
        beside.start("webhook", *self.listen(6), "--allow-http", "true", "--allow-any-port", "true", "--allow-nets", "127.0.0.0/8", *serve)
        beside.start("service", *self.listen(2), "--blob-dir", folder / "blobs", "--catalog", ROOT / "service/catalog.json",
                     "--workers", f"sandbox=127.0.0.1:{base + 4}", "--webhook", f"127.0.0.1:{base + 6}", "--route-all", "sandbox",
                     "--callback-allow-http", "true", "--callback-allow-any-port", "true", "--callback-allow-nets", "127.0.0.0/8",
                     "--workers-tls-ca", ca["ca.crt"], "--workers-tls-cert", ca["client.crt"], "--workers-tls-key", ca["client.key"], *serve)
        beside.start("bridge", "--listen", f"127.0.0.1:{base}", "--service", f"127.0.0.1:{base + 2}", *self.towards_service())
        for port in (base, base + 3, base + 5, base + 7):
            wait_for(lambda: readyz(port)[0] == 200, f"port {port} to be ready", patience=60)
        self.key = beside.new_key("--service", f"127.0.0.1:{base + 2}", *self.towards_service())

    def listen(self, at):
        return ("--listen", f"127.0.0.1:{self.base + at}", "--monitor", f"127.0.0.1:{self.base + at + 1}")

    def towards_service(self):
        return ("--service-tls-ca", str(self.ca["ca.crt"]), "--service-tls-cert", str(self.ca["client.crt"]),
                "--service-tls-key", str(self.ca["client.key"]))

    def http(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.base, timeout=60)
        try:
            connection.request(method, path, body=body and json.dumps(body),
                               headers={"authorization": f"Bearer {self.key}", "content-type": "application/json"})
            answer = connection.getresponse()
            data = answer.read()
            assert answer.status == 200, data
            return data
        finally:
            connection.close()


@pytest.fixture(scope="module")
def secured(stack, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    with Beside(stack, folder) as beside:
        yield Secured(beside, folder)


def test_a_video_crosses_every_link(secured, stack):
    made = json.loads(secured.http("POST", "/v1/videos", {
        "prompt": "a sealed letter", "model": "sandbox-instant", "size": "160x90", "seconds": 1,
        "callback_url": stack.env["VIDEOGATE_WEBHOOK_SINK"], "callback_secret": "s3cret"}))
    path = f"/v1/videos/{made['id']}"
    wait_for(lambda: json.loads(secured.http("GET", path))["status"] in TERMINAL, "the video to end")
    assert json.loads(secured.http("GET", path))["status"] == "completed"
    assert secured.http("GET", path + "/content")[4:8] == b"ftyp"
    wait_for(lambda: stack.callbacks(made["id"]), "the callback")


def outcome(port, method, credentials):
    """The status code of one empty call, with or without TLS."""
    address = f"127.0.0.1:{port}"
    channel = grpc.secure_channel(address, credentials) if credentials else grpc.insecure_channel(address)
    with channel:
        try:
            channel.unary_unary(method)(b"", timeout=30)
            return grpc.StatusCode.OK
        except grpc.RpcError as error:
            return error.code()


@pytest.mark.parametrize("server", CALLS)
def test_only_our_certificates_are_let_in(secured, server, tmp_path):
    stranger = Authority(tmp_path / "stranger")
    stranger.issue("client")
    refused = {"plain": None, "without certificate": secured.ca.credentials(),
               "certificate of a stranger": stranger.credentials("client", roots=secured.ca)}
    port, method = secured.ports[server], CALLS[server]
    for name, credentials in refused.items():
        assert outcome(port, method, credentials) == grpc.StatusCode.UNAVAILABLE, name
    assert outcome(port, method, secured.ca.credentials("client")) == grpc.StatusCode.OK


def test_a_server_of_a_stranger_is_not_talked_to(secured, tmp_path):
    """The client's side of it: our roots do not know that server."""
    stranger = Authority(tmp_path / "stranger")
    done = secured.beside.ctl("video", "list", "--service", f"127.0.0.1:{secured.ports['service']}",
                              "--service-tls-ca", str(stranger["ca.crt"]), check=False, VIDEOGATE_API_KEY=secured.key)
    assert done.returncode == 1 and "certificate verify failed" in done.stderr, done


def test_grpcio_with_certificate(secured):
    client = Client(f"127.0.0.1:{secured.ports['service']}", secured.key, credentials=secured.ca.credentials("client"))
    client.learn(SERVICE)
    made = client.method(SERVICE, "CreateVideo")(prompt="grpc", model="sandbox-instant", size="160x90", seconds=1).video
    states = [m.video.status for m in client.method(SERVICE, "WatchVideo")(id=made.id, timeout=180)]
    assert states[-1] == 3
    parts = list(client.method(SERVICE, "DownloadVideo")(id=made.id))
    assert len(b"".join(p.data for p in parts[1:])) == parts[0].info.total_bytes

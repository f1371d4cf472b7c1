# SPDX-License-Identifier: Apache-2.0
"""Signatures of both kinds, rotation of secrets and of the keys that seal them, what failing receivers meet, sending again."""
import base64
import http.server
import json
import re
import secrets
import subprocess
import threading
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from verify_webhooks import Refused, verify
from vg import NODE, wait_for

STACK_ENV = {"VIDEOGATE_WEBHOOK_SCHEDULE": "0s," + ",".join(["1s"] * 9), "VIDEOGATE_LEASE": "5s", "VIDEOGATE_WEBHOOK_DISABLE_AFTER": "6s",
             "VIDEOGATE_WEBHOOK_SECRET_OVERLAP": "90s", "VIDEOGATE_WEBHOOK_BREAKER_WAIT": "2s"}
HMAC_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Sink:
    """Answers each path with what `answers` has for it: (status, headers, body); records what came."""

    def __init__(self):
        self.answers, self.got = {}, []
        sink = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):  # noqa: N802
                body = self.rfile.read(int(self.headers["content-length"]))
                status, headers, answer = sink.answers.get(self.path, (200, {}, b""))
                sink.got.append({"path": self.path, "body": body.decode(), "at": time.monotonic(),
                                 "headers": {k.lower(): v for k, v in self.headers.items()}})
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(answer))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, path):
        return f"http://127.0.0.1:{self.server.server_address[1]}{path}"

    def of(self, path, count=1):
        return wait_for(lambda: len([r for r in self.got if r["path"] == path]) >= count and [r for r in self.got if r["path"] == path],
                        f"{count} on {path}")


@pytest.fixture(scope="module")
def sink():
    one = Sink()
    yield one
    one.server.shutdown()


@pytest.fixture
def project(own_stack, request):
    return own_stack.new_key(re.sub("[^a-z0-9]+", "-", request.node.name.lower())[:64])["secret"]


def make(stack, key, url, **more):
    answer = stack.http("POST", "/v1/webhook_endpoints", {"name": "x", "url": url, "event_types": ["video.completed", "video.failed"], **more}, key=key)
    assert answer.status == 200, answer.body
    return answer.json


def log_of(stack, key, where):
    answer = stack.http("GET", f"/v1/{where}/deliveries", key=key)
    assert answer.status == 200, answer.body
    return answer.json["data"]


def ended(stack, key, where):
    return wait_for(lambda: (rows := log_of(stack, key, where)) and all(r["state"] != "pending" for r in rows) and rows, f"the deliveries of {where}")


def refuses(key, record, **changes):
    changed = {**record, **changes}
    with pytest.raises(Refused):
        verify(key, changed["headers"], changed["body"])


def six_cases(key, wrong, record):
    """Valid, one of several valid, tampered, wrong secret, old timestamp, missing header."""
    headers = record["headers"]
    assert verify(key, headers, record["body"]) == json.loads(record["body"])["id"]
    several = "v1," + base64.b64encode(bytes(32)).decode() + " " + headers["webhook-signature"]
    assert verify(key, {**headers, "webhook-signature": several}, record["body"])
    refuses(key, record, body=record["body"].replace("video", "vide0"))
    refuses(wrong, record)
    with pytest.raises(Refused):
        verify(key, headers, record["body"], now=time.time() + 301)
    refuses(key, record, headers={**headers, "webhook-timestamp": str(int(headers["webhook-timestamp"]) - 301)})
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        refuses(key, record, headers={k: v for k, v in headers.items() if k != name})


def packages_verify(record, secret, openai=True):
    """npm standardwebhooks and svix, and unwrap of OpenAI's SDK, say the same."""
    script = """
        const { record, secret, openai } = JSON.parse(require("fs").readFileSync(0));
        const OpenAI = require("openai7");
        (async () => {
          for (const name of ["standardwebhooks", "svix"]) {
            const { Webhook } = require(name);
            new Webhook(secret).verify(record.body, record.headers);
            let refused = false;
            try { new Webhook(secret).verify(record.body + " ", record.headers); } catch { refused = true; }
            if (!refused) throw new Error(name + " takes a tampered body");
          }
          await new OpenAI({ apiKey: "x" }).webhooks.unwrap(record.body, record.headers, secret);
          process.stdout.write("ok");
        })().catch((error) => { console.error(error); process.exit(1); });
    """
    done = subprocess.run([NODE / "node_modules/node22/bin/node", "-e", script], input=json.dumps({"record": record, "secret": secret}),
                          text=True, capture_output=True, cwd=NODE)
    assert done.stdout == "ok", done.stderr


def test_both_kinds_in_one_header(own_stack, sink, project):
    made = make(own_stack, project, sink.url("/both"))
    other = make(own_stack, project, sink.url("/pair"), signature="v1a")
    assert made["signing_secret"].startswith("whsec_") and "public_key" not in made
    assert other["public_key"].startswith("whpk_") and "signing_secret" not in other
    where = f"/v1/webhook_endpoints/{made['id']}/rotate_secret"
    keep = {"keep_old_secret_active_for_24_hours": True}
    pair = own_stack.http("POST", where, {**keep, "signature": "v1a"}, key=project).json
    assert "signing_secret" not in pair
    own_stack.create(key=project)
    (both,), (alone,) = sink.of("/both"), sink.of("/pair")
    assert [one.split(",")[0] for one in both["headers"]["webhook-signature"].split(" ")] == ["v1a", "v1"]
    six_cases(made["signing_secret"], HMAC_SECRET, both)
    six_cases(pair["public_key"], other["public_key"], both)
    six_cases(other["public_key"], pair["public_key"], alone)
    packages_verify(both, made["signing_secret"])
    again = own_stack.http("POST", where, keep, key=project).json  # as it is: ed25519
    assert again["public_key"] not in (None, pair["public_key"]) and "signing_secret" not in again
    assert own_stack.http("GET", where.removesuffix("/rotate_secret"), key=project).json["public_key"] == again["public_key"]


def test_ten_old_secrets_sign_along_for_the_overlap(own_stack, sink, project):
    made = make(own_stack, project, sink.url("/ten"))
    where = f"/v1/webhook_endpoints/{made['id']}/rotate_secret"
    rotate = lambda: own_stack.http("POST", where, {"keep_old_secret_active_for_24_hours": True}, key=project).json["signing_secret"]  # noqa: E731
    known = [made["signing_secret"], *[rotate() for _ in range(12)]]
    own_stack.create(key=project)
    (one,) = sink.of("/ten")
    assert len(one["headers"]["webhook-signature"].split(" ")) == 11
    for secret in known[-11:]:
        verify(secret, one["headers"], one["body"])
    for secret in known[:-11]:
        refuses(secret, one)
    packages_verify(one, known[-1])
    packages_verify(one, known[-11])
    ((left,),) = own_stack.sql("SELECT extract(epoch FROM max(ends_at) - now())::int FROM webhook_secrets WHERE endpoint_id = %s", made["id"])
    assert left <= 90


def test_callback_with_a_pair(own_stack, sink):
    private = Ed25519PrivateKey.generate()
    raw = private.private_bytes_raw() if hasattr(private, "private_bytes_raw") else _raw(private)
    public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    pair, shown = ("whsk_" + base64.b64encode(raw + public).decode(), "whpk_" + base64.b64encode(public).decode())
    for path, secret in (("/cb/pair", pair), ("/cb/list", f"{HMAC_SECRET} {pair}")):
        own_stack.create(callback_url=sink.url(path), callback_secret=secret)
        (one,) = sink.of(path)
        six_cases(shown, HMAC_SECRET, one) if path == "/cb/pair" else [verify(key, one["headers"], one["body"]) for key in (shown, HMAC_SECRET)]
    packages_verify(one, HMAC_SECRET)
    error = own_stack.create(expect=400, callback_url=sink.url("/x"), callback_secret="whsk_AAAA")["error"]
    assert error["param"] == "callback_secret"


def _raw(private):
    from cryptography.hazmat.primitives.serialization import NoEncryption, PrivateFormat
    return private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())


def test_the_owner_reads_what_was_answered(own_stack, sink, project):
    sink.answers["/log"] = (404, {"content-type": "text/html"}, b"<h1>no\x00 such\x1b[31m hook \xff\xc3\xa9</h1>" + b"x" * 5000)
    made = make(own_stack, project, sink.url("/log"))
    video = own_stack.create(key=project)
    sink.of("/log", 2)
    sink.answers["/log"] = (200, {}, b"thanks")
    (row,) = ended(own_stack, project, f"webhook_endpoints/{made['id']}")
    first, last = row["attempt_log"][0], row["attempt_log"][-1]
    assert (first["status"], first["reason"]) == (404, "status_404") and first["duration_ms"] >= 0 and first["ended_at"] >= row["created_at"]
    assert first["answer"].startswith("<h1>no  such [31m hook ?é</h1>xxx") and len(first["answer"].encode()) == 512
    assert (last["status"], last["reason"], last["answer"]) == (200, "", "thanks")
    assert len(row["attempt_log"]) == row["attempts"]
    told = json.loads(own_stack.ctl("--json", "deliveries", "list", video["id"], admin=True).stdout)
    assert told["deliveries"][0]["attempt_log"][-1]["answer"] == "thanks"


def test_busy_receivers_are_left_alone(own_stack, sink, project):
    """429 with Retry-After: all of that receiver wait; nobody else does."""
    sink.answers["/busy"] = (429, {"retry-after": "3"}, b"")
    made = make(own_stack, project, sink.url("/busy"))
    own_stack.create(key=project)
    (first,) = sink.of("/busy")
    sink.answers["/busy"] = (200, {}, b"")
    other = own_stack.create(key=project)
    ((held,),) = own_stack.sql("SELECT count(*) FROM receivers WHERE held_until > now()")
    assert held >= 1
    rows = ended(own_stack, project, f"webhook_endpoints/{made['id']}")
    assert {r["state"] for r in rows} == {"delivered"}
    second = sink.of("/busy", 2)[1]
    assert second["at"] - first["at"] >= 2.5 and log_of(own_stack, project, f"videos/{other['id']}")[0]["attempts"] == 1


def test_an_endpoint_that_only_fails_is_disabled(own_stack, sink, project):
    sink.answers["/dead"] = (500, {}, b"broken")
    made = make(own_stack, project, sink.url("/dead"))
    where = f"/v1/webhook_endpoints/{made['id']}"
    own_stack.create(key=project)
    wait_for(lambda: "failing_since" in own_stack.http("GET", where, key=project).json, "the clock")
    shown = wait_for(lambda: (one := own_stack.http("GET", where, key=project).json) and "disabled_at" in one and one, "the end of it")
    assert shown["disabled_reason"] == "failing" and shown["disabled_at"] >= shown["failing_since"]
    assert "webhook endpoint disabled" in own_stack.log("service") and made["id"] in own_stack.log("service")
    assert own_stack.metric(3, 'videogate_webhook_endpoints_disabled_total{reason="failing"}')
    (row,) = ended(own_stack, project, where[4:])
    assert row["state"] in ("gone", "failed")
    sink.answers["/dead"] = (200, {}, b"")
    back = own_stack.http("POST", where, {}, key=project).json
    assert not {"disabled_at", "disabled_reason", "failing_since"} & set(back)
    many = own_stack.http("POST", "/v1/webhook_deliveries/redeliver", {"since": made["created_at"], "endpoint_id": made["id"]}, key=project).json
    assert many == {"object": "webhook_redelivery", "count": 1, "last_id": row["id"], "has_more": False}
    (row,) = ended(own_stack, project, where[4:])
    assert row["state"] == "delivered"


def test_range(own_stack, sink, project):
    """A receiver that took everything and lost it gets it again, by whom may ask."""
    made = make(own_stack, project, sink.url("/range"))
    videos = [own_stack.create(key=project, callback_url=sink.url("/range/own"), callback_secret="s3cret") for _ in range(3)]
    for path in ("/range", "/range/own"):
        sink.of(path, 3)
    for video in videos:
        ended(own_stack, project, f"videos/{video['id']}")
    ask = lambda key=project, **body: own_stack.http("POST", "/v1/webhook_deliveries/redeliver", {"since": made["created_at"], **body}, key=key)  # noqa: E731
    assert ask().json["count"] == 0  # nothing failed
    assert ask(key=own_stack.new_key("p-other-range")["secret"], delivered_too=True).json["count"] == 0
    assert ask(key=own_stack.new_key("p-other-range")["secret"], endpoint_id=made["id"]).status == 404
    first = ask(delivered_too=True, limit=4).json
    assert (first["count"], first["has_more"]) == (4, True)
    assert ask(delivered_too=True, limit=4, after=first["last_id"]).json["count"] == 2
    for path in ("/range", "/range/own"):
        records = sink.of(path, 6)
        assert len({r["headers"]["webhook-id"] for r in records}) == 3 and len({r["body"] for r in records}) == 3
    out = own_stack.ctl("--json", "webhooks", "redeliver", "--since", str(made["created_at"]), "--endpoint", made["id"], "--delivered-too", admin=True).stdout
    assert json.loads(out)["count"] == 3
    sink.of("/range", 9)
    assert ask(since=5, until=4).status == 400 and ask(limit=1001).status == 400 and ask(endpoint_id="whe_none").status == 404


def restart(stack, secret_key, old="", peppers=""):
    path = stack.folder / "secrets"
    path.write_text(re.sub("VIDEOGATE_SECRET_KEY=.*", f"VIDEOGATE_SECRET_KEY={secret_key}", path.read_text()))
    stack.environ.update(VIDEOGATE_OLD_SECRET_KEY=old, VIDEOGATE_KEY_PEPPERS=peppers)
    stack.kill("service")
    stack.up()


def test_secret_keys_rotate(own_stack, sink, project):
    """What the old key sealed is delivered after the rotation; sealed anew, it is after the old key is gone."""
    made = make(own_stack, project, sink.url("/keys"))
    waiting = own_stack.create(key=project, model="sandbox-never", callback_url=sink.url("/keys/own"), callback_secret=HMAC_SECRET)["id"]
    before = own_stack.create(key=project, callback_url=sink.url("/keys/own"), callback_secret=HMAC_SECRET)["id"]
    sink.of("/keys"), sink.of("/keys/own")
    old = re.search("VIDEOGATE_SECRET_KEY=(.*)", (own_stack.folder / "secrets").read_text())[1]
    new = secrets.token_hex(32)
    marks = lambda: own_stack.sql("""SELECT DISTINCT substring(x FROM 1 FOR 8) FROM (SELECT secret_sealed AS x FROM videos WHERE status < 3
        UNION ALL SELECT secret_sealed FROM deliveries UNION ALL SELECT sealed FROM webhook_secrets) t WHERE x IS NOT NULL""")  # noqa: E731
    restart(own_stack, new, old=old)
    own_stack.create(key=project)
    redeliver = lambda: own_stack.http("POST", f"/v1/webhook_deliveries/evt_{before}/redeliver", key=project)  # noqa: E731
    assert redeliver().status == 200
    for path, secret in (("/keys", made["signing_secret"]), ("/keys/own", HMAC_SECRET)):
        last = sink.of(path, 2)[1]
        verify(secret, last["headers"], last["body"])
    first = json.loads(own_stack.ctl("--json", "secrets", "reseal", "--batch", "2", admin=True).stdout)
    assert first["sealed"] >= 3 and first["unreadable"] == 0
    assert len(marks()) == 1 and bytes(marks()[0][0]).startswith(b"vgk1")
    second = json.loads(own_stack.ctl("--json", "secrets", "reseal", admin=True).stdout)
    assert second["sealed"] == 0 and second["examined"] >= first["examined"]
    assert own_stack.ctl("secrets", "reseal", check=False).returncode != 0  # an API key may not
    restart(own_stack, new, peppers=old)  # API keys hashed under the old key live on as a pepper
    assert redeliver().status == 200
    own_stack.create(key=project)
    own_stack.http("POST", f"/v1/videos/{waiting}/cancel", key=project)
    for path, secret, count in (("/keys", made["signing_secret"], 4), ("/keys/own", HMAC_SECRET, 4)):
        for one in sink.of(path, count)[2:]:
            verify(secret, one["headers"], one["body"])

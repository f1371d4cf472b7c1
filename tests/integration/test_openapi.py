# SPDX-License-Identifier: Apache-2.0
"""/openapi.json says what is served: real answers of every operation are held against it, made and random ones."""
import json
import os
import random
import re
import urllib.parse

import pytest
from contract import Contract
from vg import query, wait_for

NOBODY = "video_" + "0" * 32
SMALL = {"model": "sandbox-instant", "size": "160x90", "seconds": 1}


@pytest.fixture(scope="module")
def contract(stack, tmp_path_factory):
    made = Contract(stack, tmp_path_factory.mktemp("contract"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def video(stack, contract):
    made = contract.call("POST", "/v1/videos", body={"prompt": "a red kite", **SMALL}, expect=200).json
    stack.wait(made["id"])
    return made["id"]


# --- the document and the page ---


def test_document(contract, stack):
    answer = contract.call("GET", "/openapi.json", expect=200, key=False)
    assert answer.headers["access-control-allow-origin"] == "*"
    again = contract.call("GET", "/openapi.json", expect=304, key=False, headers={"if-none-match": answer.headers["etag"]})
    assert not again.body and again.headers["etag"] == answer.headers["etag"]
    assert answer.json["openapi"].startswith("3.1.")
    assert stack.http("HEAD", "/openapi.json", key=False).headers["content-length"] == str(len(answer.body))


def test_page(contract):
    answer = contract.call("GET", "/docs", expect=200, key=False)
    page, policy = answer.body.decode(), answer.headers["content-security-policy"]
    assert len(answer.body) < 64 * 1024
    assert contract.call("GET", "/docs", expect=304, key=False, headers={"if-none-match": answer.headers["etag"]}).body == b""
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'" and rules["connect-src"] == "'self'" and rules["frame-ancestors"] == "'none'"
    assert "unsafe" not in policy and "*" not in policy and "http" not in policy
    assert re.fullmatch(r"'sha256-[A-Za-z0-9+/]{43}='", rules["script-src"])
    # Nothing of another host, nothing the policy would block.
    assert not re.search(r"""(?:https?:)?//[a-z0-9-]+\.[a-z]""", page)
    page = page.replace('<link rel="icon" href="data:,">', "")
    assert not re.search(r"""<(?:link|iframe|object|embed|base)\b|\bstyle=|\son[a-z]+=|<script\s|innerHTML|eval\(""", page)
    assert "localStorage" not in page


# --- every operation, well and badly called ---


def test_create(contract, video):
    create = lambda expect, body=None, **kw: contract.call("POST", "/v1/videos", body=body, expect=expect, **kw)
    headers = {"idempotency-key": "openapi-" + video}
    create(200, {"prompt": "again", **SMALL}, headers=headers)
    create(200, {"prompt": "again", **SMALL}, headers=headers)
    create(422, {"prompt": "other", **SMALL}, headers=headers)
    create(400, {"prompt": ""})
    create(400, b"{", headers={"content-type": "application/json"})
    create(401, {"prompt": "x"}, key="wrong")
    create(413, b"x", headers={"content-type": "application/json", "content-length": str(1 << 40)})
    create(415, b"x", headers={"content-type": "text/plain"})


def test_create_form(contract):
    boundary = "b0"
    parts = "".join(f'--{boundary}\r\ncontent-disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in {"prompt": "a form", **SMALL}.items())
    headers = {"content-type": f"multipart/form-data; boundary={boundary}"}
    contract.call("POST", "/v1/videos", body=(parts + f"--{boundary}--\r\n").encode(), headers=headers, expect=200)
    contract.call("POST", "/v1/videos", body=parts.encode(), headers=headers, expect=400)


def test_read_and_list(contract, video, stack):
    answer = contract.call("GET", "/v1/videos/{id}", video, expect=200)
    contract.call("GET", "/v1/videos/{id}", video, expect=304, headers={"if-none-match": answer.headers["etag"]})
    contract.call("GET", "/v1/videos/{id}", NOBODY, expect=404)
    contract.call("GET", "/v1/videos/{id}", video, expect=401, key="wrong")
    for model in ("sandbox-fail", "sandbox-moderation"):
        failed = stack.create(model=model)["id"]
        stack.wait(failed)
        contract.call("GET", "/v1/videos/{id}", failed, expect=200)
    contract.call("GET", "/v1/videos", query="?limit=2&order=asc", expect=200)
    contract.call("GET", "/v1/videos", query="?" + query(after=video), expect=200)
    contract.call("GET", "/v1/videos", query="?limit=101", expect=400)
    contract.call("GET", "/v1/videos", expect=401, key=False)


def test_cancel_and_delete(contract, stack):
    running = stack.create(model="sandbox-never")["id"]
    contract.call("GET", "/v1/videos/{id}/content", running, expect=409)
    contract.call("DELETE", "/v1/videos/{id}", running, expect=409)
    contract.call("POST", "/v1/videos/{id}/cancel", running, expect=200)
    stack.wait(running)
    contract.call("GET", "/v1/videos/{id}", running, expect=200)
    contract.call("POST", "/v1/videos/{id}/cancel", NOBODY, expect=404)
    contract.call("DELETE", "/v1/videos/{id}", running, expect=200)
    contract.call("DELETE", "/v1/videos/{id}", running, expect=404)


def test_derive(contract, video):
    source = {"prompt": "derived", "video": {"id": video}}
    contract.call("POST", "/v1/videos/{id}/remix", video, body={"prompt": "again"}, expect=200)
    contract.call("POST", "/v1/videos/{id}/remix", NOBODY, body={"prompt": "again"}, expect=404)
    contract.call("POST", "/v1/videos/{id}/remix", video, body={"prompt": ""}, expect=400)
    contract.call("POST", "/v1/videos/edits", body=source, expect=200)
    contract.call("POST", "/v1/videos/edits", body={"prompt": "no source"}, expect=400)
    contract.call("POST", "/v1/videos/edits", body={**source, "video": {"id": NOBODY}}, expect=404)
    contract.call("POST", "/v1/videos/extensions", body={**source, "seconds": "1"}, expect=200)
    contract.call("POST", "/v1/videos/extensions", body={**source, "seconds": 0.5}, expect=400)
    contract.call("GET", "/v1/videos/characters/{id}", "char_1", expect=400)
    contract.call("POST", "/v1/videos/characters", body=b"--b--\r\n", headers={"content-type": "multipart/form-data; boundary=b"}, expect=400)


def test_content(contract, video, stack):
    call = lambda expect, method="GET", query="", **kw: contract.call(method, "/v1/videos/{id}/content", video, query, expect, **kw)
    whole = call(200)
    call(206, headers={"range": "bytes=0-9"})
    call(304, headers={"if-none-match": whole.headers["etag"]})
    call(416, headers={"range": "bytes=99999999999-"})
    call(416, headers={"range": "bytes=0-1,4-5"})
    for variant in ("video", "thumbnail", "spritesheet"):
        call(200, query="?variant=" + variant)
    call(400, query="?variant=sound")
    call(404, query="?index=5")
    call(200, "HEAD")
    call(401, key=False)
    call(401, key=False, query="?token=wrong")
    link = urllib.parse.urlsplit(stack.get(video)["content"][0]["url"])
    call(200, key=False, query="?" + link.query)
    contract.call("HEAD", "/v1/videos/{id}/content", NOBODY, expect=404)
    contract.call("GET", "/v1/videos/logs/{id}/content", video, "?" + link.query, 200, key=False)
    contract.call("GET", "/v1/videos/logs/{id}/content", video, "?token=wrong", 401, key=False)


def test_watch(contract, video):
    answer = contract.call("GET", "/v1/videos/{id}/events", video, expect=200)
    for line in answer.body.decode().splitlines():
        if line.startswith("data:"):
            assert not contract.complaints("/components/schemas/Video", json.loads(line[5:]))
    contract.call("GET", "/v1/videos/{id}/events", NOBODY, expect=404)


def test_models(contract):
    names = [model["id"] for model in contract.call("GET", "/v1/models", expect=200).json["data"]]
    for name in names:
        contract.call("GET", "/v1/models/{id}", name, expect=200)
    contract.call("GET", "/v1/models/{id}", "sandbox/sandbox", expect=200)
    contract.call("GET", "/v1/models/{id}", "none", expect=404)
    contract.call("GET", "/v1/models", expect=401, key=False)


def test_usage(contract, video):
    rows = contract.call("GET", "/v1/usage", expect=200).json.get("data")
    assert "getUsage" in contract.unbuilt or rows and all(row["videos"] >= row["completed"] for row in rows)
    contract.call("GET", "/v1/usage", query="?start_time=yesterday", expect=400)
    contract.call("GET", "/v1/usage", expect=401, key=False)


def test_limits(contract, stack):
    key = dict(line.split(" ", 1) for line in stack.ctl("keys", "create", "--rpm", "2", "--scopes", "videos.read", admin=True).stdout.splitlines())["secret"]
    contract.call("GET", "/v1/videos", key=key, expect=200)
    contract.call("POST", "/v1/videos", key=key, body={"prompt": "not with this key"}, expect=403)
    answers = {contract.call("GET", "/v1/videos", key=key).status for _ in range(3)}
    assert answers == {200, 429}


def test_webhook_endpoints(contract, stack):
    base = "/v1/webhook_endpoints"
    kinds = contract.call("GET", "/v1/webhook_event_types", expect=200).json["data"]
    contract.call("GET", "/v1/webhook_event_types", key=False, expect=401)
    body = {"name": "mine", "url": stack.env["VIDEOGATE_WEBHOOK_SINK"] + "/ok", "event_types": kinds}
    made = contract.call("POST", base, body=body, expect=200).json["id"]
    contract.call("POST", base, body={**body, "url": "no address"}, expect=400)
    contract.call("POST", base, body={**body, "event_types": []}, expect=400)
    pair = contract.call("POST", base, body={**body, "signature": "v1a", "event_types": ["video.expired"]}, expect=200).json
    assert pair["public_key"].startswith("whpk_") and "signing_secret" not in pair
    for wrong in ("rsa", ""):
        contract.call("POST", base, body={**body, "signature": wrong}, expect=400)
    contract.call("GET", base, query="?limit=1", expect=200)
    contract.call("GET", base, query="?limit=1000", expect=400)
    one = base + "/{id}"
    contract.call("GET", one, made, expect=200)
    contract.call("POST", one, made, body={"name": "yours"}, expect=200)
    contract.call("POST", one, made, body={"url": "no address"}, expect=400)
    contract.call("POST", one + "/rotate_secret", made, body={"keep_old_secret_active_for_24_hours": True}, expect=200)
    contract.call("POST", one + "/rotate_secret", made, body={"signature": ""}, expect=400)
    contract.call("POST", one + "/test", made, body={"event_type": "video.completed"}, expect=200)
    contract.call("POST", one + "/test", made, body={"event_type": "no.such"}, expect=400)
    deliveries(contract, stack, made)
    contract.call("DELETE", one, made, expect=200)
    contract.call("GET", one + "/deliveries", made, expect=200)  # what was sent stays on record
    for method, path, sent in (("GET", one, None), ("POST", one, {"name": "gone"}), ("POST", one + "/rotate_secret", {}),
                               ("POST", one + "/test", {"event_type": "video.completed"}), ("DELETE", one, None)):
        contract.call(method, path, made, body=sent, expect=404)


def deliveries(contract, stack, endpoint):
    told = stack.create()["id"]
    of_video, of_endpoint = ("/v1/videos/{id}/deliveries", told), ("/v1/webhook_endpoints/{id}/deliveries", endpoint)
    (one,) = wait_for(lambda: [d for d in contract.call("GET", *of_video, expect=200).json["data"] if d["state"] == "delivered"], "the delivery")
    assert one in contract.call("GET", *of_endpoint, expect=200).json["data"] and one["endpoint_id"] == endpoint
    again = "/v1/webhook_deliveries/{id}/redeliver"
    contract.call("POST", again, one["id"], expect=200)
    contract.call("POST", again, "evt_none", expect=404)
    many = "/v1/webhook_deliveries/redeliver"
    contract.call("POST", many, body={"since": one["created_at"], "endpoint_id": endpoint, "delivered_too": True}, expect=200)
    contract.call("POST", many, body={"since": 2, "until": 1}, expect=400)
    contract.call("POST", many, body={"since": 0, "endpoint_id": "whe_none"}, expect=404)
    contract.call("GET", "/v1/videos/{id}/deliveries", NOBODY, expect=404)
    contract.call("GET", "/v1/webhook_endpoints/{id}/deliveries", endpoint, query="?limit=x", expect=400)


def test_service_routes(contract):
    for path in ("/healthz", "/readyz", "/metrics"):
        contract.call("GET", path, key=False, expect=200)


def test_events_are_as_described(contract, stack):
    for model in ("sandbox-instant", "sandbox-fail"):
        made = stack.create(model=model, callback_url=stack.env["VIDEOGATE_WEBHOOK_SINK"] + "/ok", callback_secret="s")
        (record,) = wait_for(lambda: stack.callbacks(made["id"]), "the callback")
        assert not contract.complaints("/components/schemas/Event", json.loads(record["body"]))


def test_what_no_route_made(stack, contract):
    """404, 405 and broken requests have the envelope too."""
    for method, path in (("GET", "/"), ("GET", "/v1/nothing"), ("PUT", "/v1/videos")):
        answer = stack.http(method, path)
        assert answer.status in (404, 405)
        assert not contract.complaints("/components/schemas/Error", answer.json)


# --- random bodies ---


class Dice:
    """Bodies as a schema describes them, then spoilt here and there."""

    JUNK = ["", " ", "x" * 40000, "\u0000", "é𝄞\u202e", -1, 0, 1, 11, 2.5, 1e300, 2**63, True, False, [], [[]], {}, {"a": 1}, {"image_url": 7},
            {"image_url": {"url": ""}}, {"id": "/../"}, "data:image/png;base64,AAAA", "data:,", "https://", "file:///etc/passwd", "http://127.0.0.1:1/"]
    BY_PATTERN = {"^[1-9][0-9]*$": ["1", "2"], "^([1-9]|10)$": ["1", "3"], "^[1-9][0-9]*x[1-9][0-9]*$": ["160x90", "90x160", "1x1", "99999x99999"]}

    def __init__(self, contract, seed, known):
        self.contract, self.seed, self.random, self.known = contract, seed, random.Random(seed), known

    def of(self, schema, name=None):
        schema, pick = self.contract.resolve(schema), self.random.choice
        if name in self.known and self.random.random() < 0.9:
            return pick(self.known[name])
        if "const" in schema or "enum" in schema:
            return pick(schema.get("enum") or [schema["const"]])
        for key in ("oneOf", "anyOf", "allOf"):
            if key in schema:
                return self.of(pick(schema[key]), name)
        kind = schema["type"]
        if kind == "object":
            return self.body(schema)
        if kind == "array":
            low, high = schema.get("minItems", 0), schema.get("maxItems", 3)
            return [self.of(schema["items"]) for _ in range(pick([low, high, self.random.randint(low, high)]))]
        if kind == "integer":
            return pick([schema.get("minimum", 0), schema.get("maximum", 4), 1])
        if kind == "boolean":
            return pick([True, False])
        if "pattern" in schema:
            return pick(self.BY_PATTERN[schema["pattern"]])
        low, high = schema.get("minLength", 0), schema.get("maxLength", 40)
        return pick(["x" * low, "x" * high, "é𝄞", "https://example.com/a"])

    def body(self, schema):
        properties, required = schema["properties"], schema.get("required", [])
        extra = [name for name in properties if name not in required]
        names = [*required, *self.random.sample(extra, min(len(extra), self.random.choice([0, 0, 1, 1, 2, 4])))]
        return {name: self.of(properties[name], name) for name in names}

    def spoilt(self, schema):
        body = self.body(schema)
        for _ in range(self.random.choice([0, 0, 1, 1, 2])):
            body[self.random.choice([*schema["properties"], "unknown"])] = self.random.choice(self.JUNK)
        if body and self.random.random() < 0.1:
            body.pop(self.random.choice(sorted(body)))
        return body


def form(body):
    """The scalars of a body as multipart/form-data."""
    parts = "".join(f'--b0\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in body.items() if not isinstance(value, (dict, list)))
    return {"body": (parts + "--b0--\r\n").encode("utf-8", "surrogatepass"), "headers": {"content-type": "multipart/form-data; boundary=b0"}}


# Operation, how many, how many of ten as a form.
RANDOM = [("createVideo", 150, 0), ("createVideo", 50, 10), ("remixVideo", 60, 2), ("editVideo", 80, 2), ("extendVideo", 80, 2), ("createWebhookEndpoint", 80, 0),
          ("updateWebhookEndpoint", 60, 0), ("rotateWebhookSecret", 40, 0), ("testWebhookEndpoint", 40, 0)]


@pytest.mark.parametrize("name,count,forms", RANDOM)
def test_random_bodies(contract, stack, video, name, count, forms):
    """Whatever comes, the status and the body of the answer are described; what the schema forbids is not taken. The
    counts are so large that dice with one side are a fault, not chance."""
    ((path, method, operation),) = [one for one in contract.operations() if one[2]["operationId"] == name]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    endpoint = stack.http("POST", "/v1/webhook_endpoints", {"name": "dice", "url": stack.env["VIDEOGATE_WEBHOOK_SINK"] + "/ok", "event_types": ["video.failed"]}).json
    dice = Dice(contract, int(os.environ.get("VG_FUZZ_SEED", random.randrange(1 << 32))), {
        "model": ["sandbox-never", "sandbox-never", "sandbox/sandbox-never", "sora-2", "none", "/"], "size": ["160x90", "90x160", "160X90"],
        "callback_url": [stack.env["VIDEOGATE_WEBHOOK_SINK"] + "/ok", "https://example.com/hook", "ftp://example.com", "http://10.0.0.1/"],
        "url": [stack.env["VIDEOGATE_WEBHOOK_SINK"] + "/ok", "https://example.com/hook", "no address"],
        "event_types": [["video.completed"], ["no.such"]], "event_type": ["video.completed", "no.such"], "id": [video, video, video, NOBODY]})
    taken = refused = 0
    for _ in range(count * int(os.environ.get("VG_FUZZ_TIMES", 1))):
        body = dice.spoilt(contract.resolve(schema))
        said = f"VG_FUZZ_SEED={dice.seed} {name} {str(body)[:500]}"
        as_form = dice.random.randrange(10) < forms
        answer = stack.http(method.upper(), path.replace("{id}", endpoint.get("id", "") if "webhook" in path else video), **(form(body) if as_form else {"body": body}))
        assert answer.status in (200, 400, 404, 410) or (answer.status == 501 and name in contract.unbuilt), f"{answer.status} {answer.body[:300]} for {said}"
        contract.check(method.upper(), path, answer)
        if answer.status == 501 and name in contract.unbuilt:
            continue
        forbidden = not as_form and contract.complaints(contract.pointer(schema), body)
        assert not (forbidden and answer.status == 200), f"taken against the schema ({forbidden}): {said}"
        taken += answer.status == 200
        refused += answer.status != 200
        if answer.status == 200 and answer.json["object"] == "video":
            stack.http("POST", f"/v1/videos/{answer.json['id']}/cancel")
        elif answer.status == 200 and name == "createWebhookEndpoint":
            stack.http("DELETE", f"/v1/webhook_endpoints/{answer.json['id']}")
    assert name in contract.unbuilt or (taken and refused), f"one-sided dice: {taken} taken, {refused} refused, VG_FUZZ_SEED={dice.seed}"


def test_every_operation_was_called(contract, request):
    """Stands last: each operation well, and badly where the document says that it can be refused."""
    if request.config.option.keyword:
        pytest.skip("a part was chosen")
    missing = []
    for path, method, operation in contract.operations():
        if operation["operationId"] in contract.unbuilt:
            continue
        seen = {status // 100 for name, status in contract.seen if name == operation["operationId"]}
        documented = {status[0] for status in operation["responses"]}
        missing += [f"{method} {path} never answered {c}xx" for c in (2, 4) if str(c) in documented and c not in seen]
    assert not missing, "\n".join(missing)

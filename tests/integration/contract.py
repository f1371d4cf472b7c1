# SPDX-License-Identifier: Apache-2.0
"""Holds real answers against /openapi.json: status, media type, headers and body, each as described."""
import json
import re
import subprocess

import clients
from vg import NODE

# Headers of ours that must be described where they occur; the others are HTTP's own.
OURS = re.compile(r"^(x-(?!content-type-options)|openai-|ratelimit|retry-after)")


# Operations that may still answer 501.
LATER = set()


class Contract:
    def __init__(self, stack, folder):
        self.stack = stack
        self.document = stack.http("GET", "/openapi.json", key=False).json
        self.seen = set()  # (operationId, status)
        self.unbuilt = set()  # operationIds that answered 501
        copy = folder / "openapi.json"
        copy.write_text(json.dumps(self.document))
        here = clients.beside_packages(NODE, folder)
        self.node = subprocess.Popen(["node", "contract.mjs", str(copy)], cwd=here, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def close(self):
        self.node.stdin.close()
        assert self.node.wait(60) == 0

    def resolve(self, node):
        while "$ref" in node:
            name = node["$ref"]
            node = self.document
            for key in name.removeprefix("#/").split("/"):
                node = node[key.replace("~1", "/")]
        return node

    @staticmethod
    def pointer(reference):
        return reference["$ref"].removeprefix("#")

    def complaints(self, pointer, value):
        """What ajv says about a value; an empty list when it is as described."""
        self.node.stdin.write(json.dumps({"at": pointer, "value": value}) + "\n")
        self.node.stdin.flush()
        return json.loads(self.node.stdout.readline())

    def operations(self):
        for path, item in self.document["paths"].items():
            for method, operation in item.items():
                yield path, method, operation

    def check(self, method, path, answer):
        """`path` is the document's, with {id}."""
        operation = self.document["paths"][path][method.lower()]
        said = f"{method} {path} answered {answer.status}: {answer.body[:600]!r}"
        responses = operation["responses"]
        key = str(answer.status) if str(answer.status) in responses else f"{answer.status // 100}XX"
        assert key in responses, f"not a described status: {said}"
        response = responses[key]
        base = f"/paths/{path.replace('/', '~1')}/{method.lower()}/responses/{key}"
        if "$ref" in response:
            base = response["$ref"].removeprefix("#")
        response = self.resolve(response)
        for name in answer.headers:
            assert not OURS.match(name) or name in response.get("headers", {}), f"header {name} is not described: {said}"
        if operation.get("security") != [] and answer.status != 304:
            assert answer.headers["x-request-id"], said
        self.check_body(base, response.get("content"), answer, said, method)
        self.seen.add((operation["operationId"], answer.status))
        return answer

    def check_body(self, base, content, answer, said, method):
        if content is None or method == "HEAD":
            assert not answer.body, f"a body where none is described: {said}"
            return
        kind = answer.headers["content-type"].split(";")[0]
        assert kind in content, f"media type {kind} is not described: {said}"
        if kind == "application/json":
            found = self.complaints(f"{base}/content/application~1json/schema", answer.json)
            assert not found, f"{found}\n{said}"
        else:
            assert answer.body, f"an empty body: {said}"

    def call(self, method, path, ids=None, query="", expect=None, **kw):
        """One request to the stack, checked; `ids` stands for {id}."""
        answer = self.check(method, path, self.stack.http(method, path.replace("{id}", ids or "") + query, **kw))
        name = self.document["paths"][path][method.lower()]["operationId"]
        if answer.status == 501 and name in LATER:
            self.unbuilt.add(name)
            return answer
        assert expect is None or answer.status == expect, (method, path, answer.status, answer.body)
        return answer

# SPDX-License-Identifier: Apache-2.0
"""Conditional reads: a poller that has seen this version is not sent it again."""
import pytest


def read(stack, path, tag=None, method="GET"):
    return stack.http(method, path, headers={"if-none-match": tag} if tag else None)


def change(stack, video):
    stack.sql("UPDATE videos SET version = version + 1, progress = 42, status = 2 WHERE id = %s", video["id"])


def test_a_poller_is_told_only_news(stack):
    made = stack.create(model="sandbox-never")
    path = f"/v1/videos/{made['id']}"
    first = read(stack, path)
    tag = first.headers["etag"]
    assert tag.startswith('W/"v') and first.headers["cache-control"] == "no-cache, private"
    change(stack, made)
    second = read(stack, path, tag)
    assert second.status == 200 and second.json["progress"] == 42 and second.headers["etag"] != tag
    stack.http("POST", f"{path}/cancel")
    done = stack.wait(made["id"])
    assert done["status"] == "canceled"
    last = read(stack, path)
    same = read(stack, path, last.headers["etag"])
    assert same.status == 304 and same.body == b"" and same.headers["etag"] == last.headers["etag"]
    assert "content-length" not in same.headers and "content-type" not in same.headers


def test_304_keeps_the_poll_hint(stack):
    made = stack.create(model="sandbox-never")
    path = f"/v1/videos/{made['id']}"

    tag = {}
    for _ in range(50):  # it may move while we look
        first = read(stack, path)
        tag = first.headers["etag"]
        same = read(stack, path, tag)
        if same.status == 304:
            break
    assert same.status == 304 and int(same.headers["openai-poll-after-ms"]) > 0
    assert same.headers["cache-control"] == "no-cache, private" and same.headers["x-request-id"]
    stack.http("POST", f"{path}/cancel")


@pytest.mark.parametrize("form,status", [("{tag}", 304), ("{strong}", 304), ('"x", {tag}', 304), ("*", 304), ('W/"v999"', 200), ("garbage", 200),
                                         ("W/{tag}", 200)])
def test_forms_of_if_none_match(stack, form, status):
    done = stack.wait(stack.create()["id"])
    path = f"/v1/videos/{done['id']}"
    tag = read(stack, path).headers["etag"]
    given = form.format(tag=tag, strong=tag.removeprefix("W/"))
    assert read(stack, path, given).status == status
    assert read(stack, path, given, method="HEAD").status == status


def test_the_tag_follows_what_is_shown_besides_the_version(stack):
    """Links are made anew with time and go with the files: an answer that shows others is another one."""
    done = stack.wait(stack.create()["id"])
    path = f"/v1/videos/{done['id']}"
    tag = read(stack, path).headers["etag"]
    assert read(stack, path, tag).status == 304
    stack.sql("UPDATE videos SET expires_at = now() - interval '1 hour' WHERE id = %s", done["id"])
    later = read(stack, path, tag)
    assert later.status == 200 and later.headers["etag"] != tag


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/sandbox-instant"])
def test_models(stack, path):
    first = read(stack, path)
    tag = first.headers["etag"]
    assert first.status == 200 and tag.startswith('W/"') and first.headers["cache-control"] == "no-cache, private"
    assert read(stack, path, tag).status == 304 and read(stack, path, 'W/"x"').body == first.body


def test_errors_are_not_conditional(stack):
    missing = read(stack, f"/v1/videos/video_{'0' * 32}", "*")
    assert missing.status == 404 and missing.error and "etag" not in missing.headers

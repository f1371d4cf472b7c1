# SPDX-License-Identifier: Apache-2.0
"""What an upstream can do wrong on the wire, for every simulator alike. README.md has the table; each function here is one row.

A fault gets the simulator, the connection, the request, `answer` (calls the handler: a job is made, a poll counted; returns the Reply
that would have been sent) and the script line with its parameters. It sends what it likes; True keeps the connection open."""
import datetime
import email.utils
import json
import time

from simulators.wire import Reply

FAULTS = {}
BLOCKED = b"""<!DOCTYPE html><html><head><title>Access denied</title></head><body><h1>Error 1010</h1>
<p>The owner of this website has banned your access based on your browser's signature.</p></body></html>"""


def fault(function):
    FAULTS[function.__name__] = function
    return function


def _send(connection, request, reply):
    connection.send_reply(reply, request.method)
    return True


def _mangled(connection, request, reply, change):
    """Sends the reply with another body."""
    reply.body = change(reply.body)
    return _send(connection, request, reply)


def _with_member(body, member):
    """A JSON object with one more member, given as bytes, in front."""
    rest = body.lstrip()[1:]
    return b"{" + member + (b"" if rest.lstrip().startswith(b"}") else b",") + rest


def retry_after(text):
    """date:30 is a date 30 s from now, absurd a thousand years; others stand as they are."""
    if text.startswith("date:"):
        then = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=float(text[5:]))
        return email.utils.format_datetime(then, usegmt=True)
    return "31536000000" if text == "absurd" else text


@fault
def status(sim, connection, request, answer, spec):
    """An error in the vendor's own form, with its `code` where a status has several; nothing was done."""
    reply = sim.error(int(spec.get("status", 500)), spec.get("message", ""), spec.get("code"))
    if spec.get("retry_after") is not None:
        reply.headers["retry-after"] = retry_after(str(spec["retry_after"]))
    return _send(connection, request, reply)


@fault
def html(sim, connection, request, answer, spec):
    """A page of the proxy in front; nothing was done."""
    return _send(connection, request, Reply(int(spec.get("status", 403)), BLOCKED, content_type="text/html; charset=UTF-8"))


@fault
def html_after(sim, connection, request, answer, spec):
    """Done, but the answer is a page, with 200."""
    answer()
    return _send(connection, request, Reply(int(spec.get("status", 200)), BLOCKED, content_type="text/html; charset=UTF-8"))


@fault
def status_after(sim, connection, request, answer, spec):
    """Done, but the answer is an error, 502 say."""
    answer()
    return status(sim, connection, request, answer, {"status": 502, **spec})


@fault
def empty(sim, connection, request, answer, spec):
    return _mangled(connection, request, answer(), lambda body: b"")


@fault
def truncated(sim, connection, request, answer, spec):
    """Half the body, rightly announced as that."""
    return _mangled(connection, request, answer(), lambda body: body[:len(body) // 2])


@fault
def short(sim, connection, request, answer, spec):
    """Less than announced, then the end of the connection."""
    reply = answer()
    connection.send(reply.head() + reply.body[:len(reply.body) // 2])


@fault
def long(sim, connection, request, answer, spec):
    """More than announced."""
    reply = answer()
    connection.send(reply.head(len(reply.body) // 2) + reply.body)


@fault
def wrong_type(sim, connection, request, answer, spec):
    reply = answer()
    reply.content_type = spec.get("type", "text/plain")
    return _send(connection, request, reply)


@fault
def not_video(sim, connection, request, answer, spec):
    answer()
    return _send(connection, request, Reply(200, b"<html><body>Sign in to continue</body></html>", content_type="text/html"))


@fault
def bad_utf8(sim, connection, request, answer, spec):
    return _mangled(connection, request, answer(), lambda body: _with_member(body, b'"note":"\xff\xfe\xc0"'))


@fault
def duplicate_keys(sim, connection, request, answer, spec):
    """Each member of the object twice, the second time with an other value."""
    def change(body):
        other = json.dumps({name: "other" for name in json.loads(body)}).encode()
        return body.rstrip()[:-1] + b"," + other[1:]

    return _mangled(connection, request, answer(), change)


@fault
def deep(sim, connection, request, answer, spec):
    depth = int(spec.get("depth", 10000))
    return _mangled(connection, request, answer(), lambda body: _with_member(body, b'"note":' + b"[" * depth + b"]" * depth))


@fault
def huge(sim, connection, request, answer, spec):
    """A right answer with a note of `megabytes`, streamed."""
    reply, size = answer(), int(spec.get("megabytes", 100)) << 20
    front, back = b'{"note":"', b'",' + reply.body.lstrip()[1:]
    connection.send(reply.head(len(front) + size + len(back)) + front)
    for _ in range(size >> 20):
        connection.send(b"a" * (1 << 20))
    connection.send(back)
    return True


@fault
def gzip(sim, connection, request, answer, spec):
    """Says that it is compressed, and is not."""
    reply = answer()
    reply.headers["content-encoding"] = "gzip"
    return _mangled(connection, request, reply, lambda body: b"\x1f\x8b\x08\x00" + b"\xa5" * 200)


def _drip(connection, data, seconds):
    """Sends the first bytes one by one over `seconds`, then the rest."""
    steps = min(len(data), 20)
    for i in range(steps):
        connection.send(data[i:i + 1])
        time.sleep(seconds / steps)
    connection.send(data[steps:])


@fault
def slow_head(sim, connection, request, answer, spec):
    reply = answer()
    _drip(connection, reply.head(), float(spec.get("seconds", 1)))
    connection.send(reply.body)
    return True


@fault
def slow_body(sim, connection, request, answer, spec):
    reply = answer()
    connection.send(reply.head())
    _drip(connection, reply.body, float(spec.get("seconds", 1)))
    return True


@fault
def hang(sim, connection, request, answer, spec):
    """Done, and then no word until the client gives up, `seconds` at most."""
    answer()
    connection.client_gone(float(spec.get("seconds", 90)))


@fault
def hang_body(sim, connection, request, answer, spec):
    """The head and half of the body, then no word."""
    reply = answer()
    connection.send(reply.head() + reply.body[:len(reply.body) // 2])
    connection.client_gone(float(spec.get("seconds", 90)))


@fault
def reset(sim, connection, request, answer, spec):
    """A TCP reset before the body is read; nothing was done."""
    connection.reset()


@fault
def reset_after(sim, connection, request, answer, spec):
    """Done, then a TCP reset instead of an answer."""
    answer()
    connection.reset()


@fault
def close_after(sim, connection, request, answer, spec):
    """Done, then the end of the connection without an answer."""
    answer()


@fault
def other_id(sim, connection, request, answer, spec):
    """The job has another id in this answer."""
    def change(body):
        for job in sim.named_in(request):
            body = body.replace(job.id.encode(), (job.id[:-2] + ("00" if job.id[-2:] != "00" else "11")).encode())
        return body

    return _mangled(connection, request, answer(), change)


@fault
def backwards(sim, connection, request, answer, spec):
    """The job is queued (or `phase`) again in this answer."""
    for job in sim.named_in(request):
        job.shown = spec.get("phase", "queued")
    try:
        return _send(connection, request, answer())
    finally:
        for job in sim.named_in(request):
            job.shown = None


@fault
def no_link(sim, connection, request, answer, spec):
    """Finished, but the addresses of the result are left out."""
    def without(value):
        if isinstance(value, dict):
            return {name: without(one) for name, one in value.items() if not sim.is_link(one)}
        return [without(one) for one in value if not sim.is_link(one)] if isinstance(value, list) else value

    return _mangled(connection, request, answer(), lambda body: json.dumps(without(json.loads(body))).encode())


@fault
def redirect(sim, connection, request, answer, spec):
    """302 `to` the second host (media), to itself for ever (loop), to a private address (private), or to a file (file)."""
    target = spec.get("to", "media")
    if target == "media":
        answer()
        location = next(sim.link(job) for job in sim.named_in(request))
    else:
        location = {"loop": request.target, "private": "http://169.254.169.254/latest/meta-data/", "file": "file:///etc/passwd"}[target]
    return _send(connection, request, Reply(302, b"", {"location": location}))

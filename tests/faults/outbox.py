# SPDX-License-Identifier: Apache-2.0
"""Callbacks without the making of videos: rows of the outbox as the end of a video writes them, for measuring what sends them."""
import http.server
import json
import threading
import time

import psycopg2

# deliveries.host_id, as db/delivery_sql.h has it
HOST = "hashtextextended(lower(coalesce(substring({0} FROM '^[^:]+://[^/?#]*'), '')), {1})"
VIDEOS = """INSERT INTO videos (id, project_id, deadline_at, completed_at, width, height, seconds, n, audio, model, provider, prompt, spec, status)
    SELECT v, p, now(), now(), 1, 1, 1, 1, false, 'm', 'sandbox', 'p', 'x', 3 FROM unnest(%s, %s) AS u(v, p)"""
DELIVERIES = """INSERT INTO deliveries (id, video_id, endpoint_id, event_type, host_id, url, body, due_at)
    SELECT i, v, e, 'video.expired', h, u, b, now() + %s::interval FROM unnest(%s, %s, %s, %s, %s, %s) AS x(i, v, e, h, u, b)"""
PENDING = "SELECT count(*) FROM deliveries WHERE state = 1 AND endpoint_id = %s"
DROP = """WITH free AS (SELECT id FROM deliveries WHERE state = 1 AND endpoint_id = %s FOR UPDATE SKIP LOCKED)
    UPDATE deliveries d SET state = 4, ended_at = now(), leased = false, lease_seq = lease_seq + 1 FROM free f WHERE d.id = f.id"""


class Outbox:
    def __init__(self, world):
        self.world, self.next = world, 1
        self.connection = psycopg2.connect(world.env["DATABASE_URL"])

    def endpoint(self, url, key=True, project="default"):
        answer = self.world.http("POST", "/v1/webhook_endpoints", {"name": "x", "url": url, "event_types": ["video.expired"]}, key=key)
        assert answer.status == 200, answer.body
        number = self.world.sql("SELECT id FROM projects WHERE name = %s", project)[0][0]
        host = self.world.sql("SELECT " + HOST.format("%s::text", "%s::int8"), url, number)[0][0]
        return {"id": answer.json["id"], "secret": answer.json["signing_secret"], "url": url, "host": host, "project": number}

    def put(self, endpoints, wait="0 s", wake=True):
        """One delivery to each, committed together; their ids, and when they were committed (monotonic)."""
        videos = [f"video_{self.next + i:032x}" for i in range(len(endpoints))]
        self.next += len(endpoints)
        ids = [f"evt_{video}" for video in videos]
        bodies = [psycopg2.Binary(json.dumps({"id": one, "object": "event", "type": "video.expired", "created_at": 1, "data": {"id": video}}).encode())
                  for one, video in zip(ids, videos)]
        of = lambda name: [one[name] for one in endpoints]  # noqa: E731
        with self.connection as transaction, transaction.cursor() as cursor:
            cursor.execute(VIDEOS, (videos, of("project")))
            cursor.execute(DELIVERIES, (wait, ids, videos, of("id"), of("host"), of("url"), bodies))
            if wake:
                cursor.execute("NOTIFY videogate_due")
        return ids, time.monotonic()

    def drop(self, endpoints):
        """What is still to be sent to them is not. The service locks rows in an order of its own: those are for the next turn."""
        for one in endpoints:
            while self.world.sql(PENDING, one["id"])[0][0] > 0:
                self.world.sql(DROP, one["id"])
        self.world.sql("DELETE FROM receivers")


class Clock:
    """A receiver that only notes when each webhook-id came first."""

    def __init__(self, address="127.0.0.1"):
        self.at, clock = {}, self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):  # noqa: N802
                clock.at.setdefault(self.headers["webhook-id"], time.monotonic())
                self.rfile.read(int(self.headers["content-length"]))
                self.wfile.write(b"HTTP/1.1 204 No Content\r\n\r\n")

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads, request_queue_size = True, 512

        self.server = Server((address, 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def url(self, path="/"):
        return "http://%s:%d%s" % (*self.server.server_address, path)

    def close(self):
        self.server.shutdown()
        self.server.server_close()

# SPDX-License-Identifier: Apache-2.0
"""A service whose database and blob folder do not belong together touches nothing."""
import os
import pathlib
import signal
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from vg import BUILD, ROOT, free_base, wait_for


def readyz(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


@pytest.fixture
def other(stack, tmp_path):
    """A service on the stack's server, but in a fresh database; starts with the blob folder it is given."""
    name = f"other{os.getpid()}"
    stack.sql(f"CREATE DATABASE {name}")
    url = stack.env["DATABASE_URL"].replace("/videogate?", f"/{name}?")
    env = {**os.environ, **dict(line.split("=", 1) for line in (stack.folder / "secrets").read_text().split()),
           "VIDEOGATE_DATABASE_URL": url}
    subprocess.run([str(BUILD / "bin/videogatectl"), "migrate"], env=env, check=True, capture_output=True)
    running = []

    def start(blobs):
        base = free_base()
        log = tmp_path / f"service{len(running)}.log"
        process = subprocess.Popen([str(BUILD / "bin/videogate-service"), "--listen", f"127.0.0.1:{base}", "--monitor", f"127.0.0.1:{base + 1}",
                                    "--blob-dir", str(blobs), "--catalog", str(ROOT / "service/catalog.json"), "--janitor-interval", "100ms",
                                    "--workers", f"sandbox=127.0.0.1:{stack.port(4)}", "--route-all", "sandbox"], env=env, stderr=log.open("w"))
        running.append(process)
        return base, log, url

    yield start
    for process in running:
        process.send_signal(signal.SIGTERM)
    assert [process.wait(60) for process in running] == [0] * len(running)
    stack.sql(f"DROP DATABASE {name} WITH (FORCE)")


def plant_purge(url, blob, video):
    """Makes the janitor of that database want to remove a file."""
    import psycopg2

    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO purges (blob, video_id, due_at) VALUES (%s, %s, now())", (blob, video))
    connection.close()


def test_wrong_folder(stack, other):
    video = stack.wait(stack.create()["id"])
    blobs = stack.folder / "blobs"
    file = next(blobs.glob(f"outputs/*/{video['id']}.*"))
    base, log, url = other(blobs)
    wait_for(lambda: readyz(base + 1) == (503, "not ready: blob-dir belongs to another database\n"), "the service to see it", patience=60)
    plant_purge(url, str(file.relative_to(blobs)), video["id"])
    key = subprocess.run([str(BUILD / "bin/videogatectl"), "--service", f"127.0.0.1:{base}", "keys", "create", "--project", "p"],
                         env={**os.environ, "VIDEOGATE_ADMIN_KEY": stack.env["VIDEOGATE_ADMIN_KEY"]}, text=True, capture_output=True, check=True)
    key = key.stdout.split("secret ")[1].split()[0]
    refused = subprocess.run([str(BUILD / "bin/videogatectl"), "--service", f"127.0.0.1:{base}", "video", "get", video["id"]],
                             env={**os.environ, "VIDEOGATE_API_KEY": key}, text=True, capture_output=True)
    assert refused.returncode != 0 and "not available" in refused.stderr, refused
    time.sleep(2)  # some twenty rounds of its janitor
    assert file.exists()
    assert log.read_text().count("belongs to another database") == 1
    assert stack.http("GET", f"/v1/videos/{video['id']}/content").status == 200
    assert readyz(stack.port(3))[0] == 200


def test_own_folder(other, tmp_path):
    """The same with a folder of its own: it is bound, and the janitor works."""
    blobs = tmp_path / "blobs"
    base, _, url = other(blobs)
    wait_for(lambda: readyz(base + 1)[0] == 200, "the service to be ready")
    assert (blobs / "identity").read_text().strip()
    video = "video_" + "0" * 32
    file = blobs / "outputs" / "000" / f"{video}.0.1"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"x")
    plant_purge(url, str(file.relative_to(blobs)), video)
    wait_for(lambda: not file.exists(), "the janitor to remove the file")

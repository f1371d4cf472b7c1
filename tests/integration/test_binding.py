# SPDX-License-Identifier: Apache-2.0
"""A service whose database and blob folder do not belong together touches nothing."""
import time

import psycopg2
import pytest
from vg import ROOT, Beside, free_base, readyz, wait_for


@pytest.fixture
def other(stack, tmp_path):
    with Beside(stack, tmp_path) as beside:
        yield beside


def start_service(other, blobs):
    base = free_base()
    other.start("service", "--listen", f"127.0.0.1:{base}", "--monitor", f"127.0.0.1:{base + 1}", "--blob-dir", blobs,
                "--catalog", ROOT / "service/catalog.json", "--janitor-interval", "100ms",
                "--workers", f"sandbox=127.0.0.1:{other.stack.port(4)}", "--route-all", "sandbox")
    return base


def plant_purge(other, blob, video):
    """Makes the janitor of that database want to remove a file."""
    connection = psycopg2.connect(other.database)
    with connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO purges (blob, video_id, due_at) VALUES (%s, %s, now())", (str(blob), video))
    connection.close()


def test_wrong_folder(stack, other):
    video = stack.wait(stack.create()["id"])
    blobs = stack.folder / "blobs"
    file = next(blobs.glob(f"outputs/*/{video['id']}.*"))
    base = start_service(other, blobs)
    wait_for(lambda: readyz(base + 1) == (503, "not ready: blob-dir belongs to another database\n"), "the service to see it")
    plant_purge(other, file.relative_to(blobs), video["id"])
    key = other.new_key("--service", f"127.0.0.1:{base}")
    refused = other.ctl("video", "get", video["id"], "--service", f"127.0.0.1:{base}", check=False, VIDEOGATE_API_KEY=key)
    assert refused.returncode != 0 and "not available" in refused.stderr, refused
    time.sleep(2)  # some twenty rounds of its janitor
    assert file.exists()
    assert other.log("service").read_text().count("belongs to another database") == 1
    assert stack.http("GET", f"/v1/videos/{video['id']}/content").status == 200
    assert readyz(stack.port(3))[0] == 200


def test_own_folder(other, tmp_path):
    """The same with a folder of its own: it is bound, and the janitor works."""
    blobs = tmp_path / "blobs"
    base = start_service(other, blobs)
    wait_for(lambda: readyz(base + 1)[0] == 200, "the service to be ready")
    assert (blobs / "identity").read_text().strip()
    video = "video_" + "0" * 32
    file = blobs / "outputs" / "000" / f"{video}.0.1"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"x")
    plant_purge(other, file.relative_to(blobs), video)
    wait_for(lambda: not file.exists(), "the janitor to remove the file")

# SPDX-License-Identifier: Apache-2.0
"""What an operator types: --help, --version, --check-config, videogatectl, deploy/stack.sh."""
import json
import os
import pathlib
import socket
import subprocess

import pytest
from vg import BUILD, ROOT, Stack, ffprobe, wait_for

PROGRAMS = ["videogate-bridge", "videogate-service", "videogate-worker", "videogate-webhook", "videogatectl"]
DAEMONS = PROGRAMS[:4]
ENOUGH = {
    "videogate-bridge": ["--service", "127.0.0.1:1"],
    "videogate-service": ["--blob-dir", "/tmp", "--catalog", str(ROOT / "service/catalog.json")],
    "videogate-worker": ["--provider", "sandbox", "--sandbox-dir", "/tmp"],
    "videogate-webhook": [],
}
SECRETS = {"VIDEOGATE_DATABASE_URL": "postgresql://nobody@/x", "VIDEOGATE_ADMIN_KEY": "a" * 32, "VIDEOGATE_SECRET_KEY": "very-secret-value"}


def run(name, *args, env=None):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("VIDEOGATE_")}
    return subprocess.run([str(BUILD / "bin" / name), *args], env={**clean, **(env or {})}, text=True, capture_output=True, timeout=60)


@pytest.mark.parametrize("name", PROGRAMS)
def test_help_and_version(name):
    done = run(name, "--help")
    assert done.returncode == 0 and "usage" in done.stdout.lower() and name in done.stdout
    done = run(name, "--version")
    assert done.returncode == 0 and name in done.stdout


@pytest.mark.parametrize("name", DAEMONS)
def test_check_config(name):
    done = run(name, "--check-config", *ENOUGH[name], env=SECRETS)
    assert done.returncode == 0, done.stderr
    assert "very-secret-value" not in done.stdout + done.stderr


@pytest.mark.parametrize("name", DAEMONS)
@pytest.mark.parametrize("args,word", [(["--no-such-flag"], "no-such-flag"), (["--listen"], "listen"), (["--log-level", "loud"], "log-level"),
                                       (["--drain", "soon"], "drain"), (["--listen", "nowhere"], "listen")])
def test_wrong_flags(name, args, word):
    done = run(name, *ENOUGH[name], *args, "--check-config", env=SECRETS)
    assert done.returncode == 2 and word in done.stderr


def test_a_secret_is_never_a_flag():
    done = run("videogate-service", "--secret-key", "x", "--check-config", env=SECRETS)
    assert done.returncode == 2 and "x" not in done.stderr.split()


def test_port_taken_is_said():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("videogate-webhook", "--listen", "127.0.0.1:0", "--monitor", f"127.0.0.1:{port}")
        assert done.returncode == 1 and str(port) in done.stderr


def test_video_life(stack, tmp_path):
    out = stack.ctl("--json", "video", "create", "--prompt", "from the shell", "--model", "sandbox", "--size", "160x90", "--seconds", "1", "--wait").stdout
    video = json.loads(out.strip().splitlines()[-1])
    assert video["status"] == "completed"
    file = tmp_path / "out.mp4"
    stack.ctl("video", "download", video["id"], "-o", str(file))
    assert ffprobe(file)["streams"]
    assert video["id"] in stack.ctl("video", "list").stdout
    assert "completed" in stack.ctl("video", "watch", video["id"]).stdout
    stack.ctl("video", "delete", video["id"])
    gone = stack.ctl("video", "get", video["id"], check=False)
    assert gone.returncode == 1 and gone.stderr.strip() and gone.stdout == ""


def test_keys(stack):
    made = stack.new_key("ctl")
    assert made["id"] in stack.ctl("keys", "list", "--project", "ctl", admin=True).stdout
    assert made["secret"] not in stack.ctl("keys", "list", admin=True).stdout
    stack.ctl("keys", "revoke", made["id"], admin=True)
    assert stack.ctl("keys", "revoke", "key_nothing", admin=True, check=False).returncode == 1


def test_webhooks(stack):
    def rows(*args):
        out = stack.ctl("webhooks", *args, admin=True).stdout
        return dict(line.split(" ", 1) for line in out.splitlines() if " " in line)

    made = rows("create", "--project", "default", "--url", stack.env["VIDEOGATE_WEBHOOK_SINK"], "--event", "video.completed", "--name", "cli")
    assert made["id"].startswith("whe_") and made["signing_secret"].startswith("whsec_")
    assert made["id"] in stack.ctl("webhooks", "list", "--project", "default", admin=True).stdout
    turned = rows("rotate", made["id"], "--keep-old")
    assert turned["signing_secret"] != made["signing_secret"]
    assert rows("update", made["id"], "--name", "other")["name"] == "other"
    assert rows("test", made["id"])["status_code"] == "200"
    event = f"evt_{stack.create()['id']}_{made['id'][-16:]}"
    wait_for(lambda: f"id={event} " in stack.ctl("webhooks", "deliveries", made["id"], admin=True).stdout, "the delivery in the list")
    stack.ctl("webhooks", "delete", made["id"], admin=True)
    assert made["id"] not in stack.ctl("webhooks", "list", "--project", "default", admin=True).stdout


def test_queue(stack):
    assert stack.ctl("queue", admin=True).returncode == 0


@pytest.mark.parametrize("args", [[], ["nonsense"], ["video"], ["video", "get"], ["video", "create", "--seconds", "x"]])
def test_wrong_usage(stack, args):
    assert stack.ctl(*args, check=False).returncode == 2


def test_migrate_twice(stack):
    for _ in range(2):
        done = run("videogatectl", "migrate", env={"VIDEOGATE_DATABASE_URL": stack.env["DATABASE_URL"]})
        assert done.returncode == 0, done.stderr


def test_stack_life(tmp_path, request):
    stack = Stack(tmp_path)
    request.addfinalizer(lambda: stack.run("down"))  # also when an assertion fails
    stack.up()
    made = stack.create()
    assert stack.run("status").stdout.count("running") == 6
    pid = stack.pid("service")
    stack.up()
    assert stack.pid("service") == pid, "up starts only what is not running"
    stack.kill("worker")
    assert stack.run("status", check=False).returncode == 3
    stack.up()
    stack.run("down")
    assert stack.run("status", check=False).stdout.count("stopped") == 6
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            environ = (folder / "environ").read_bytes()
        except OSError:
            continue
        assert f"VIDEOGATE_STACK_DIR={tmp_path}".encode() not in environ.split(b"\0"), "a process was left"
    stack.up()
    assert stack.get(made["id"])["id"] == made["id"], "jobs and keys survive down and up"
    wait_for(lambda: stack.get(made["id"])["status"] == "completed", "the job")
    stack.run("down")
    stack.check_logs()


def test_stack_port_taken(tmp_path, request):
    stack = Stack(tmp_path)
    request.addfinalizer(lambda: stack.run("down"))  # also when an assertion fails
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", stack.base))
        taken.listen()
        done = stack.run("up", check=False)
        assert done.returncode == 1 and f"port {stack.base}" in done.stderr and "taken" in done.stderr
    stack.run("down")

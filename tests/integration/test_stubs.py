# SPDX-License-Identifier: Apache-2.0
"""Stubs in four languages as proto/stubs.sh makes them: all compiled, Python and TypeScript used against the stack."""
import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from vg import NODE, ROOT

HERE = pathlib.Path(__file__).parent
JARS = ("grpc-api", "grpc-stub", "grpc-protobuf", "protobuf", "guava", "geronimo-annotation-1.3-spec")


def run(*command, timeout=600, **more):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=timeout, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def stubs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stubs")
    for language in ("go", "java", "python", "typescript"):
        run(ROOT / "proto/stubs.sh", language, folder / language, env={**os.environ, "VG_NODE": str(NODE)})
    return folder


def test_says_what_is_missing(tmp_path):
    done = subprocess.run([ROOT / "proto/stubs.sh", "typescript", "here"], cwd=tmp_path, env={**os.environ, "VG_NODE": "nothing"},
                          text=True, capture_output=True)
    assert done.returncode == 1 and f"{tmp_path}/nothing/node_modules/.bin/protoc-gen-ts_proto is missing: npm install" in done.stderr


def test_writes_where_the_caller_stands(tmp_path):
    subprocess.run([ROOT / "proto/stubs.sh", "python", "here"], cwd=tmp_path, check=True)
    assert (tmp_path / "here/videogate/v1/video_pb2.py").exists()


def check(seen):
    assert seen["same"] and seen["last"] == "VIDEO_STATUS_COMPLETED"
    assert seen["bytes"] == seen["total"] > 0
    assert seen["refused"]["code"] == 3


def test_python(stubs, stack):
    env = {**os.environ, "PYTHONPATH": str(stubs / "python"), "PYTHONDONTWRITEBYTECODE": "1"}
    run(sys.executable, "-c", "import videogate.v1.admin_pb2_grpc", env=env)
    seen = json.loads(run(sys.executable, HERE / "stub_client.py", stack.env["VIDEOGATE_GRPC"], stack.key, env=env))
    check(seen)
    assert "INVALID_REQUEST" in seen["refused"]["details"] and "prompt" in seen["refused"]["details"]


def test_typescript(stubs, stack):
    folder = stubs / "typescript"
    shutil.copy(HERE / "node/stub_client.ts", folder)
    (folder / "node_modules").symlink_to(NODE.resolve() / "node_modules")
    options = {"target": "es2020", "module": "commonjs", "esModuleInterop": True, "strict": True, "skipLibCheck": True, "types": ["node"],
               "outDir": "out", "preserveSymlinks": True}
    (folder / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "include": ["*.ts", "videogate/**/*.ts"]}))
    run(NODE / "node_modules/.bin/tsc", "-p", folder)
    seen = json.loads(run("node", folder / "out/stub_client.js", stack.env["VIDEOGATE_GRPC"], stack.key))
    check(seen)
    assert seen["refused"]["info"]["reason"] == "INVALID_REQUEST" and seen["refused"]["info"]["domain"] == "videogate"
    assert seen["refused"]["field"] == "prompt"


def test_go_compiles(stubs, tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src/videogate").symlink_to(stubs / "go/videogate")
    env = {**os.environ, "GO111MODULE": "off", "GOPATH": f"{tmp_path}:/usr/share/gocode", "GOCACHE": str(tmp_path / "cache")}
    run("go", "build", "videogate/v1", env=env)


def test_java_compiles(stubs, tmp_path):
    jars = ":".join(f"/usr/share/java/{jar}.jar" for jar in JARS)
    run("javac", "-proc:none", "-nowarn", "-d", tmp_path, "-cp", jars, *(stubs / "java").rglob("*.java"))

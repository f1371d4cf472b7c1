#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Client stubs of the public contract. usage: proto/stubs.sh go|java|python|typescript OUTDIR
# Needs protoc and the language's plugin: protoc-gen-go and protoc-gen-go-grpc, protobuf-compiler-grpc-java-plugin,
# protobuf-compiler-grpc (Debian packages), or ts-proto from npm in VG_NODE/node_modules.
set -euo pipefail
[ $# -eq 2 ] || { sed -n '3,5s/^# //p' "$0" >&2; exit 2; }
language=$1 out=$(realpath -m "$2")
node=$(realpath -m "${VG_NODE:-$(dirname "$0")/../build/node}")
cd "$(dirname "$0")"
mkdir -p "$out"

# need PROGRAM WHERE_FROM...
need() { command -v "$1" >/dev/null || { echo "stubs.sh: $1 is missing: ${*:2}" >&2; exit 1; }; }
need protoc "Debian package protobuf-compiler"

# run PROTOC_ARGUMENT...
run() { protoc -I . "$@" videogate/v1/video.proto videogate/v1/admin.proto; }

case $language in
  go)
    need protoc-gen-go "Debian package protoc-gen-go"
    need protoc-gen-go-grpc "Debian package protoc-gen-go-grpc"
    run --go_out="$out" --go_opt=paths=source_relative --go-grpc_out="$out" --go-grpc_opt=paths=source_relative
    ;;
  java)
    need grpc_java_plugin "Debian package protobuf-compiler-grpc-java-plugin"
    run --java_out="$out" --plugin=protoc-gen-grpc-java="$(command -v grpc_java_plugin)" --grpc-java_out="$out"
    ;;
  python)
    need grpc_python_plugin "Debian package protobuf-compiler-grpc"
    run --python_out="$out" --plugin=protoc-gen-grpc_python="$(command -v grpc_python_plugin)" --grpc_python_out="$out"
    ;;
  typescript)
    # The details of errors come along: no npm package has their types.
    plugin=$node/node_modules/.bin/protoc-gen-ts_proto
    need "$plugin" "npm install --prefix $node ts-proto, or let tests/run.sh install it"
    run --plugin="$plugin" --ts_proto_out="$out" \
      --ts_proto_opt=outputServices=grpc-js,esModuleInterop=true,forceLong=number,env=node google/rpc/status.proto
    ;;
  *) echo "stubs.sh: no such language: $language" >&2; exit 2 ;;
esac

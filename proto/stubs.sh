#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Client stubs of the public contract. usage: proto/stubs.sh go|java|python|typescript OUTDIR
# Needs protoc and the language's plugin: protoc-gen-go and protoc-gen-go-grpc, protobuf-compiler-grpc-java-plugin,
# protobuf-compiler-grpc (Debian packages), or ts-proto from npm in VG_NODE/node_modules.
set -euo pipefail
cd "$(dirname "$0")"
[ $# -eq 2 ] || { sed -n '3,5s/^# //p' "$0" >&2; exit 2; }
language=$1 out=$2
mkdir -p "$out"

# run PROTOC_ARGUMENT...
run() { protoc -I . "$@" videogate/v1/video.proto videogate/v1/admin.proto; }

case $language in
  go) run --go_out="$out" --go_opt=paths=source_relative --go-grpc_out="$out" --go-grpc_opt=paths=source_relative ;;
  java) run --java_out="$out" --plugin=protoc-gen-grpc-java="$(command -v grpc_java_plugin)" --grpc-java_out="$out" ;;
  python) run --python_out="$out" --plugin=protoc-gen-grpc_python="$(command -v grpc_python_plugin)" --grpc_python_out="$out" ;;
  typescript)
    # The details of errors come along: no npm package has their types.
    run --plugin="${VG_NODE:-../build/node}/node_modules/.bin/protoc-gen-ts_proto" --ts_proto_out="$out" \
      --ts_proto_opt=outputServices=grpc-js,esModuleInterop=true,forceLong=number,env=node google/rpc/status.proto
    ;;
  *) echo "stubs.sh: no such language: $language" >&2; exit 2 ;;
esac

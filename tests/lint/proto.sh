#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# buf lint on the contract. usage: proto.sh ROOT NODE_MODULES
set -euo pipefail
cd "$1/proto"
"$2/.bin/buf" lint
echo "buf lint: clean"

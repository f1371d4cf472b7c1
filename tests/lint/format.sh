#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# clang-format finds nothing to change. usage: format.sh ROOT
set -euo pipefail
cd "$1"
git ls-files -z -- '*.c' '*.h' | xargs -0 clang-format --dry-run -Werror
echo "clang-format: clean"

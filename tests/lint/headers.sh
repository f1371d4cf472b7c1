#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Each header compiles alone. usage: headers.sh ROOT BUILD
set -euo pipefail
cd "$1"
flags=$(pkg-config --cflags libpq openssl libnghttp2 libuv libavcodec libavformat libswscale freetype2)
count=0
for header in $(git ls-files -- 'common/*.h' 'db/*.h' 'service/*.h' 'bridge/*.h' 'workers/*.h' 'proto/*.h'); do
  # shellcheck disable=SC2086
  gcc -std=c11 -D_GNU_SOURCE -DVG_VERSION='"lint"' -fsyntax-only -Wall -Wextra -Werror -I. -isystem "$2/proto/gen" \
    -isystem /usr/share/include/llhttp $flags -include "$header" -x c /dev/null || { echo "$header does not compile alone"; exit 1; }
  count=$((count + 1))
done
echo "$count headers compile alone"

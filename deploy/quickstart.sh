#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# From nothing to a finished video on Debian 12: installs, builds, starts everything, sends one request, shows the result.
set -euo pipefail

usage() {
  cat <<'EOF'
usage: deploy/quickstart.sh [--once] [--dir DIR] [--port BASE]

  --once       stop everything after the first video (default: stay up until Ctrl-C)
  --dir DIR    where the stack lives (default: run/quickstart in the project)
  --port BASE  first of ten ports (default 8080)

Needs root or sudo for apt-get alone; nothing else outside the project's folder is touched.
EOF
}

root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
once='' dir=$root/run/quickstart base=8080
while [ $# -gt 0 ]; do
  case $1 in
    --once) once=1 && shift ;;
    --dir) dir=$(readlink -m "${2:?--dir needs a folder}") && shift 2 ;;
    --port) base=${2:?--port needs a number} && shift 2 ;;
    -h | --help) usage && exit 0 ;;
    *) usage >&2 && exit 2 ;;
  esac
done

stack() { "$root/deploy/stack.sh" "$1" --dir "$dir" --port "$base" --build "$root/build"; }
step() { printf '\n\033[1m%s\033[0m\n' "$*"; }
die() {
  echo "quickstart: $*" >&2
  exit 1
}

started=''
finish() {
  local status=$?
  trap - EXIT INT TERM
  if [ -n "$started" ]; then
    step 'Stopping everything'
    stack down || true
  fi
  exit $status
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# shellcheck source=deploy/packages.sh
. "$root/deploy/packages.sh"

step '1/5 Packages'
[ "$(. /etc/os-release && echo "$ID$VERSION_ID")" = debian12 ] || echo 'This is not Debian 12; going on, package names may differ.'
vg_install "${VG_PACKAGES_BUILD[@]}" "${VG_PACKAGES_RUN[@]}"
echo 'All here.'

step '2/5 Build'
cmake -S "$root" -B "$root/build" -G Ninja -DVG_TESTS=OFF >"$root/build.log" 2>&1 || { tail -n 15 "$root/build.log" >&2; die 'cmake failed'; }
if [ -t 1 ]; then
  ninja -C "$root/build" || die 'the build failed'
else
  ninja -C "$root/build" >"$root/build.log" 2>&1 || { tail -n 30 "$root/build.log" >&2; die 'the build failed'; }
fi
rm -f "$root/build.log"
echo "Programs in $root/build/bin"

step '3/5 Start'
export VIDEOGATE_RECEIVER_SECRET=quickstart-callback-secret
export VIDEOGATE_DEFAULT_CALLBACK_URL=http://127.0.0.1:$((base + 8))/quickstart
export VIDEOGATE_DEFAULT_CALLBACK_SECRET=$VIDEOGATE_RECEIVER_SECRET
started=1
stack up >/dev/null
stack status
# shellcheck disable=SC1091
. "$dir/env"
ctl() { VIDEOGATE_API_KEY=$VIDEOGATE_API_KEY "$root/build/bin/videogatectl" --service "$VIDEOGATE_GRPC" "$@"; }

step '4/5 Create a video'
cat <<EOF
curl -X POST "$VIDEOGATE_URL/v1/videos" \\
  -H "Authorization: Bearer \$VIDEOGATE_API_KEY" -H "Content-Type: application/json" \\
  -d '{ "prompt": "A cinematic drone shot flying through a neon-lit futuristic city at night", "seconds": 8 }'
EOF
answer=$(curl -sS -X POST "$VIDEOGATE_URL/v1/videos" -H "Authorization: Bearer $VIDEOGATE_API_KEY" -H "Content-Type: application/json" -d '{
    "prompt": "A cinematic drone shot flying through a neon-lit futuristic city at night",
    "seconds": 8
  }')
echo "$answer"
id=$(sed -n 's/^{"id":"\(video_[0-9a-f]*\)".*/\1/p' <<<"$answer")
[ -n "$id" ] || die 'the request was refused (see the answer above)'
ctl video watch "$id"

step '5/5 The result'
file=$dir/$id.mp4
ctl video download "$id" -o "$file"
ffprobe -v error -show_entries format=duration,size:stream=codec_type,codec_name,width,height -of compact=nokey=0:print_section=0 "$file" |
  sed 's/^/  /'
echo "MP4:      $file"
for _ in $(seq 100); do
  callback=$(grep -F "$id" "$VIDEOGATE_WEBHOOK_LOG" 2>/dev/null | tail -n 1) && break
  sleep 0.1
done
[ -n "${callback:-}" ] || die 'no callback came within 10 s'
python3 - "$callback" <<'EOF'
import json, sys
record = json.loads(sys.argv[1])
event = json.loads(record["body"])
print(f'Callback: {event["type"]} {record["headers"]["webhook-id"]}')
print(f'          {record["headers"]["webhook-signature"]}')
print(f'          signature {"verified" if record["verified"] else "DOES NOT HOLD"}')
sys.exit(0 if record["verified"] else 1)
EOF

if [ -z "$once" ]; then
  cat <<EOF

Everything is up. Try:

  . "$dir/env"
  curl -H "Authorization: Bearer \$VIDEOGATE_API_KEY" "\$VIDEOGATE_URL/v1/videos/$id"
  curl -H "Authorization: Bearer \$VIDEOGATE_API_KEY" "\$VIDEOGATE_URL/v1/videos/$id/content" -r 0-99 -o first-bytes
  VIDEOGATE_API_KEY=\$VIDEOGATE_API_KEY "$root/build/bin/videogatectl" --service "\$VIDEOGATE_GRPC" video create --prompt "A paper boat in the rain" --seconds 4 --wait
  "$root/deploy/stack.sh" status --dir "$dir"

Ctrl-C stops everything; jobs, keys and videos stay in $dir.
EOF
  while sleep 1; do
    [ -d "/proc/$(cat "$dir/pids/bridge.pid" 2>/dev/null || echo none)" ] || die 'the bridge has stopped'
  done
fi

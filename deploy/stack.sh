#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The whole of Videogate on this machine, for development, tests and benchmarks. See usage below.
set -euo pipefail

usage() {
  cat <<'EOF'
usage: deploy/stack.sh up|down|status|env [--dir DIR] [--port BASE] [--build DIR] [--simulators] [--events-url URL]

  up      starts whatever is not running: PostgreSQL, service, worker, webhook sender, bridge, callback receiver
  down    stops everything; jobs and keys stay in DIR
  status  one line per process; exit status 3 when something is not running
  env     prints DIR/env, shell assignments for callers

  --dir DIR    where the stack lives (default: run/ in the project); several stacks may live side by side
  --port BASE  first of ten ports (default: what DIR used last, else 8080):
               +0 HTTP  +1 HTTPS  +2 gRPC  +3 service monitor  +4 worker  +5 worker monitor
               +6 webhook sender  +7 its monitor  +8 callback receiver  (PostgreSQL: a socket in DIR, no port)
  --build DIR  where the programs are (default: build/ in the project)
  --simulators, or VIDEOGATE_SIMULATORS=1
               with up: also a simulator of every upstream (tests/simulators) and a worker for each, so that every model
               of the catalog is made without the internet; three further ports for each, from BASE+10
               (DIR/simulators/providers names them); they stay until down; webhooks of the simulators come to the bridge over TLS
  --events-url URL, or VIDEOGATE_EVENTS_URL
               with up: where providers reach the bridge with their webhooks (default with --simulators: this bridge; else: none)

Providers whose keys are in the environment (VIDEOGATE_KLING_KEYS, or VIDEOGATE_KLING_KEYS_FILE) get a worker each at ports from +10 on, and models are
routed to them instead of the sandbox; VIDEOGATE_KLING_BASE_URL is another address of the API. Not together with --simulators.

Any VIDEOGATE_* variable in the environment reaches the processes (see the configuration table in README.md).
EOF
}

root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
pgbin=/usr/lib/postgresql/15/bin
dir=$root/run base='' build=$root/build simulators=${VIDEOGATE_SIMULATORS:-} events=${VIDEOGATE_EVENTS_URL:-}

die() {
  echo "stack: $*" >&2
  exit 1
}

command=${1:-}
[ $# -gt 0 ] && shift
while [ $# -gt 0 ]; do
  case $1 in
    --dir) dir=${2:?--dir needs a folder} && shift 2 ;;
    --port) base=${2:?--port needs a number} && shift 2 ;;
    --simulators) simulators=1 && shift ;;
    --events-url) events=${2:?--events-url needs an address} && shift 2 ;;
    --build) build=${2:?--build needs a folder} && shift 2 ;;
    -h | --help) usage && exit 0 ;;
    *) usage >&2 && exit 2 ;;
  esac
done
case $command in
  up | down | status | env) ;;
  -h | --help | help) usage && exit 0 ;;
  *) usage >&2 && exit 2 ;;
esac
case $dir in /*) ;; *) dir=$PWD/$dir ;; esac
[ -n "$base" ] || base=$(cat "$dir/port" 2>/dev/null || echo 8080)
[[ $base =~ ^[0-9]+$ ]] && [ "$base" -ge 1024 ] && [ "$base" -le 65525 ] || die "--port takes 1024 to 65525, not '$base'"

bin=$build/bin
processes=(postgres receiver worker webhook service bridge)

# "NAME PORT" of each provider beside the sandbox; PORT + 1 and + 2 are its worker's.
providers() { cat "$dir/simulators/providers" "$dir/live/providers" 2>/dev/null || true; }

# The simulators and the providers' workers, if this stack has them.
others() {
  [ ! -d "$dir/simulators" ] || echo simulators
  providers | sed 's/ .*//; s/^/worker-/'
}

# --- one process ---

pid_of() { cat "$dir/pids/$1.pid" 2>/dev/null || true; }

# A pid file may outlive its process and the number be taken by another: the environment tells (PostgreSQL writes its
# title over its own). A zombie has neither environment nor exe left; it does not run.
running() {
  local pid
  pid=$(pid_of "$1")
  [ -n "$pid" ] && [ -d "/proc/$pid" ] || return 1
  if [ "$1" = postgres ]; then
    [ "$(readlink "/proc/$pid/exe")" = "$pgbin/postgres" ]
  else
    { tr '\0' '\n' <"/proc/$pid/environ" | grep -qx "VIDEOGATE_STACK_DIR=$dir"; } 2>/dev/null
  fi
}

port_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# start NAME PORT[,PORT] COMMAND...
start() {
  local name=$1 ports=$2 port
  shift 2
  running "$name" && return 0
  for port in ${ports//,/ }; do
    port_taken "$port" && die "port $port, which $name needs, is taken; choose another with --port"
  done
  VIDEOGATE_STACK_DIR=$dir setsid "$@" >>"$dir/log/$name.log" 2>&1 </dev/null &
  echo $! >"$dir/pids/$name.pid"
  settle "$name"
}

# Between fork and exec a process does not look like itself yet.
settle() {
  local left=100
  until running "$1" || [ ! -d "/proc/$(pid_of "$1")" ] || [ $((left -= 1)) -le 0 ]; do
    sleep 0.02
  done
}

# wait_ready NAME URL SECONDS
wait_ready() {
  local name=$1 url=$2 left=$((${3} * 10))
  until curl -fsS -o /dev/null --max-time 2 "$url" 2>/dev/null; do
    running "$name" || { tail -n 5 "$dir/log/$name.log" >&2; die "$name did not start (log: $dir/log/$name.log)"; }
    [ $((left -= 1)) -gt 0 ] || { curl -sS --max-time 2 "$url" >&2; die "$name is not ready (log: $dir/log/$name.log)"; }
    sleep 0.1
  done
}

stop() {
  local name=$1 signal=$2 pid left=400
  if running "$name"; then
    pid=$(pid_of "$name")
    kill "-$signal" "$pid" 2>/dev/null || true
    while [ -d "/proc/$pid" ] && running "$name"; do
      if [ $((left -= 1)) -le 0 ]; then
        echo "stack: $name did not stop in 40 s, killed" >&2
        kill -KILL "$pid" 2>/dev/null || true
        break
      fi
      sleep 0.1
    done
  fi
  rm -f "$dir/pids/$name.pid"
}

# --- PostgreSQL: private, socket only, never root ---

# The folder must be open to the user postgres when we are root, and short enough for a socket's name.
pg_home() {
  if [ ! -s "$dir/pg_home" ]; then
    local home=$dir/pg
    if [ ${#home} -gt 80 ] || { [ "$(id -u)" -eq 0 ] && ! setpriv --reuid=postgres --regid=postgres --clear-groups test -x "$dir"; }; then
      home=$(mktemp -d /var/tmp/videogate-XXXXXXXX)
    fi
    mkdir -p "$home"
    [ "$(id -u)" -ne 0 ] || chown postgres:postgres "$home"
    chmod 700 "$home"
    echo "$home" >"$dir/pg_home"
  fi
  cat "$dir/pg_home"
}

as_pg() {
  if [ "$(id -u)" -eq 0 ]; then
    (cd / && exec setpriv --reuid=postgres --regid=postgres --clear-groups "$@")
  else
    (cd / && exec "$@")
  fi
}

start_postgres() {
  local home
  [ -x "$pgbin/postgres" ] || die "PostgreSQL 15 is not installed (apt-get install postgresql-15)"
  home=$(pg_home)
  if [ ! -s "$home/data/PG_VERSION" ]; then
    as_pg rm -rf "$home/data.new" "$home/data"
    as_pg "$pgbin/initdb" -D "$home/data.new" -U videogate --auth=trust -E UTF8 --locale=C >"$dir/log/initdb.log" 2>&1 ||
      die "initdb failed (log: $dir/log/initdb.log)"
    as_pg mv "$home/data.new" "$home/data"
  fi
  if ! running postgres; then
    as_pg rm -f "$home/data/postmaster.pid"
    local user=()
    [ "$(id -u)" -ne 0 ] || user=(setpriv --reuid=postgres --regid=postgres --clear-groups)
    VIDEOGATE_STACK_DIR=$dir setsid env -C / "${user[@]}" "$pgbin/postgres" -D "$home/data" -c listen_addresses='' \
      -c unix_socket_directories="$home" -c unix_socket_permissions=0700 -c port=$((base + 9)) -c max_connections=100 \
      -c shared_buffers=128MB -c log_min_messages=warning >>"$dir/log/postgres.log" 2>&1 </dev/null &
    echo $! >"$dir/pids/postgres.pid"
    settle postgres
  fi
  local left=300
  until "$pgbin/pg_isready" -q -h "$home" -p $((base + 9)); do
    running postgres || { tail -n 5 "$dir/log/postgres.log" >&2; die "PostgreSQL did not start (log: $dir/log/postgres.log)"; }
    [ $((left -= 1)) -gt 0 ] || die "PostgreSQL is not ready (log: $dir/log/postgres.log)"
    sleep 0.1
  done
  psql_admin -c 'CREATE DATABASE videogate' 2>/dev/null || true
}

psql_admin() { "$pgbin/psql" -qAt -h "$(pg_home)" -p $((base + 9)) -U videogate -d postgres "$@"; }

# --- simulators and their workers ---

start_simulators() {
  local left=200 upstreams=$dir/simulators/providers
  [ "$base" -le 65400 ] || die "--simulators needs --port 65400 at most"
  mkdir -p "$dir/simulators"
  running simulators || rm -f "$upstreams"
  start simulators $((base + 10)) /usr/bin/python3 "$root/tests/simulators" --port $((base + 10)) --step 3 --write "$dir/simulators" \
    --hooks "${VIDEOGATE_SIMULATOR_HOOKS:-2}" --events-url "https://localhost:$((base + 1))" --hooks-ca "$dir/tls.crt"
  until [ -s "$upstreams" ]; do
    running simulators || { tail -n 5 "$dir/log/simulators.log" >&2; die "the simulators did not start (log: $dir/log/simulators.log)"; }
    [ $((left -= 1)) -gt 0 ] || die "the simulators are not ready (log: $dir/log/simulators.log)"
    sleep 0.1
  done
  local name port flags secret
  while read -r name port; do
    mapfile -t flags <"$dir/simulators/$name.flags"
    secret=VIDEOGATE_${name^^}_EVENT_SECRET_FILE
    [ ! -s "$dir/simulators/$name.event-secret" ] || export "${secret//-/_}=$dir/simulators/$name.event-secret"
    start "worker-$name" $((port + 1)),$((port + 2)) "$bin/videogate-worker" --provider "$name" --listen "127.0.0.1:$((port + 1))" \
      --monitor "127.0.0.1:$((port + 2))" --keys-file "$dir/simulators/$name.keys" --poll-interval "${VIDEOGATE_POLL_INTERVAL:-500ms}" \
      --result-allow-http true --result-allow-any-port true --result-allow-nets 127.0.0.0/8 "${flags[@]}"
  done <"$upstreams"
}

# --- workers of providers whose keys are in the environment ---

# Keys go into files for the workers alone, and out of the environment that every process gets.
take_keys() {
  local variable name port=$((base + 10))
  for variable in $(compgen -e | grep -E '^VIDEOGATE_[A-Z_]+_KEYS(_FILE)?$'); do
    name=${variable#VIDEOGATE_} name=${name%_FILE} name=${name%_KEYS} name=${name,,} name=${name//_/-}
    mkdir -p "$dir/live"
    if [[ $variable = *_FILE ]]; then
      ln -sfn "${!variable}" "$dir/live/$name.keys"
    else
      (umask 077 && printf '%s\n' "${!variable}" >"$dir/live/$name.keys")
    fi
    unset "$variable"
    grep -q "^$name " "$dir/live/providers" 2>/dev/null || echo "$name $((port + 3 * $(providers | wc -l)))" >>"$dir/live/providers"
  done
}

start_live() {
  local name port address
  while read -r name port; do
    address=VIDEOGATE_${name^^}_BASE_URL address=${address//-/_}
    start "worker-$name" $((port + 1)),$((port + 2)) "$bin/videogate-worker" --provider "$name" --listen "127.0.0.1:$((port + 1))" \
      --monitor "127.0.0.1:$((port + 2))" --keys-file "$dir/live/$name.keys" --base-url "${!address:-}"
  done <"$dir/live/providers"
}

# The value of the service's --workers.
worker_list() {
  printf 'sandbox=127.0.0.1:%s' $((base + 4))
  providers | while read -r name port; do printf ',%s=127.0.0.1:%s' "$name" $((port + 1)); done
}

# --- the stack ---

random_hex() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

write_secrets() {
  [ -s "$dir/secrets" ] && return 0
  (umask 077 && cat >"$dir/secrets.new" <<EOF
VIDEOGATE_ADMIN_KEY=$(random_hex)
VIDEOGATE_SECRET_KEY=$(random_hex)
EOF
  )
  mv "$dir/secrets.new" "$dir/secrets"
}

write_certificate() {
  [ -s "$dir/tls.crt" ] && return 0
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 825 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout "$dir/tls.key" -out "$dir/tls.crt" 2>/dev/null
  chmod 600 "$dir/tls.key"
}

write_env() {
  local key
  key=$(sed -n 's/^VIDEOGATE_API_KEY=//p' "$dir/env" 2>/dev/null || true)
  if [ -z "$key" ]; then
    key=$("$bin/videogatectl" --service "127.0.0.1:$((base + 2))" keys create --project default --name stack | sed -n 's/^secret //p')
    [ -n "$key" ] || die "could not create an API key"
  fi
  (umask 077 && cat >"$dir/env.new" <<EOF
VIDEOGATE_URL=http://127.0.0.1:$base
VIDEOGATE_TLS_URL=https://localhost:$((base + 1))
VIDEOGATE_TLS_CA=$dir/tls.crt
VIDEOGATE_GRPC=127.0.0.1:$((base + 2))
VIDEOGATE_API_KEY=$key
VIDEOGATE_ADMIN_KEY=$VIDEOGATE_ADMIN_KEY
VIDEOGATE_WEBHOOK_SINK=http://127.0.0.1:$((base + 8))
VIDEOGATE_WEBHOOK_LOG=$dir/log/callbacks.jsonl
DATABASE_URL='$DATABASE_URL'
EOF
  )
  mv "$dir/env.new" "$dir/env"
}

up() {
  local program url=http://127.0.0.1
  for program in videogate-bridge videogate-service videogate-worker videogate-webhook videogatectl; do
    [ -x "$bin/$program" ] || die "$bin/$program is missing; build first (deploy/quickstart.sh, or cmake -S . -B build -G Ninja && ninja -C build)"
  done
  mkdir -p "$dir"/{pids,log,blobs,sandbox}
  exec 9>"$dir/lock"
  flock -w 120 9 || die "another stack.sh works on $dir"
  local last
  last=$(cat "$dir/port" 2>/dev/null || echo "$base")
  if [ "$last" != "$base" ] && running bridge; then
    die "the stack in $dir runs on port $last; stop it first to move it"
  fi
  echo "$base" >"$dir/port"
  [ -n "$simulators" ] || take_keys
  write_secrets
  write_certificate
  set -a
  # shellcheck disable=SC1091
  . "$dir/secrets"
  set +a
  start_postgres 9>&-
  DATABASE_URL="postgresql://videogate@/videogate?host=$(pg_home)&port=$((base + 9))"
  export VIDEOGATE_DATABASE_URL=$DATABASE_URL
  "$bin/videogatectl" migrate >>"$dir/log/migrate.log" 2>&1 || { tail -n 5 "$dir/log/migrate.log" >&2; die "migrations failed"; }

  start receiver $((base + 8)) /usr/bin/python3 "$root/deploy/callback_receiver.py" --listen "127.0.0.1:$((base + 8))" \
    --log "$dir/log/callbacks.jsonl" --secret "${VIDEOGATE_RECEIVER_SECRET:-}" 9>&-
  start worker $((base + 4)),$((base + 5)) "$bin/videogate-worker" --provider sandbox --listen "127.0.0.1:$((base + 4))" \
    --monitor "127.0.0.1:$((base + 5))" --sandbox-dir "$dir/sandbox" 9>&-
  local route_all=${VIDEOGATE_ROUTE_ALL-sandbox} closed=${VIDEOGATE_ALLOW_CLOSED:-false}
  if [ -n "$simulators" ] || [ -d "$dir/simulators" ]; then
    start_simulators 9>&-
    route_all=${VIDEOGATE_ROUTE_ALL-} closed=true events=${events:-https://localhost:$((base + 1))}
  elif [ -s "$dir/live/providers" ]; then
    start_live 9>&-
    route_all=${VIDEOGATE_ROUTE_ALL-}
  fi
  start webhook $((base + 6)),$((base + 7)) "$bin/videogate-webhook" --listen "127.0.0.1:$((base + 6))" \
    --monitor "127.0.0.1:$((base + 7))" --allow-http true --allow-any-port true --allow-nets 127.0.0.0/8 9>&-
  start service $((base + 2)),$((base + 3)) "$bin/videogate-service" --listen "127.0.0.1:$((base + 2))" \
    --monitor "127.0.0.1:$((base + 3))" --blob-dir "$dir/blobs" --catalog "${VIDEOGATE_CATALOG:-$root/service/catalog.json}" \
    --workers "$(worker_list)" --webhook "127.0.0.1:$((base + 6))" --public-url "$url:$base" --events-url "$events" \
    --route-all "$route_all" --allow-closed "$closed" --callback-allow-http true --callback-allow-any-port true \
    --callback-allow-nets 127.0.0.0/8 9>&-
  start bridge "$base",$((base + 1)) "$bin/videogate-bridge" --listen "127.0.0.1:$base" --tls-listen "127.0.0.1:$((base + 1))" \
    --tls-cert "$dir/tls.crt" --tls-key "$dir/tls.key" --service "127.0.0.1:$((base + 2))" 9>&-
  wait_ready receiver "$url:$((base + 8))/readyz" 20
  wait_ready worker "$url:$((base + 5))/readyz" 60
  local name port
  while read -r name port; do
    wait_ready "worker-$name" "$url:$((port + 2))/readyz" 60
  done < <(providers)
  wait_ready webhook "$url:$((base + 7))/readyz" 60
  wait_ready service "$url:$((base + 3))/readyz" 60
  wait_ready bridge "$url:$base/readyz" 60
  write_env
  [ ! -t 1 ] || echo "videogate is up at $url:$base, gRPC at 127.0.0.1:$((base + 2)); a key: . $dir/env"
}

down() {
  local name others
  [ -d "$dir" ] || return 0
  others=$(others)
  stop bridge TERM
  stop service TERM
  for name in worker webhook receiver $others; do # all at once; then each is waited for
    ! running "$name" || kill -TERM "$(pid_of "$name")" 2>/dev/null || true
  done
  for name in worker webhook receiver $others; do
    stop "$name" TERM
  done
  rm -rf "$dir/simulators" "$dir/live"
  stop postgres INT
}

status() {
  local name missing=0
  for name in "${processes[@]}" $(others); do
    if running "$name"; then
      printf '%-10s running  pid %s\n' "$name" "$(pid_of "$name")"
    else
      printf '%-10s stopped\n' "$name"
      missing=3
    fi
  done
  return $missing
}

print_env() {
  [ -s "$dir/env" ] || die "no stack was started in $dir"
  cat "$dir/env"
}

case $command in
  up) up ;;
  down) down ;;
  status) status ;;
  env) print_env ;;
esac

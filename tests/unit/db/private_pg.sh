#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A private PostgreSQL for one test: private_pg.sh start|restart|stop|destroy DIR. Unix socket in DIR, port 5432, no TCP.
# As root the server runs as user postgres; otherwise as the caller. Prints the conninfo on start.
set -eu
action=$1
dir=$2
bin=${VG_PG_BIN:-/usr/lib/postgresql/15/bin}

as_server() {
    if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}
server_up() {
    as_server "$bin/pg_ctl" -s -w -t 60 -D "$dir/data" -l "$dir/log" start >/dev/null
}

case $action in
start)
    mkdir -p "$dir"
    chmod 755 "$dir"
    if [ "$(id -u)" = 0 ]; then chown postgres "$dir"; fi
    cd "$dir"
    as_server "$bin/initdb" -D "$dir/data" -U vg -A trust -E UTF8 --locale=C.UTF-8 -N >"$dir/initdb.log" 2>&1
    cat >>"$dir/data/postgresql.conf" <<CONF
listen_addresses = ''
unix_socket_directories = '$dir'
max_connections = 100
shared_buffers = 128MB
max_wal_size = 1GB
log_statement = none
log_min_duration_statement = 2000
CONF
    server_up
    ;;
restart) server_up ;;
stop) as_server "$bin/pg_ctl" -s -w -D "$dir/data" -m fast stop >/dev/null ;;
destroy)
    as_server "$bin/pg_ctl" -s -w -D "$dir/data" -m immediate stop >/dev/null 2>&1 || true
    rm -rf "$dir"
    ;;
*) echo "usage: $0 start|restart|stop|destroy DIR" >&2; exit 2 ;;
esac

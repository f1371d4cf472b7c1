#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# bench.sh DB_BENCH [SECONDS]: creates and reads per second through the combiner beside pgbench's single-row inserts,
# on one private cluster, in turn, twice. DB_BENCH is an optimised build of db_bench.
set -eu
bench=$1
seconds=${2:-5}
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d /tmp/vgbench-XXXXXX)
trap '"$here/private_pg.sh" destroy "$dir"' EXIT
"$here/private_pg.sh" start "$dir"
url="host=$dir user=vg dbname=postgres"
psql -X -q -d "$url" -c "CREATE TABLE single (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id bigint NOT NULL, model text NOT NULL, prompt text NOT NULL, spec bytea NOT NULL)"
chmod 755 "$dir"
cat >"$dir/insert.sql" <<'SQL'
INSERT INTO single (project_id, model, prompt, spec) VALUES (1, 'veo-3.1-generate-preview',
    'A lighthouse at dusk, waves, slow pan', '0123456789012345678901234567890123456789');
SQL
for round in 1 2; do
    for clients in 16 64; do
        printf 'pgbench single-row insert, %s clients: ' "$clients"
        /usr/lib/postgresql/15/bin/pgbench -h "$dir" -U vg -n -M prepared -c "$clients" -j 2 -T "$seconds" \
            -f "$dir/insert.sql" postgres 2>/dev/null | sed -n 's/^tps = \([0-9]*\).*/\1\/s/p'
    done
    for in_flight in 1 64 512 4096; do
        "$bench" "$url" create "$seconds" "$in_flight"
    done
    "$bench" "$url" create-key "$seconds" 4096
    "$bench" "$url" get "$seconds" 4096
done

-- SPDX-License-Identifier: Apache-2.0
-- Keys that carry their id are stored as an HMAC; when keys were last used. Nothing is rewritten: a row without a pepper
-- is a key of before, and stays good until it is rotated. A program of before takes those rows for its own and refuses the
-- new keys by their form.

ALTER TABLE api_keys ADD pepper integer; -- name of the pepper `hash` was made with; NULL: `hash` is a plain SHA-256

-- Beside api_keys, so that a use leaves no dead row where every key is looked up.
CREATE TABLE key_uses (
    key_id text COLLATE "C" PRIMARY KEY,
    last_used_at timestamptz NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 200);

-- SPDX-License-Identifier: Apache-2.0
-- What is true of the database as a whole. The identity goes with a dump: a restored database is the same one.

CREATE TABLE meta (
    name text COLLATE "C" PRIMARY KEY,
    value text NOT NULL
);
INSERT INTO meta (name, value) VALUES ('identity', gen_random_uuid()::text);

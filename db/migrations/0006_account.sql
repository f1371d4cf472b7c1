-- SPDX-License-Identifier: Apache-2.0
-- Projects and keys with limits, what a video costs, and what was used.

ALTER TABLE projects
    ADD archived_at timestamptz, -- since then its keys are refused
    ADD token bigint;            -- of the operation that made it: recognises its own retry
ALTER TABLE api_keys
    ADD expires_at timestamptz,          -- refused from then on
    ADD scopes text NOT NULL DEFAULT ''; -- names with a space between; empty: all

-- Limits of a project (key_id '') or of a key, and what counts against them. A row stands only where a limit is or was:
-- creates of keys and projects without one touch none of them. Rows are locked in order of the primary key, after videos.
CREATE TABLE accounts (
    project_id bigint NOT NULL,
    key_id text COLLATE "C" NOT NULL,
    month date NOT NULL DEFAULT date_trunc('month', now() AT TIME ZONE 'UTC')::date, -- that spent_micros speaks of
    requests_per_minute integer CHECK (requests_per_minute >= 1), -- NULL, as the next two: no limit
    max_active integer CHECK (max_active >= 1),
    max_spend_micros bigint CHECK (max_spend_micros >= 1), -- millionths of a US dollar, as all micros
    active bigint NOT NULL DEFAULT 0,          -- videos with the account's bit in `charged` that have not ended
    reserved_micros bigint NOT NULL DEFAULT 0, -- what these may cost
    spent_micros bigint NOT NULL DEFAULT 0,    -- what videos cost that ended in `month`
    PRIMARY KEY (project_id, key_id)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 200);

-- The price stands here from the create on, so that a later catalog changes nothing.
ALTER TABLE videos
    ADD output_micros bigint NOT NULL DEFAULT 0, -- price of one output
    ADD input_micros bigint NOT NULL DEFAULT 0,  -- price of the pictures given
    ADD made smallint NOT NULL DEFAULT 0,        -- outputs stored when it ended
    ADD charged smallint NOT NULL DEFAULT 0;     -- counted in accounts: 1 the key's, 2 the project's

-- What ended, by day (UTC): written by the transaction that ends a video, so a deleted one still counts. `slot` spreads
-- the rows over the sessions that write them; readers sum over it.
CREATE TABLE usage_days (
    project_id bigint NOT NULL,
    day date NOT NULL,
    key_id text COLLATE "C" NOT NULL,
    model text COLLATE "C" NOT NULL,
    slot smallint NOT NULL,
    videos bigint NOT NULL,
    completed bigint NOT NULL,
    seconds bigint NOT NULL,
    cost_micros bigint NOT NULL,
    PRIMARY KEY (project_id, day, key_id, model, slot)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 200);
CREATE INDEX usage_days_by_day ON usage_days (day);

-- Admits creates in the order given, each against what the ones before it left, and reserves what is admitted.
-- verdict 0: nothing to do, the video or its idempotency key stands already; 1: admitted, with `charged` for the video
-- and its idempotency record written; 2: too many videos at a time; 3: the month's spend is used up.
-- The accounts are locked first, then idempotency keys (the caller sorts by them): an earlier run of the same batch has
-- either ended, and is seen, or is waited for.
CREATE FUNCTION account_admit(ids text[], projects bigint[], keys text[], costs bigint[], ikeys text[],
    fingerprints bytea[], OUT id text, OUT verdict smallint, OUT charged smallint) RETURNS SETOF record
LANGUAGE plpgsql AS $$
DECLARE
    this_month date := date_trunc('month', now() AT TIME ZONE 'UTC')::date;
    acc accounts[];
    mine integer[];
    a accounts;
    j integer;
BEGIN
    SELECT array_agg(l.row_of) INTO acc FROM (SELECT x AS row_of FROM accounts x
        WHERE (x.project_id, x.key_id) IN (SELECT p, k FROM unnest(projects, keys) AS u(p, k)
            UNION SELECT p, '' FROM unnest(projects) AS w(p))
        ORDER BY x.project_id, x.key_id FOR UPDATE) l;
    FOR j IN 1 .. coalesce(array_length(acc, 1), 0) LOOP
        IF acc[j].month < this_month THEN
            acc[j].month := this_month;
            acc[j].spent_micros := 0;
        END IF;
    END LOOP;
    FOR i IN 1 .. array_length(ids, 1) LOOP
        id := ids[i];
        verdict := 1;
        charged := 0;
        mine := '{}';
        IF EXISTS (SELECT FROM videos v WHERE v.id = ids[i]) OR EXISTS (SELECT FROM idempotency d
            WHERE d.project_id = projects[i] AND d.key = ikeys[i]) THEN
            verdict := 0;
            RETURN NEXT;
            CONTINUE;
        END IF;
        FOR j IN 1 .. coalesce(array_length(acc, 1), 0) LOOP
            a := acc[j];
            CONTINUE WHEN a.project_id <> projects[i] OR a.key_id NOT IN ('', keys[i]);
            mine := mine || j;
            charged := charged | CASE a.key_id WHEN '' THEN 2 ELSE 1 END;
            IF a.spent_micros + a.reserved_micros + costs[i] > a.max_spend_micros THEN
                verdict := 3;
            ELSIF a.active >= a.max_active AND verdict = 1 THEN
                verdict := 2;
            END IF;
        END LOOP;
        IF verdict = 1 AND ikeys[i] IS NOT NULL THEN
            INSERT INTO idempotency (project_id, key, video_id, fingerprint)
                VALUES (projects[i], ikeys[i], ids[i], fingerprints[i]) ON CONFLICT DO NOTHING;
            IF NOT FOUND THEN -- a key without limits was faster
                verdict := 0;
            END IF;
        END IF;
        IF verdict = 1 THEN
            FOREACH j IN ARRAY mine LOOP
                acc[j].active := acc[j].active + 1;
                acc[j].reserved_micros := acc[j].reserved_micros + costs[i];
            END LOOP;
        END IF;
        RETURN NEXT;
    END LOOP;
    UPDATE accounts x SET month = n.month, active = n.active, reserved_micros = n.reserved_micros,
        spent_micros = n.spent_micros
        FROM unnest(acc) AS n WHERE x.project_id = n.project_id AND x.key_id = n.key_id
        AND (x.month, x.active, x.reserved_micros) IS DISTINCT FROM (n.month, n.active, n.reserved_micros);
END
$$;

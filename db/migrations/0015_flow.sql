-- SPDX-License-Identifier: Apache-2.0
-- How many rows of each project and provider wait or are under way, and from where their indexes are worth reading: so that
-- a claim counts nothing and steps over nothing that is dead, however long somebody holds a snapshot (db/generation_tally.h).
-- Both tables are unlogged: after a crash they are empty, and the next claim counts anew.

-- What each statement did to generations, per project and provider. Appended only, read from the high end of the index.
CREATE UNLOGGED TABLE flow (
    xid bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint,
    project_id bigint NOT NULL,
    provider text COLLATE "C" NOT NULL,
    pending bigint NOT NULL, -- more rows in state 1
    held bigint NOT NULL,    -- more rows that generations_held has
    due_min timestamptz,     -- the least due_at of rows that are pending now
    taken_min timestamptz,   -- of these, of the leased
    wake_min timestamptz     -- the least wake_at of rows that have not ended now
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX flow_by_xid ON flow (xid);

-- The sums of all that `snap` sees; the newest counts.
CREATE UNLOGGED TABLE tally (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    snap pg_snapshot NOT NULL DEFAULT pg_current_snapshot(),
    made_at timestamptz NOT NULL DEFAULT now(),
    counted_at timestamptz NOT NULL DEFAULT now(), -- when the rows themselves were last counted
    swept bigint NOT NULL,            -- flow has no row of an older transaction
    wake_floor timestamptz NOT NULL,  -- no row that has not ended has a wake_at below,
    taken_floor timestamptz NOT NULL, -- no pending leased one a due_at
    projects bigint[] NOT NULL,
    providers text[] COLLATE "C" NOT NULL,
    pending bigint[] NOT NULL,
    held bigint[] NOT NULL,
    floors timestamptz[] NOT NULL     -- no pending row of the pair has a due_at below; NULL: it has none
) WITH (fillfactor = 100, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 200);

-- A row that only had its lease renewed is in both tables alike, and cancels out.
CREATE FUNCTION flow_updated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO flow (project_id, provider, pending, held, due_min, taken_min, wake_min)
        SELECT c.project_id, c.provider, coalesce(sum(c.n) FILTER (WHERE c.state = 1), 0),
            coalesce(sum(c.n) FILTER (WHERE c.state > 1 OR c.leased), 0),
            min(c.due_at) FILTER (WHERE c.n > 0 AND c.state = 1),
            min(c.due_at) FILTER (WHERE c.n > 0 AND c.state = 1 AND c.leased),
            min(c.wake_at) FILTER (WHERE c.n > 0)
        FROM (SELECT b.id, b.project_id, b.provider, b.state, b.leased, b.due_at, b.wake_at, sum(b.n) AS n
            FROM (SELECT -1 AS n, o.id, o.project_id, o.provider, o.state, o.lease_owner IS NOT NULL AS leased,
                    o.due_at, o.wake_at FROM old_rows o WHERE o.state < 5
                UNION ALL SELECT 1, n.id, n.project_id, n.provider, n.state, n.lease_owner IS NOT NULL,
                    n.due_at, n.wake_at FROM new_rows n WHERE n.state < 5) b
            GROUP BY 1, 2, 3, 4, 5, 6, 7 HAVING sum(b.n) <> 0) c
        GROUP BY c.project_id, c.provider;
    RETURN NULL;
END
$$;

CREATE FUNCTION flow_inserted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO flow (project_id, provider, pending, held, due_min, taken_min, wake_min)
        SELECT n.project_id, n.provider, count(*) FILTER (WHERE n.state = 1),
            count(*) FILTER (WHERE n.state > 1 OR n.lease_owner IS NOT NULL),
            min(n.due_at) FILTER (WHERE n.state = 1),
            min(n.due_at) FILTER (WHERE n.state = 1 AND n.lease_owner IS NOT NULL), min(n.wake_at)
        FROM new_rows n WHERE n.state < 5 GROUP BY n.project_id, n.provider;
    RETURN NULL;
END
$$;

CREATE FUNCTION flow_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO flow (project_id, provider, pending, held)
        SELECT o.project_id, o.provider, -count(*) FILTER (WHERE o.state = 1),
            -count(*) FILTER (WHERE o.state > 1 OR o.lease_owner IS NOT NULL)
        FROM old_rows o WHERE o.state < 5 GROUP BY o.project_id, o.provider;
    RETURN NULL;
END
$$;

CREATE FUNCTION flow_truncated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM tally;
    RETURN NULL;
END
$$;

-- Each waits for the writers of the moment, a second at most at a time; once all stand, nothing is changed unseen.
CREATE TRIGGER flow_updated AFTER UPDATE ON generations REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION flow_updated();
CREATE TRIGGER flow_inserted AFTER INSERT ON generations REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION flow_inserted();
CREATE TRIGGER flow_deleted AFTER DELETE ON generations REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION flow_deleted();
-- Lock: nothing is truncated, it only says what to do then.
CREATE TRIGGER flow_truncated AFTER TRUNCATE ON generations FOR EACH STATEMENT EXECUTE FUNCTION flow_truncated();

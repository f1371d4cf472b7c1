-- SPDX-License-Identifier: Apache-2.0
-- For each receiver (deliveries.host_id) how many deliveries wait and are under way, and from where its index is worth reading:
-- as 0015 does for generations (db/delivery_tally.h). Unlogged: after a crash the next claim counts anew.

-- What each statement did to deliveries, per receiver. Appended only, read from the high end of the index.
CREATE UNLOGGED TABLE delivery_flow (
    xid bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint,
    host_id bigint NOT NULL,
    project_id bigint,       -- whose receiver it is; NULL: the video is gone
    waiting bigint NOT NULL, -- more rows that are pending and nobody's
    leased bigint NOT NULL,  -- more rows that are pending and leased
    due_min timestamptz,     -- the least due_at of rows that are pending now
    taken_min timestamptz    -- of these, of the leased
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX delivery_flow_by_xid ON delivery_flow (xid);

-- The sums of all that `snap` sees; the newest counts.
CREATE UNLOGGED TABLE delivery_tally (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    snap pg_snapshot NOT NULL DEFAULT pg_current_snapshot(),
    made_at timestamptz NOT NULL DEFAULT now(),
    counted_at timestamptz NOT NULL DEFAULT now(), -- when the rows themselves were last counted
    swept bigint NOT NULL,            -- delivery_flow has no row of an older transaction
    taken_floor timestamptz NOT NULL, -- no pending leased row has a due_at below
    hosts bigint[] NOT NULL,
    projects bigint[] NOT NULL,
    waiting bigint[] NOT NULL,
    leased bigint[] NOT NULL,
    floors timestamptz[] NOT NULL     -- no pending row of the receiver has a due_at below
) WITH (fillfactor = 100, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 200);

-- A receiver belongs to one project (its hash has the project in it): that of any of its videos.
CREATE FUNCTION delivery_flow_updated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO delivery_flow (host_id, project_id, waiting, leased, due_min, taken_min)
        SELECT h.host_id, (SELECT v.project_id FROM videos v WHERE v.id = h.video_id), h.waiting, h.leased, h.due_min, h.taken_min
        FROM (SELECT c.host_id, min(c.video_id) AS video_id, coalesce(sum(c.n) FILTER (WHERE NOT c.leased), 0) AS waiting,
                coalesce(sum(c.n) FILTER (WHERE c.leased), 0) AS leased,
                min(c.due_at) FILTER (WHERE c.n > 0) AS due_min, min(c.due_at) FILTER (WHERE c.n > 0 AND c.leased) AS taken_min
            FROM (SELECT b.id, b.host_id, b.video_id, b.leased, b.due_at, sum(b.n) AS n
                FROM (SELECT -1 AS n, o.id, o.host_id, o.video_id, o.leased, o.due_at FROM old_rows o WHERE o.state = 1
                    UNION ALL SELECT 1, n.id, n.host_id, n.video_id, n.leased, n.due_at FROM new_rows n WHERE n.state = 1) b
                GROUP BY 1, 2, 3, 4, 5 HAVING sum(b.n) <> 0) c
            GROUP BY c.host_id) h;
    RETURN NULL;
END
$$;

CREATE FUNCTION delivery_flow_inserted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO delivery_flow (host_id, project_id, waiting, leased, due_min, taken_min)
        SELECT h.host_id, (SELECT v.project_id FROM videos v WHERE v.id = h.video_id), h.waiting, h.leased, h.due_min, h.taken_min
        FROM (SELECT n.host_id, min(n.video_id) AS video_id, count(*) FILTER (WHERE NOT n.leased) AS waiting,
                count(*) FILTER (WHERE n.leased) AS leased, min(n.due_at) AS due_min, min(n.due_at) FILTER (WHERE n.leased) AS taken_min
            FROM new_rows n WHERE n.state = 1 GROUP BY n.host_id) h;
    RETURN NULL;
END
$$;

CREATE FUNCTION delivery_flow_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO delivery_flow (host_id, waiting, leased)
        SELECT o.host_id, -count(*) FILTER (WHERE NOT o.leased), -count(*) FILTER (WHERE o.leased)
        FROM old_rows o WHERE o.state = 1 GROUP BY o.host_id;
    RETURN NULL;
END
$$;

CREATE FUNCTION delivery_flow_truncated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM delivery_tally;
    RETURN NULL;
END
$$;

-- Each waits for the writers of the moment, a second at most at a time; once all stand, nothing is changed unseen.
CREATE TRIGGER delivery_flow_updated AFTER UPDATE ON deliveries REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION delivery_flow_updated();
CREATE TRIGGER delivery_flow_inserted AFTER INSERT ON deliveries REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION delivery_flow_inserted();
CREATE TRIGGER delivery_flow_deleted AFTER DELETE ON deliveries REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION delivery_flow_deleted();
-- Lock: nothing is truncated, it only says what to do then.
CREATE TRIGGER delivery_flow_truncated AFTER TRUNCATE ON deliveries FOR EACH STATEMENT EXECUTE FUNCTION delivery_flow_truncated();

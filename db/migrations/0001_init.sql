-- SPDX-License-Identifier: Apache-2.0
-- The whole first schema. State numbers are those of db/video_store.h, db/generation_store.h, db/delivery_store.h.
-- Identifiers compare bytewise (COLLATE "C"): they are ASCII, and UUIDv7 hex then sorts by time.

CREATE TABLE projects (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9_-]{1,64}$'),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE api_keys (
    id text COLLATE "C" PRIMARY KEY,
    project_id bigint NOT NULL REFERENCES projects,
    name text NOT NULL,
    hint text NOT NULL,
    hash bytea NOT NULL UNIQUE CHECK (octet_length(hash) = 32), -- SHA-256; the key's text is never stored
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);
CREATE INDEX api_keys_by_project ON api_keys (project_id, created_at);

-- What the caller sees. project_id has no foreign key: projects are never removed, and the key-share lock on one
-- project row would be the point where all creates of a project meet.
CREATE TABLE videos (
    id text COLLATE "C" PRIMARY KEY,
    project_id bigint NOT NULL,
    version bigint NOT NULL DEFAULT 1, -- +1 at each change that a reader can see
    created_at timestamptz NOT NULL DEFAULT now(),
    deadline_at timestamptz NOT NULL,
    completed_at timestamptz,
    expires_at timestamptz,
    cancel_requested_at timestamptz,
    deleted_at timestamptz,  -- hidden since; the row goes when files and deliveries are done
    delete_token bigint,     -- of the operation that deleted it: recognises its own retry
    width integer NOT NULL,
    height integer NOT NULL,
    seconds integer NOT NULL,
    status smallint NOT NULL DEFAULT 1 CHECK (status BETWEEN 1 AND 6),
    progress smallint NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 100),
    n smallint NOT NULL CHECK (n BETWEEN 1 AND 10),
    audio boolean NOT NULL,
    files_expired boolean NOT NULL DEFAULT false, -- retention has taken the files
    key_id text,
    model text NOT NULL,
    provider text COLLATE "C" NOT NULL, -- of the first route
    prompt text NOT NULL,
    remixed_from text,
    callback_url text,
    secret_sealed bytea,
    error_code text,
    error_message text,
    spec bytea NOT NULL, -- packed videogate.store.v1.JobSpec
    CHECK ((status >= 3) = (completed_at IS NOT NULL)),
    CHECK (deleted_at IS NULL OR status >= 3)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02);
CREATE INDEX videos_by_project ON videos (project_id, id) WHERE deleted_at IS NULL;
CREATE INDEX videos_expiring ON videos (expires_at) WHERE expires_at IS NOT NULL AND NOT files_expired;
CREATE INDEX videos_deleted ON videos (deleted_at) WHERE deleted_at IS NOT NULL;

CREATE TABLE idempotency (
    project_id bigint NOT NULL,
    key text COLLATE "C" NOT NULL CHECK (octet_length(key) BETWEEN 1 AND 1024),
    video_id text COLLATE "C" NOT NULL,
    fingerprint bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (project_id, key)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX idempotency_by_age ON idempotency (created_at);

-- One row per output: the queue. Narrow and HOT: a renewed lease touches no indexed column. video_id has no foreign
-- key: its check would lock (and so rewrite) the video row of each create, a fifth of the server's work; both rows come
-- from one statement, and one statement removes both.
CREATE TABLE generations (
    id bigint GENERATED ALWAYS AS IDENTITY (CACHE 32) PRIMARY KEY,
    project_id bigint NOT NULL,
    lease_seq bigint NOT NULL DEFAULT 0, -- fencing: +1 at each claim
    last_change bigint,  -- token of the last change: recognises a repeated change whose COMMIT answer was lost
    claim_token bigint,  -- token of the last claim, for the same reason
    created_at timestamptz NOT NULL DEFAULT now(),
    deadline_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL,  -- pending: may be claimed from then on, places permitting
    wake_at timestamptz NOT NULL, -- due whatever the places: work under way, cancel, deadline
    lease_until timestamptz,
    ended_at timestamptz,
    route integer NOT NULL DEFAULT 0,
    route_attempts integer NOT NULL DEFAULT 0,
    attempts integer NOT NULL DEFAULT 0,
    fetch_attempts integer NOT NULL DEFAULT 0,
    poll_errors integer NOT NULL DEFAULT 0,
    idx smallint NOT NULL CHECK (idx BETWEEN 0 AND 9),
    -- 1 pending, 2 submitting, 3 running, 4 fetching; terminal: 5 stored, 6 failed, 7 canceled, 8 expired, 9 unknown
    state smallint NOT NULL DEFAULT 1 CHECK (state BETWEEN 1 AND 9),
    progress smallint NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 100),
    cancel_requested boolean NOT NULL DEFAULT false,
    cancel_told boolean NOT NULL DEFAULT false, -- the holder of the lease knows of the cancel
    video_id text COLLATE "C" NOT NULL,
    provider text COLLATE "C" NOT NULL,
    lease_owner text, -- set while leased; not changed by a renewal
    upstream_id text,
    poll_state bytea,
    error_code text,
    error_message text,
    CHECK ((lease_owner IS NULL) = (lease_until IS NULL)),
    CHECK ((state >= 5) = (ended_at IS NOT NULL)),
    CHECK (state < 5 OR lease_owner IS NULL)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.005, autovacuum_vacuum_threshold = 500,
        autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0.02);
CREATE UNIQUE INDEX generations_by_video ON generations (video_id, idx);
CREATE INDEX generations_pending ON generations (project_id, provider, due_at) WHERE state = 1;
CREATE INDEX generations_wake ON generations (wake_at) WHERE state < 5;
CREATE INDEX generations_held ON generations (project_id, provider)
    WHERE state IN (2, 3, 4) OR (state = 1 AND lease_owner IS NOT NULL);
CREATE INDEX generations_ended ON generations (ended_at, state) WHERE state >= 5;

-- One row per submission to a provider.
CREATE TABLE attempts (
    generation_id bigint NOT NULL REFERENCES generations ON DELETE CASCADE,
    attempt integer NOT NULL,
    route integer NOT NULL,
    provider text COLLATE "C" NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    outcome smallint CHECK (outcome BETWEEN 1 AND 9), -- generation state it ended with
    reason text, -- for operators; never shown to callers
    PRIMARY KEY (generation_id, attempt)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

-- Files. Outputs of a generation in state stored, and the input pictures a video needs.
CREATE TABLE outputs (
    video_id text COLLATE "C" NOT NULL REFERENCES videos ON DELETE CASCADE,
    idx smallint NOT NULL,
    blob text COLLATE "C" NOT NULL,
    mime_type text NOT NULL,
    bytes bigint NOT NULL CHECK (bytes >= 0),
    sha256 text NOT NULL,
    retention_s bigint NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (video_id, idx)
);

CREATE TABLE inputs (
    video_id text COLLATE "C" NOT NULL REFERENCES videos ON DELETE CASCADE,
    blob text COLLATE "C" NOT NULL,
    PRIMARY KEY (video_id, blob)
);
CREATE INDEX inputs_by_blob ON inputs (blob);

-- Files to remove from the blob store; a row goes when its file is gone.
CREATE TABLE purges (
    blob text COLLATE "C" PRIMARY KEY,
    video_id text COLLATE "C" NOT NULL,
    due_at timestamptz NOT NULL
);
CREATE INDEX purges_due ON purges (due_at);
CREATE INDEX purges_by_video ON purges (video_id);

-- The outbox: one row per callback, inserted by the transaction that ends the video.
CREATE TABLE deliveries (
    id text COLLATE "C" PRIMARY KEY, -- webhook-id
    video_id text COLLATE "C" NOT NULL REFERENCES videos ON DELETE CASCADE,
    lease_seq bigint NOT NULL DEFAULT 0,
    last_change bigint,
    claim_token bigint,
    created_at timestamptz NOT NULL DEFAULT now(),
    due_at timestamptz NOT NULL DEFAULT now(), -- while leased: the end of the lease
    ended_at timestamptz,
    state smallint NOT NULL DEFAULT 1 CHECK (state BETWEEN 1 AND 4), -- 1 pending, 2 delivered, 3 failed, 4 gone
    leased boolean NOT NULL DEFAULT false,
    attempts integer NOT NULL DEFAULT 0,
    last_status integer NOT NULL DEFAULT 0,
    last_reason text NOT NULL DEFAULT '',
    host_id bigint NOT NULL, -- hash of scheme, name and port: the unit of the cap
    url text NOT NULL,
    secret_sealed bytea,
    body bytea, -- built once, before the first attempt
    CHECK ((state = 1) = (ended_at IS NULL))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500);
CREATE INDEX deliveries_by_video ON deliveries (video_id);
CREATE INDEX deliveries_pending ON deliveries (host_id, due_at) WHERE state = 1;
CREATE INDEX deliveries_leased ON deliveries (host_id) WHERE state = 1 AND leased;

CREATE TABLE delivery_attempts (
    delivery_id text COLLATE "C" NOT NULL REFERENCES deliveries ON DELETE CASCADE,
    lease_seq bigint NOT NULL,
    ended_at timestamptz NOT NULL DEFAULT now(),
    http_status integer NOT NULL,
    reason text NOT NULL,
    duration_ms bigint NOT NULL,
    PRIMARY KEY (delivery_id, lease_seq)
);

-- SPDX-License-Identifier: Apache-2.0
-- A project's webhook endpoints, their secrets, and the deliveries to them. deliveries.id stays the webhook-id:
-- evt_VIDEO for the video's own callback, evt_VIDEO_TAIL for an endpoint, TAIL being the last 16 digits of its id.

CREATE TABLE webhook_endpoints (
    id text COLLATE "C" PRIMARY KEY,
    project_id bigint NOT NULL,
    name text NOT NULL,
    url text NOT NULL,
    event_types text[] NOT NULL CHECK (cardinality(event_types) BETWEEN 1 AND 16),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    disabled_at timestamptz, -- it answered 410: it gets nothing until its next update
    deleted_at timestamptz   -- hidden since; the row stays for what was delivered to it
);
CREATE INDEX webhook_endpoints_by_project ON webhook_endpoints (project_id, id) WHERE deleted_at IS NULL;

-- All that still sign. A secret is sealed with its endpoint's id.
CREATE TABLE webhook_secrets (
    endpoint_id text COLLATE "C" NOT NULL REFERENCES webhook_endpoints ON DELETE CASCADE,
    id text COLLATE "C" NOT NULL,
    sealed bytea NOT NULL,
    hint text NOT NULL,
    ends_at timestamptz, -- NULL: the current one
    PRIMARY KEY (endpoint_id, id)
);

ALTER TABLE deliveries
    ADD COLUMN endpoint_id text COLLATE "C", -- NULL: the video's own callback
    ADD COLUMN event_type text;              -- NULL: from before this migration; by the video's status
CREATE INDEX deliveries_by_endpoint ON deliveries (endpoint_id, created_at, id) WHERE endpoint_id IS NOT NULL;
CREATE INDEX deliveries_endpoint_pending ON deliveries (endpoint_id) WHERE endpoint_id IS NOT NULL AND state = 1;

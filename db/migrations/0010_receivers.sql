-- SPDX-License-Identifier: Apache-2.0
-- Receivers of callbacks that fail, what they answered, keys for ed25519. Added columns are empty or constant: no table is rewritten.

-- A row stands only while a receiver (deliveries.host_id) fails: the first success removes it.
CREATE TABLE receivers (
    host_id bigint PRIMARY KEY,
    failed_at timestamptz NOT NULL DEFAULT now(),
    held_until timestamptz,     -- nothing is claimed for it before; once set, one delivery at a time until one succeeds
    failures integer NOT NULL,  -- in a row
    holds integer NOT NULL      -- in a row; each of our own is twice as long as the one before
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 200);

ALTER TABLE webhook_endpoints
    ADD failed_at timestamptz,     -- of the last failed attempt while none has succeeded since
    ADD failing_since timestamptz, -- the clock of the disabling: set by the second failure within a day
    ADD disabled_reason text;      -- gone (410), failing; NULL with disabled_at: from before this migration, gone
ALTER TABLE webhook_secrets
    ADD public_key text; -- whpk_...; NULL: the secret is symmetric
ALTER TABLE delivery_attempts
    ADD answer text; -- first characters of the answer's body

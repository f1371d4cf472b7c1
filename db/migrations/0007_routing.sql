-- SPDX-License-Identifier: Apache-2.0
-- What operators and callers see of a job's way through providers. Added columns are constant or empty: no table is
-- rewritten, and the index finds no row yet.

ALTER TABLE generations
    ADD submitted_at timestamptz,               -- from when on the present token may have reached the provider
    ADD stealth boolean NOT NULL DEFAULT false; -- the provider of the present route is not for callers
ALTER TABLE videos
    ADD attempts integer NOT NULL DEFAULT 0, -- submissions of all outputs
    ADD made_by text COLLATE "C";            -- the provider as callers see it; NULL: none yet, or hidden
ALTER TABLE attempts
    ADD upstream_id text; -- the provider's; stays when the job moves on

-- A Lookup asks which of a provider's jobs belong to others.
CREATE INDEX attempts_accepted ON attempts (provider, started_at) WHERE upstream_id IS NOT NULL;

-- Routes left without a submission: worker away, breaker open.
CREATE TABLE skips (
    generation_id bigint NOT NULL REFERENCES generations ON DELETE CASCADE,
    route integer NOT NULL,
    provider text COLLATE "C" NOT NULL,
    left_at timestamptz NOT NULL DEFAULT now(),
    reason text, -- for operators; never shown to callers
    PRIMARY KEY (generation_id, route)
);

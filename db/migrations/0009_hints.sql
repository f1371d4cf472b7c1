-- SPDX-License-Identifier: Apache-2.0
-- Webhooks of providers as hints: a generation is polled sooner.

ALTER TABLE generations
    ADD hint_at timestamptz, -- of the last poll that a hint asked for: the next one comes a second later at the earliest
    ADD hinted boolean NOT NULL DEFAULT false; -- a hint came while the row was leased: due again when it is released

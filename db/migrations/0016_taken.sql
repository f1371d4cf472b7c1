-- SPDX-License-Identifier: Apache-2.0
-- Pending rows that somebody took and did not come back for: those of the past are the ones that count no more.
-- Outside a transaction.
CREATE INDEX CONCURRENTLY IF NOT EXISTS generations_taken ON generations (due_at)
    WHERE state = 1 AND lease_owner IS NOT NULL;

-- SPDX-License-Identifier: Apache-2.0
-- Leased deliveries by the end of their lease: those of the past are the ones that wait again.
-- Outside a transaction.
CREATE INDEX CONCURRENTLY IF NOT EXISTS deliveries_taken ON deliveries (due_at) WHERE state = 1 AND leased;

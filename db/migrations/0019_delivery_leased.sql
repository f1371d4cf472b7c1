-- SPDX-License-Identifier: Apache-2.0
-- Nobody counts leased deliveries by receiver any more; programs from before find them by deliveries_pending.
-- Outside a transaction.
DROP INDEX CONCURRENTLY IF EXISTS deliveries_leased;

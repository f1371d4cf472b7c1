-- SPDX-License-Identifier: Apache-2.0
-- More room in each page for versions of its rows: renewals of leases stay HOT, most of them even while somebody holds a snapshot.
-- Pages from before stay as they are.

ALTER TABLE generations SET (fillfactor = 12);

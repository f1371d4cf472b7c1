/* SPDX-License-Identifier: Apache-2.0 */
/* SQL that the stores of deliveries share. Private to db/. */
#ifndef VG_DB_DELIVERY_SQL_H
#define VG_DB_DELIVERY_SQL_H

/* deliveries.host_id of an address: scheme, name and port. */
#define VG_DELIVERY_HOST(url)                                                                      \
    "hashtextextended(lower(coalesce(substring(" url " FROM '^[^:]+://[^/?#]*'), '')), 0)"

#endif

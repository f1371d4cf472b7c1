/* SPDX-License-Identifier: Apache-2.0 */
/* SQL that the stores of deliveries share. Private to db/. */
#ifndef VG_DB_DELIVERY_SQL_H
#define VG_DB_DELIVERY_SQL_H

/* deliveries.host_id: scheme, name and port of an address as one project reaches it, so that what
 * one project does there delays no other. */
#define VG_DELIVERY_HOST(url, project)                                                             \
    "hashtextextended(lower(coalesce(substring(" url " FROM '^[^:]+://[^/?#]*'), '')), " project ")"

#endif

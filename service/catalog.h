/* SPDX-License-Identifier: Apache-2.0 */
/* The catalog: public models and their routes as data (catalog.json), checked strictly when loaded,
 * immutable after. Any thread. */
#ifndef VG_SERVICE_CATALOG_H
#define VG_SERVICE_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

#define VG_CATALOG_MAX_MODELS 512
#define VG_CATALOG_MAX_ROUTES 8 /* per model */
#define VG_CATALOG_MAX_SIZES 64 /* per route */
#define VG_CATALOG_MAX_PRICES 16
#define VG_MAX_SECONDS 64           /* of one making */
#define VG_MAX_EXTENDED_SECONDS 120 /* with what it goes on from */
#define VG_MAX_REFERENCES 9         /* pictures; a route's own limit may be lower */
#define VG_MAX_LINKS 3              /* reference videos; as many sounds */

/* Lengths as a set: bit s-1 stands for s seconds, 1 to 64. */
typedef uint64_t vg_seconds_set;

struct vg_size {
    int32_t width, height; /* pixels, even, 16 to 8192 */
};

enum vg_audio_mode { VG_AUDIO_BOTH, VG_AUDIO_ON, VG_AUDIO_OFF, VG_AUDIO_MODE_MAX };
enum vg_need { VG_NEED_NONE, VG_NEED_OPTIONAL, VG_NEED_REQUIRED, VG_NEED_MAX };

/* Price of one second for sizes of a class, e.g. "720p", "4k_audio", "default". */
struct vg_price {
    const char *key;
    double usd;
};

/* What else than make a video of nothing: bits of vg_route.operations. */
enum vg_operation { VG_OPERATION_NONE = 0, VG_OPERATION_EDIT = 1, VG_OPERATION_EXTEND = 2 };

/* One provider that can make the model's videos. */
struct vg_route {
    const char *provider;
    const char *model; /* the provider's id */
    bool closed;       /* the provider no longer serves it */
    bool stealth;      /* its provider's name and texts are not for callers */
    struct vg_size *sizes;
    size_t size_count;
    vg_seconds_set seconds;
    vg_seconds_set seconds_with_image;      /* the same as `seconds` when the file says nothing */
    vg_seconds_set seconds_with_references; /* ditto */
    enum vg_audio_mode audio;
    enum vg_need image;
    bool last_frame;
    int32_t references_min, references_max; /* when references are given; max 0: none accepted */
    bool references_required;
    int32_t reference_videos_max, reference_audios_max; /* 0: none accepted */
    unsigned operations;                                /* enum vg_operation */
    struct vg_price *prices;
    size_t price_count;
    double price_per_image; /* USD for each picture given */
    int64_t deadline_s;     /* a job older than this is given up */
    int32_t max_attempts;
};

struct vg_model {
    const char *name;
    const char *owned_by;
    int64_t created; /* Unix seconds */
    bool closed;
    struct vg_size default_size;
    int32_t default_seconds;
    int32_t max_seconds; /* the longest any route makes */
    struct vg_route *routes;
    size_t route_count;
};

struct vg_catalog;

/* Reads the file; fails with VG_ERR_INVALID_REQUEST, the detail names file, place
 * ("models[3].routes[0].sizes[1]") and rule. */
VG_MUSTCHECK int vg_catalog_load(struct vg_catalog **out, const char *path, struct vg_err *err);
/* As above from memory; `name` stands for the file in messages. */
VG_MUSTCHECK int vg_catalog_parse(struct vg_catalog **out, const char *name, struct vg_view text,
                                  struct vg_err *err);
/* For a sole owner. NULL is fine. */
struct vg_catalog *vg_catalog_free(struct vg_catalog *catalog);
/* Several owners: the last one to let go frees it. Any thread; NULL is fine. */
struct vg_catalog *vg_catalog_ref(struct vg_catalog *catalog);
struct vg_catalog *vg_catalog_unref(struct vg_catalog *catalog);

/* Sorted by name. */
const struct vg_model *vg_catalog_models(const struct vg_catalog *catalog, size_t *out_count);
const struct vg_model *vg_catalog_find(const struct vg_catalog *catalog, const char *name,
                                       size_t len);
const struct vg_model *vg_catalog_default(const struct vg_catalog *catalog);

/* "WIDTHxHEIGHT", digits only, no leading zero, at most 5 digits each. */
bool vg_size_parse(struct vg_view text, struct vg_size *out);
bool vg_route_has_size(const struct vg_route *route, struct vg_size size);
bool vg_seconds_has(vg_seconds_set set, int64_t seconds);
/* "480p", "720p", "768p", "960p", "1080p", "hd", "4k" or "default", the class of a size in price
 * keys. */
const char *vg_size_class(struct vg_size size);
/* USD for one output, looking for CLASS_audio|CLASS_video, CLASS, default_audio|default_video,
 * default; -1: unknown. */
double vg_route_price(const struct vg_route *route, struct vg_size size, int32_t seconds,
                      bool audio);

#endif

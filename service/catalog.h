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
#include "service/catalog_extension.h"
#include "service/catalog_rule.h"
#include "service/image_rules.h"

#define VG_CATALOG_MAX_MODELS 512
#define VG_CATALOG_MAX_ROUTES 8 /* per model */
#define VG_CATALOG_MAX_SIZES 64 /* per route */
#define VG_CATALOG_MAX_ALIASES 16
#define VG_CATALOG_MAX_PRICES 16
#define VG_CATALOG_MAX_EXTRA 32
#define VG_MAX_EXTENDED_SECONDS 120 /* with what it goes on from */
#define VG_MAX_REFERENCES 9         /* pictures; a route's own limit may be lower */
#define VG_MAX_LINKS 3              /* reference videos; as many sounds */

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
    const char *model;     /* the provider's id */
    bool closed;           /* the provider no longer serves it */
    bool preview;          /* the provider may change or end it any day */
    const char *closed_on; /* "2026-09-24"; NULL: not known */
    bool stealth;          /* its provider's name and texts are not for callers */
    struct vg_size *sizes;
    size_t size_count;
    vg_seconds_set seconds;
    vg_seconds_set seconds_with_image;      /* the same as `seconds` when the file says nothing */
    vg_seconds_set seconds_with_references; /* ditto */
    struct vg_rule *rules;                  /* what narrows these further */
    size_t rule_count;
    enum vg_audio_mode audio;
    enum vg_need image;
    bool last_frame;
    int32_t references_min, references_max; /* when references are given; max 0: none accepted */
    bool references_required;
    int32_t reference_videos_max, reference_audios_max; /* 0: none accepted */
    unsigned operations;                                /* enum vg_operation */
    struct vg_extension extension;                      /* what narrows VG_OPERATION_EXTEND */
    struct vg_price *prices;
    size_t price_count;
    double price_per_image; /* USD for each picture given */
    struct vg_image_rules images;
    const char **extra; /* names of further parameters that it takes */
    size_t extra_count;
    int64_t deadline_s; /* a job older than this is given up */
    int32_t max_attempts;
};

struct vg_model {
    const char *name;
    const char *owned_by;
    int64_t created; /* Unix seconds */
    bool closed;
    const char *closed_on; /* NULL: not known */
    const char **aliases;  /* other names it goes by */
    size_t alias_count;
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

/* What a caller's "NAME" or "PROVIDER/NAME" means. Borrowed from the catalog. */
struct vg_catalog_pick {
    const struct vg_model *model;
    const char *provider; /* NULL: any */
    const char *upstream; /* its own id of the model, when NAME is that; NULL: any */
};

/* Sorted by name. */
const struct vg_model *vg_catalog_models(const struct vg_catalog *catalog, size_t *out_count);
/* By name or alias. */
const struct vg_model *vg_catalog_find(const struct vg_catalog *catalog, const char *name,
                                       size_t len);
/* NAME as above, or behind a provider the id that the model has there. False: nothing goes by it.
 */
bool vg_catalog_pick(const struct vg_catalog *catalog, const char *text,
                     struct vg_catalog_pick *out);
/* Whether a route of the model is meant. */
bool vg_catalog_picks(const struct vg_catalog_pick *pick, const struct vg_route *route);
const struct vg_model *vg_catalog_default(const struct vg_catalog *catalog);

bool vg_route_has_size(const struct vg_route *route, struct vg_size size);
bool vg_route_takes_extra(const struct vg_route *route, const char *name);
/* What is left of the lengths for such a request. */
vg_seconds_set vg_route_lengths(const struct vg_route *route, const struct vg_rule_case *of);
/* USD for one output, looking for CLASS_audio|CLASS_video, CLASS, default_audio|default_video,
 * default; -1: unknown. */
double vg_route_price(const struct vg_route *route, struct vg_size size, int32_t seconds,
                      bool audio);

#endif

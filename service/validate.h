/* SPDX-License-Identifier: Apache-2.0 */
/* CreateVideoRequest and catalog in, a resolved job or an error out. Pure: no I/O, no clock, any
 * thread.
 *
 * Every rule of the public create call stands here (reference/llm-gateway.md 1.3 to 1.7). What the
 * caller left out is chosen so that the first route that can make the rest is taken. */
#ifndef VG_SERVICE_VALIDATE_H
#define VG_SERVICE_VALIDATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/http/guard.h"
#include "common/mem.h"
#include "service/catalog.h"
#include "videogate/v1/video.pb-c.h"

#define VG_MAX_PROMPT_CHARS 32000
#define VG_MAX_OUTPUTS 10
#define VG_MAX_PICTURE_BYTES (20 << 20)
#define VG_MAX_REQUEST_ID_CHARS 255
#define VG_MAX_CALLBACK_URL 2048
#define VG_MAX_CALLBACK_SECRET 256

struct vg_health;

/* How a job's routes are ordered. */
enum vg_route_order { VG_ORDER_CATALOG, VG_ORDER_PRICE, VG_ORDER_HEALTH, VG_ORDER_MAX };

/* What the process is set up for. Everything borrowed. */
struct vg_validate_env {
    const struct vg_catalog *catalog;
    const struct vg_http_guard *callback_guard;
    const struct vg_http_guard *media_guard; /* of what providers are told to read */
    const char *const *providers;            /* those with a worker; NULL: all */
    size_t provider_count;
    const char *route_all_provider; /* NULL: off; else every route goes there ... */
    const char *route_all_model;    /* ... under this id, but for its own models */
    bool allow_closed; /* use routes marked closed (an engine of the operator's answers for them) */
    enum vg_route_order order;
    const struct vg_health *health;      /* NULL: nothing is known */
    int64_t max_deadline_s;              /* cap on a job's deadline; 0: the routes' own */
    const char *default_callback_url;    /* for a create that names no callback; NULL: none */
    const char *default_callback_secret; /* with the above */
};

struct vg_job_route {
    const char *provider;
    const char *model;
    int32_t max_attempts;
    bool stealth;
    const char *extra; /* what of the further parameters goes there, JSON; NULL: none */
    int64_t deadline_s;
    double price_usd; /* of all outputs, without pictures; -1: unknown */
    double input_usd; /* of the pictures */
};

/* The job as it will be recorded. Points into request, catalog, environment and arena. */
struct vg_job {
    const char *model;
    const char *pin;       /* provider asked for; NULL: none */
    const char *pin_model; /* its own id of the model, where the caller gave that; NULL: none */
    const char *prompt;
    int32_t width, height, seconds, n;
    bool audio;
    bool no_fallback;
    struct vg_job_route routes[VG_CATALOG_MAX_ROUTES]; /* at least one; one with no_fallback */
    size_t route_count;
    int64_t deadline_s;
    double price_usd; /* of all outputs on the first route; -1: unknown */
    const Videogate__V1__MediaInput *image;
    const Videogate__V1__MediaInput *last_frame;
    const Videogate__V1__MediaInput *references[VG_MAX_REFERENCES];
    size_t reference_count;
    const char *reference_param; /* the name they came under */
    char **reference_videos;     /* addresses; VG_MAX_LINKS at most */
    size_t reference_video_count;
    char **reference_audios;
    size_t reference_audio_count;
    const char *extra;           /* further parameters that any route takes, JSON; NULL: none */
    const char *callback_url;    /* normalised; NULL: none */
    const char *callback_secret; /* with the above */
    const char *request_id;      /* NULL: none */
};

/* Fails with VG_ERR_INVALID_REQUEST, VG_ERR_UNSUPPORTED, VG_ERR_GONE (every route closed); `param`
 * names the field. */
VG_MUSTCHECK int vg_validate_create(const struct vg_validate_env *env,
                                    const Videogate__V1__CreateVideoRequest *request,
                                    struct vg_arena *arena, struct vg_job *out, struct vg_err *err);
/* The same once its pictures are known: the routes that take them, or why there is none. */
struct vg_picture;
VG_MUSTCHECK int vg_validate_pictures(const struct vg_validate_env *env,
                                      const Videogate__V1__CreateVideoRequest *request,
                                      const struct vg_picture *pictures, size_t count,
                                      struct vg_arena *arena, struct vg_job *out,
                                      struct vg_err *err);
/* The rules of the two fields that RemixVideo shares with CreateVideo. `request_id` may be NULL. */
VG_MUSTCHECK int vg_validate_prompt(const char *prompt, struct vg_err *err);
VG_MUSTCHECK int vg_validate_request_id(const char *request_id, struct vg_err *err);
/* Sets both callback members of `out`, the second borrowed from `secret`; with neither given (NULL)
 * to the default's. */
VG_MUSTCHECK int vg_validate_callback(const struct vg_validate_env *env, const char *url,
                                      const char *secret, struct vg_arena *arena,
                                      struct vg_job *out, struct vg_err *err);

/* What is asked of an edit or an extension. */
struct vg_derive_ask {
    enum vg_operation operation;
    const char *model; /* "provider/model"; NULL: the default one */
    int32_t seconds;   /* to be added; 0: the model's default; edits: 0 */
    struct vg_size source_size;
    int32_t source_seconds;
    bool has_audio; /* else as the route likes */
    bool audio;
    struct vg_extension_source source;
};
/* Fills what of the job follows from it. Fails as vg_validate_create. */
VG_MUSTCHECK int vg_validate_derive(const struct vg_validate_env *env,
                                    const struct vg_derive_ask *ask, struct vg_job *job,
                                    struct vg_err *err);

/* Whether any route of the model is open in this set-up. */
bool vg_model_open(const struct vg_validate_env *env, const struct vg_model *model);
/* What is said of one that is not: VG_ERR_GONE. */
int vg_model_gone(const struct vg_catalog_pick *pick, struct vg_err *err);
/* Whether any route of the model could be taken in this set-up (open, with a worker): what
 * ListModels shows. */
bool vg_model_offered(const struct vg_validate_env *env, const struct vg_model *model);

/* The secret as it stands in fingerprints: hex of its HMAC under `secret_key`, so that the stored
 * value tells nothing about it. */
#define VG_SECRET_MAC_SIZE 65
void vg_secret_mac(char out[VG_SECRET_MAC_SIZE], const uint8_t secret_key[32], const char *secret);

/* SHA-256 over the packed, normalised job: pictures by the hash of their bytes, the callback secret
 * by its HMAC under `secret_key`, so that the stored value tells nothing about it. */
void vg_job_fingerprint(const struct vg_job *job, const uint8_t secret_key[32], uint8_t out[32]);

#endif

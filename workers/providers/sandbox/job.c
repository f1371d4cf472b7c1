/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/sandbox/job.h"

#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/json_writer.h"
#include "common/mem.h"
#include "common/str.h"

static const char *const state_names[VG_SANDBOX_STATE_MAX] = {"accepted", "finished", "failed",
                                                              "canceled"};

bool vg_sandbox_may(enum vg_sandbox_state from, enum vg_sandbox_state to)
{
    if (from == VG_SANDBOX_ACCEPTED)
        return to != VG_SANDBOX_ACCEPTED;
    return from == VG_SANDBOX_FINISHED && to == VG_SANDBOX_CANCELED;
}

struct vg_sandbox_job *vg_sandbox_job_new(void)
{
    return vg_xalloc(sizeof(struct vg_sandbox_job));
}

struct vg_sandbox_job *vg_sandbox_job_free(struct vg_sandbox_job *job)
{
    if (job) {
        free(job->token);
        free(job->model);
        free(job->prompt);
    }
    free(job);
    return NULL;
}

/* Printable ASCII without spaces: these words stand in submissions.log. */
static bool is_word(const char *s, size_t max)
{
    size_t len = s ? strnlen(s, max + 1) : 0;
    if (len < 1 || len > max)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (s[i] < 0x21 || s[i] > 0x7e)
            return false;
    }
    return true;
}

static int check_numbers(const struct vg_sandbox_job *job, struct vg_err *err)
{
    const struct {
        const char *name;
        int32_t value, min, max;
        bool even;
    } rules[] = {{"width", job->width, VG_SANDBOX_MIN_SIDE, VG_SANDBOX_MAX_SIDE, true},
                 {"height", job->height, VG_SANDBOX_MIN_SIDE, VG_SANDBOX_MAX_SIDE, true},
                 {"seconds", job->seconds, 1, VG_SANDBOX_MAX_SECONDS, false},
                 {"index", job->index, 0, 1000, false}};
    for (size_t i = 0; i < VG_COUNT(rules); i++) {
        if (rules[i].value < rules[i].min || rules[i].value > rules[i].max)
            return vg_err_param(err, VG_ERR_INVALID_REQUEST, rules[i].name,
                                "%s: must be between %d and %d.", rules[i].name, rules[i].min,
                                rules[i].max);
        if (rules[i].even && rules[i].value % 2 != 0)
            return vg_err_param(err, VG_ERR_INVALID_REQUEST, rules[i].name, "%s: must be even.",
                                rules[i].name);
    }
    return 0;
}

int vg_sandbox_job_check(const struct vg_sandbox_job *job, struct vg_err *err)
{
    if (!is_word(job->token, VG_SANDBOX_MAX_TOKEN))
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "token",
                            "token: must be 1 to %d printable characters without spaces.",
                            VG_SANDBOX_MAX_TOKEN);
    if (!is_word(job->model, VG_SANDBOX_MAX_MODEL))
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "model",
                            "model: must be 1 to %d printable characters without spaces.",
                            VG_SANDBOX_MAX_MODEL);
    size_t len = job->prompt ? strnlen(job->prompt, VG_SANDBOX_MAX_PROMPT + 1) : 0;
    if (job->prompt && (len > VG_SANDBOX_MAX_PROMPT || !vg_utf8_valid(job->prompt, len)))
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "prompt",
                            "prompt: must be UTF-8 of at most 128 KiB.");
    return check_numbers(job, err);
}

static void put_number(struct vg_json_writer *w, const char *key, int64_t value)
{
    vg_json_put_key(w, key);
    vg_json_put_int(w, value);
}

static void put_string(struct vg_json_writer *w, const char *key, const char *value)
{
    vg_json_put_key(w, key);
    vg_json_put_text(w, value);
}

static void put_flag(struct vg_json_writer *w, const char *key, bool value)
{
    vg_json_put_key(w, key);
    vg_json_put_bool(w, value);
}

void vg_sandbox_write_submit(struct vg_buf *out, const struct vg_sandbox_job *job)
{
    struct vg_json_writer w;
    vg_json_begin(&w, out);
    vg_json_object_open(&w);
    put_string(&w, "id", job->id);
    put_string(&w, "token", job->token);
    put_string(&w, "model", job->model);
    put_number(&w, "created_ms", job->created_ms);
    put_number(&w, "width", job->width);
    put_number(&w, "height", job->height);
    put_number(&w, "seconds", job->seconds);
    put_number(&w, "index", job->index);
    put_flag(&w, "audio", job->audio);
    put_flag(&w, "inputs", job->has_inputs);
    if (job->prompt)
        put_string(&w, "prompt", job->prompt);
    vg_json_object_close(&w);
    (void)vg_buf_addc(out, '\n'); /* overflow is seen in the buffer */
}

void vg_sandbox_write_end(struct vg_buf *out, const char *id, enum vg_sandbox_state state,
                          int64_t bytes, const char *sha256)
{
    struct vg_json_writer w;
    vg_json_begin(&w, out);
    vg_json_object_open(&w);
    put_string(&w, "id", id);
    put_string(&w, "end", state_names[state]);
    put_number(&w, "bytes", bytes);
    put_string(&w, "sha256", sha256);
    vg_json_object_close(&w);
    (void)vg_buf_addc(out, '\n'); /* overflow is seen in the buffer */
}

static char *get_text(const struct vg_json *object, const char *key)
{
    const char *s = vg_json_string(vg_json_get(object, key));
    return s ? vg_xstrdup(s) : NULL;
}

static int64_t get_number(const struct vg_json *object, const char *key)
{
    int64_t value = -1;
    const struct vg_json *member = vg_json_get(object, key);
    return member && vg_json_int(member, &value) ? value : -1;
}

static int32_t get_small(const struct vg_json *object, const char *key)
{
    int64_t value = get_number(object, key);
    return value < 0 || value > INT32_MAX ? -1 : (int32_t)value;
}

static bool get_flag(const struct vg_json *object, const char *key)
{
    const struct vg_json *member = vg_json_get(object, key);
    return member && vg_json_bool(member);
}

static int parse_submit(struct vg_sandbox_line *out, const struct vg_json *root, struct vg_err *err)
{
    struct vg_sandbox_job *job = vg_sandbox_job_new();
    memcpy(job->id, out->id, sizeof(job->id));
    job->token = get_text(root, "token");
    job->model = get_text(root, "model");
    job->prompt = get_text(root, "prompt");
    job->created_ms = get_number(root, "created_ms");
    job->width = get_small(root, "width");
    job->height = get_small(root, "height");
    job->seconds = get_small(root, "seconds");
    job->index = get_small(root, "index");
    job->audio = get_flag(root, "audio");
    job->has_inputs = get_flag(root, "inputs");
    if (vg_sandbox_job_check(job, err) || job->created_ms < 0) {
        vg_sandbox_job_free(job);
        return vg_err_set(err, VG_ERR_INTERNAL, "A journal line does not describe a job.");
    }
    out->job = job;
    return 0;
}

static bool is_sha256(const char *s)
{
    return strlen(s) == 64 && strspn(s, "0123456789abcdef") == 64;
}

static int parse_end(struct vg_sandbox_line *out, const struct vg_json *root, const char *end,
                     struct vg_err *err)
{
    const char *sha256 = vg_json_string(vg_json_get(root, "sha256"));
    int state = VG_SANDBOX_FINISHED;
    while (state < VG_SANDBOX_STATE_MAX && strcmp(state_names[state], end) != 0)
        state++;
    out->state = (enum vg_sandbox_state)state;
    out->bytes = get_number(root, "bytes");
    if (state == VG_SANDBOX_STATE_MAX || out->bytes < 0 || !sha256 ||
        (*sha256 && !is_sha256(sha256)))
        return vg_err_set(err, VG_ERR_INTERNAL, "A journal line does not describe an end.");
    (void)vg_strcpy(out->sha256, sizeof(out->sha256), sha256); /* its length was checked */
    return 0;
}

int vg_sandbox_parse_line(struct vg_sandbox_line *out, struct vg_view line, struct vg_err *err)
{
    struct vg_json *root;
    if (vg_json_parse(&root, line, err))
        return -1;
    memset(out, 0, sizeof(*out));
    const char *id = vg_json_string(vg_json_get(root, "id"));
    const char *end = vg_json_string(vg_json_get(root, "end"));
    int rc;
    if (!id || !vg_id_valid(id, strlen(id), "sbx")) {
        rc = vg_err_set(err, VG_ERR_INTERNAL, "A journal line has no id.");
    } else {
        (void)vg_strcpy(out->id, sizeof(out->id), id); /* its length was checked */
        rc = end ? parse_end(out, root, end, err) : parse_submit(out, root, err);
    }
    vg_json_free(root);
    return rc;
}

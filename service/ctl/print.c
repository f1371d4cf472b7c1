/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "common/buf.h"
#include "common/json.h"
#include "common/json_pb.h"
#include "common/json_writer.h"
#include "common/mem.h"
#include "service/ctl/ctl.h"

#define TEXT_MAX (64u << 20)
#define PATH_MAX_LEN 256

/* Text is made from the JSON form, so that both show the same fields under the same names. */
struct printer {
    struct vg_buf *out;    /* borrowed */
    const char *separator; /* between key and value */
    const char *end;       /* behind each pair */
    bool quote;            /* values with blanks get quotes */
};

static void put_escaped(struct vg_buf *out, const char *text, bool quote)
{
    bool quoted = quote && (!*text || strpbrk(text, " =\"") != NULL);
    if (quoted)
        (void)vg_buf_addc(out, '"');
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            (void)vg_buf_addf(out, "\\x%02x", (unsigned)(unsigned char)*text);
        else if (*text == '\\' || (quoted && *text == '"'))
            (void)vg_buf_addf(out, "\\%c", *text);
        else
            (void)vg_buf_addc(out, *text);
    }
    if (quoted)
        (void)vg_buf_addc(out, '"');
}

static void put_scalar(const struct printer *p, const char *path, const struct vg_json *value)
{
    int64_t number;
    (void)vg_buf_addf(p->out, "%s%s", path, p->separator);
    switch (vg_json_type(value)) {
    case VG_JSON_STRING:
        put_escaped(p->out, vg_json_string(value), p->quote);
        break;
    case VG_JSON_BOOL:
        (void)vg_buf_adds(p->out, vg_json_bool(value) ? "true" : "false");
        break;
    default:
        if (vg_json_int(value, &number))
            (void)vg_buf_addf(p->out, "%lld", (long long)number);
        else
            (void)vg_buf_addf(p->out, "%g", vg_json_number(value));
    }
    (void)vg_buf_adds(p->out, p->end);
}

static void put_value(const struct printer *p, const char *path, const struct vg_json *value);

static void put_container(const struct printer *p, const char *path, const struct vg_json *value)
{
    size_t index = 0;
    for (const struct vg_json *at = vg_json_first(value); at; at = vg_json_next(at)) {
        char deeper[PATH_MAX_LEN];
        const char *dot = *path ? "." : "";
        if (vg_json_type(value) == VG_JSON_OBJECT)
            (void)snprintf(deeper, sizeof deeper, "%s%s%s", path, dot, vg_json_key(at));
        else
            (void)snprintf(deeper, sizeof deeper, "%s%s%zu", path, dot, index++);
        put_value(p, deeper, at);
    }
}

static void put_value(const struct printer *p, const char *path, const struct vg_json *value)
{
    enum vg_json_type type = vg_json_type(value);
    if (type == VG_JSON_OBJECT || type == VG_JSON_ARRAY)
        put_container(p, path, value); /* as deep as the message: a few levels */
    else if (type != VG_JSON_NULL && strcmp(path, "object") != 0)
        put_scalar(p, path, value);
}

static void put_json(struct vg_buf *out, const ProtobufCMessage *message)
{
    struct vg_json_writer writer;
    vg_json_begin(&writer, out);
    vg_pb_to_json(message, vg_api_shape(), &writer);
}

static void put_message(const struct printer *p, const ProtobufCMessage *message)
{
    struct vg_buf text;
    struct vg_json *root;
    vg_buf_init(&text, TEXT_MAX);
    put_json(&text, message);
    if (vg_json_parse(&root, vg_buf_view(&text), NULL) == 0) {
        put_value(p, "", root);
        vg_json_free(root);
    }
    vg_buf_fini(&text);
}

static void flush(struct vg_buf *out)
{
    struct vg_view text = vg_buf_view(out);
    (void)fwrite(text.data, 1, text.len, stdout); /* main looks at ferror */
    (void)fflush(stdout);
    vg_buf_fini(out);
}

void vg_ctl_print(const struct vg_ctl *ctl, const ProtobufCMessage *message)
{
    struct vg_buf out;
    vg_buf_init(&out, TEXT_MAX);
    if (ctl->json) {
        put_json(&out, message);
        (void)vg_buf_addc(&out, '\n');
    } else {
        put_message(&(struct printer){.out = &out, .separator = " ", .end = "\n"}, message);
    }
    flush(&out);
}

void vg_ctl_print_list(const struct vg_ctl *ctl, const ProtobufCMessage *response, size_t count,
                       void *messages)
{
    ProtobufCMessage *const *items = messages;
    struct vg_buf out;
    vg_buf_init(&out, TEXT_MAX);
    if (ctl->json) {
        put_json(&out, response);
        (void)vg_buf_addc(&out, '\n');
    }
    for (size_t i = 0; !ctl->json && i < count; i++) {
        const struct printer printer = {.out = &out, .separator = "=", .end = " ", .quote = true};
        put_message(&printer, items[i]);
        if (out.len) /* the blank behind the last pair */
            out.data[out.len - 1] = '\n';
    }
    flush(&out);
}

void vg_ctl_print_pair(const char *key, const char *value)
{
    struct vg_buf out;
    vg_buf_init(&out, TEXT_MAX);
    (void)vg_buf_addf(&out, "%s ", key);
    put_escaped(&out, value, false);
    (void)vg_buf_addc(&out, '\n');
    flush(&out);
}

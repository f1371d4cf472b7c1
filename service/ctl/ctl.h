/* SPDX-License-Identifier: Apache-2.0 */
/* videogatectl: one command per run, a gRPC client of the service (and of PostgreSQL for migrate).
 * One thread; the calls of this folder block until their answer is there. */
#ifndef VG_SERVICE_CTL_CTL_H
#define VG_SERVICE_CTL_CTL_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define VG_CTL_ARGS_MAX 2
#define VG_CTL_LIST_MAX 16

/* What holds for every command; from flags and environment. */
struct vg_ctl_config {
    char *service;      /* owned, as all of them; "127.0.0.1:8082" */
    char *api_key;      /* secret; NULL: none */
    char *admin_key;    /* secret; NULL: none */
    char *database_url; /* secret; NULL: none */
    char *tls_ca;       /* PEM roots; NULL: no TLS */
    char *tls_cert;     /* PEM; NULL: no client certificate */
    char *tls_key;
};

enum vg_ctl_option_type {
    VG_CTL_TEXT, /* const char *; NULL: not given */
    VG_CTL_INT,  /* struct vg_ctl_int */
    VG_CTL_FLAG, /* bool; takes no value */
    VG_CTL_LIST, /* struct vg_ctl_list; may be given several times */
};

struct vg_ctl_int {
    bool set;
    int64_t value;
};

struct vg_ctl_list {
    const char *items[VG_CTL_LIST_MAX]; /* borrowed from argv */
    size_t count;
};

struct vg_ctl_option {
    const char *name; /* "prompt" gives --prompt; a single letter gives -o */
    enum vg_ctl_option_type type;
    size_t offset;     /* into the command's options */
    const char *value; /* what stands for the value in --help; NULL for flags */
    const char *help;
    int64_t min, max; /* for numbers */
    bool required;
};

struct vg_ctl;

struct vg_ctl_command {
    const char *words;     /* "video create" */
    const char *arguments; /* "ID" in --help; "" none */
    const char *summary;
    size_t arg_count; /* exactly */
    const struct vg_ctl_option *options;
    size_t option_count;
    size_t options_size; /* of the struct that `options` point into */
    /* Returns 0, or -1 with ctl->err filled. */
    int (*run)(struct vg_ctl *ctl);
};

struct vg_rpc_channel;

struct vg_ctl {
    struct vg_ctl_config config;
    bool json;
    const struct vg_ctl_command *command; /* borrowed */
    const char *args[VG_CTL_ARGS_MAX];    /* borrowed from argv */
    void *options;                        /* owned; the command's struct, zeroed before parsing */
    struct vg_rpc_channel *channel;       /* owned; NULL until the first call */
    struct vg_err err;
};

/* Reads everything behind the program's name. 0: go on; 1: help or version was printed; -1: wrong
 * usage, ctl->err. */
VG_MUSTCHECK int vg_ctl_parse(struct vg_ctl *ctl, int argc, char **argv, char **envp);
void vg_ctl_fini(struct vg_ctl *ctl);

struct vg_ctl_rpc {
    const char *method; /* a literal */
    const ProtobufCMessageDescriptor *response_type;
    bool admin; /* sends the admin key instead of the API key */
};

/* One unary call. The response is the caller's (vg_ctl_message_free). */
VG_MUSTCHECK int vg_ctl_call(struct vg_ctl *ctl, const struct vg_ctl_rpc *rpc,
                             const ProtobufCMessage *request, ProtobufCMessage **out_response);
void *vg_ctl_message_free(void *message);

/* A server stream, read one message after the other. */
struct vg_ctl_stream;
VG_MUSTCHECK int vg_ctl_stream_open(struct vg_ctl *ctl, const struct vg_ctl_rpc *rpc,
                                    const ProtobufCMessage *request, struct vg_ctl_stream **out);
/* 1 and a message (the caller's), 0 at the end, -1 with ctl->err. Waits at most `idle_ms` for it,
 * else VG_ERR_DEADLINE. */
VG_MUSTCHECK int vg_ctl_stream_read(struct vg_ctl *ctl, struct vg_ctl_stream *stream,
                                    int64_t idle_ms, ProtobufCMessage **out);
struct vg_ctl_stream *vg_ctl_stream_close(struct vg_ctl_stream *stream);

/* `key value` lines, or one line of JSON. */
void vg_ctl_print(const struct vg_ctl *ctl, const ProtobufCMessage *message);
/* One line of `key=value` per message, or the whole response as one line of JSON. */
void vg_ctl_print_list(const struct vg_ctl *ctl, const ProtobufCMessage *response, size_t count,
                       void *messages);
/* One `key value` line with control characters escaped: what the service says must not steer the
 * terminal. */
void vg_ctl_print_pair(const char *key, const char *value);

#endif

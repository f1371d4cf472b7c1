/* SPDX-License-Identifier: Apache-2.0 */
#include "common/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/str.h"

#define VARIABLE_SIZE 96
#define NUMBER_SIZE 32
#define SECRET_FILE_MAX 65536

/* One suffix of a number; the largest unit stands last. */
struct unit {
    const char *suffix;
    int64_t factor;
};
static const struct unit duration_units[] = {
    {"ms", 1},
    {"s", 1000},
    {"m", INT64_C(60) * 1000},
    {"h", INT64_C(3600) * 1000},
    {"d", INT64_C(86400) * 1000},
};
static const struct unit size_units[] = {
    {"", 1},
    {"k", INT64_C(1) << 10},
    {"m", INT64_C(1) << 20},
    {"g", INT64_C(1) << 30},
};
static const struct unit plain_units[] = {{"", 1}};

struct number_type {
    const struct unit *units;
    size_t count;
};

static const struct config_type {
    const char *name; /* in --help and the README */
    const char *rule; /* in messages */
    struct number_type number;
} types[VG_CONFIG_TYPE_MAX] = {
    [VG_CONFIG_TEXT] = {"text", "a text", {NULL, 0}},
    [VG_CONFIG_INT] = {"integer", "a whole number", {plain_units, VG_COUNT(plain_units)}},
    [VG_CONFIG_BOOL] = {"bool", "true or false", {NULL, 0}},
    [VG_CONFIG_DURATION] = {"duration",
                            "a duration such as 250ms, 30s, 5m, 2h or 3d",
                            {duration_units, VG_COUNT(duration_units)}},
    [VG_CONFIG_SIZE] = {"size",
                        "a size such as 512, 64k, 20m or 4g",
                        {size_units, VG_COUNT(size_units)}},
    [VG_CONFIG_ADDRESS] = {"address", "an address such as 127.0.0.1:8080", {NULL, 0}},
};

static const struct {
    const char *word;
    bool value;
} bool_words[] = {
    {"true", true}, {"false", false}, {"1", true}, {"0", false}, {"yes", true}, {"no", false},
};

static void variable_name(char out[VARIABLE_SIZE], const struct vg_config_key *key)
{
    (void)snprintf(out, VARIABLE_SIZE, "VIDEOGATE_%s", key->name);
    for (char *p = out; *p; p++) {
        if (*p == '-')
            *p = '_';
        else if (*p >= 'a' && *p <= 'z')
            *p = (char)(*p - ('a' - 'A'));
    }
}

static void *target_of(const struct vg_config *config, const struct vg_config_key *key)
{
    return (char *)config->target + key->offset;
}

static bool is_text(const struct vg_config_key *key)
{
    return key->type == VG_CONFIG_TEXT || key->type == VG_CONFIG_ADDRESS;
}

static int64_t max_of(const struct vg_config_key *key)
{
    return key->min == 0 && key->max == 0 ? INT64_MAX : key->max;
}

/* "30s" -> 30000. A unit of "" matches bare digits; "0" needs no unit. */
static int parse_number(const struct number_type *type, const char *text, int64_t *out)
{
    struct vg_view digits = vg_view_of(text);
    size_t len = 0;
    while (len < digits.len && (text[len] == '-' || (text[len] >= '0' && text[len] <= '9')))
        len++;
    digits.len = len;
    int64_t value;
    if (vg_parse_i64(digits, INT64_MIN, INT64_MAX, &value) != 0)
        return -1;
    const char *suffix = text + len;
    for (size_t i = 0; i < type->count; i++) {
        bool zero = value == 0 && *suffix == '\0';
        if (zero || strcmp(suffix, type->units[i].suffix) == 0)
            return __builtin_mul_overflow(value, type->units[i].factor, out) ? -1 : 0;
    }
    return -1;
}

/* The shortest exact form: 30000 -> "30s". */
static void format_number(char out[NUMBER_SIZE], const struct number_type *type, int64_t value)
{
    size_t i = type->count - 1;
    while (i > 0 && (value == 0 || value % type->units[i].factor != 0))
        i--;
    (void)snprintf(out, NUMBER_SIZE, "%lld%s", (long long)(value / type->units[i].factor),
                   value == 0 ? "" : type->units[i].suffix);
}

static int parse_bool(const char *text, bool *out)
{
    for (size_t i = 0; i < VG_COUNT(bool_words); i++) {
        if (strcmp(text, bool_words[i].word) == 0) {
            *out = bool_words[i].value;
            return 0;
        }
    }
    return -1;
}

/* The form alone; whether the name can be resolved shows when it is used. */
static bool is_address(const char *text)
{
    const char *colon = strrchr(text, ':');
    int64_t port;
    return !*text ||
           (colon && vg_parse_i64(vg_view_of(colon + 1), 0, 65535, &port) == 0 &&
            (!memchr(text, ':', (size_t)(colon - text)) || (*text == '[' && colon[-1] == ']')));
}

/* `source` names the flag or variable for the message; the value itself is not shown: it may be a
 * secret. */
static int refuse(const struct vg_config_key *key, const char *source, struct vg_err *err)
{
    return vg_err_param(err, VG_ERR_INVALID_REQUEST, key->name, "%s must be %s.", source,
                        types[key->type].rule);
}

static int refuse_range(const struct vg_config_key *key, const char *source, struct vg_err *err)
{
    char min[NUMBER_SIZE], max[NUMBER_SIZE];
    format_number(min, &types[key->type].number, key->min);
    format_number(max, &types[key->type].number, max_of(key));
    if (max_of(key) == INT64_MAX)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, key->name, "%s must be at least %s.",
                            source, min);
    return vg_err_param(err, VG_ERR_INVALID_REQUEST, key->name, "%s must be from %s to %s.", source,
                        min, max);
}

static int assign(const struct vg_config *config, const struct vg_config_key *key, const char *text,
                  const char *source, struct vg_err *err)
{
    void *target = target_of(config, key);
    if (key->type == VG_CONFIG_ADDRESS && !is_address(text))
        return refuse(key, source, err);
    if (is_text(key)) {
        char **slot = target;
        char *copy = vg_xstrdup(text);
        vg_free_secret(*slot);
        *slot = copy;
        return 0;
    }
    if (key->type == VG_CONFIG_BOOL)
        return parse_bool(text, target) == 0 ? 0 : refuse(key, source, err);
    int64_t value;
    if (parse_number(&types[key->type].number, text, &value) != 0)
        return refuse(key, source, err);
    if (value < key->min || value > max_of(key))
        return refuse_range(key, source, err);
    *(int64_t *)target = value;
    return 0;
}

/* An empty variable counts as unset, as in container files. */
static const char *env_find(char **envp, const char *name)
{
    size_t len = strlen(name);
    for (; envp && *envp; envp++) {
        if (strncmp(*envp, name, len) == 0 && (*envp)[len] == '=')
            return (*envp)[len + 1] ? *envp + len + 1 : NULL;
    }
    return NULL;
}

static int read_secret_file(const char *path, const struct vg_config_key *key, char **out,
                            struct vg_err *err)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, key->name, "Cannot read %s: %m.", path);
    char *text = vg_xalloc(SECRET_FILE_MAX + 1);
    size_t len = fread(text, 1, SECRET_FILE_MAX + 1, file);
    bool bad = ferror(file) || len > SECRET_FILE_MAX || memchr(text, '\0', len);
    (void)fclose(file); /* read only: nothing to lose */
    if (bad) {
        explicit_bzero(text, len);
        free(text);
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, key->name,
                            "%s is not a readable text of at most %d bytes.", path,
                            SECRET_FILE_MAX);
    }
    if (len && text[len - 1] == '\n')
        len--;
    if (len && text[len - 1] == '\r')
        len--;
    text[len] = '\0';
    *out = text;
    return 0;
}

static int load_secret_file(const struct vg_config *config, const struct vg_config_key *key,
                            const char *path, struct vg_err *err)
{
    char *text = NULL;
    if (read_secret_file(path, key, &text, err) != 0)
        return -1;
    int rc = assign(config, key, text, path, err);
    vg_free_secret(text);
    return rc;
}

static int load_env(const struct vg_config *config, const struct vg_config_key *key, char **envp,
                    struct vg_err *err)
{
    char name[VARIABLE_SIZE], file_name[VARIABLE_SIZE + 8];
    variable_name(name, key);
    (void)snprintf(file_name, sizeof file_name, "%s_FILE", name);
    const char *value = env_find(envp, name);
    const char *path = key->secret ? env_find(envp, file_name) : NULL;
    if (value && path)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, key->name,
                            "Set either %s or %s, not both.", name, file_name);
    if (path)
        return load_secret_file(config, key, path, err);
    return value ? assign(config, key, value, name, err) : 0;
}

static const struct vg_config_key *find_key(const struct vg_config **config, struct vg_view name)
{
    for (; *config; *config = (*config)->also) {
        for (size_t i = 0; i < (*config)->count; i++) {
            if (vg_view_eqs(name, (*config)->keys[i].name))
                return &(*config)->keys[i];
        }
    }
    return NULL;
}

/* A bool flag may stand alone; it takes the next argument only when that is one of the words. */
static const char *flag_value(const struct vg_config_key *key, const char *next, int *taken)
{
    bool ignored;
    *taken = 0;
    if (key->type == VG_CONFIG_BOOL && (!next || parse_bool(next, &ignored) != 0))
        return "true";
    *taken = 1;
    return next;
}

/* Reads the flag at argv[at]; returns how many arguments it took, -1 on error. */
static int load_flag(const struct vg_config *config, char **argv, int at, struct vg_err *err)
{
    const char *arg = argv[at];
    if (strncmp(arg, "--", 2) != 0 || arg[2] == '\0')
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "Unexpected argument '%.100s'.", arg);
    struct vg_view name = vg_view_of(arg + 2);
    const char *equals = strchr(name.data, '=');
    if (equals)
        name.len = (size_t)(equals - name.data);
    const struct vg_config_key *key = find_key(&config, name);
    if (!key)
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "Unknown flag '--%.*s'.",
                          (int)(name.len < 100 ? name.len : 100), name.data);
    char variable[VARIABLE_SIZE];
    variable_name(variable, key);
    if (key->secret)
        return vg_err_param(
            err, VG_ERR_INVALID_REQUEST, key->name,
            "--%s is a secret and never a flag (others could see it): set %s or %s_FILE.",
            key->name, variable, variable);
    int taken = 0;
    const char *value = equals ? equals + 1 : flag_value(key, argv[at + 1], &taken);
    if (!value)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, key->name, "--%s needs a value.",
                            key->name);
    char source[VARIABLE_SIZE];
    (void)snprintf(source, sizeof source, "--%s", key->name);
    return assign(config, key, value, source, err) == 0 ? 1 + taken : -1;
}

static int check_required(const struct vg_config *config, const struct vg_config_key *key,
                          struct vg_err *err)
{
    if (!key->required || !is_text(key))
        return 0;
    const char *value = *(char **)target_of(config, key);
    if (value && *value)
        return 0;
    char variable[VARIABLE_SIZE];
    variable_name(variable, key);
    return vg_err_param(err, VG_ERR_INVALID_REQUEST, key->name, "%s%s%s%s is required: %s",
                        variable, key->secret ? "" : " (--", key->secret ? "" : key->name,
                        key->secret ? "" : ")", key->help);
}

typedef int key_f(const struct vg_config *config, const struct vg_config_key *key, char **envp,
                  struct vg_err *err);

static int load_fallback(const struct vg_config *config, const struct vg_config_key *key,
                         char **envp, struct vg_err *err)
{
    (void)envp;
    return key->fallback ? assign(config, key, key->fallback, key->name, err) : 0;
}

static int load_check(const struct vg_config *config, const struct vg_config_key *key, char **envp,
                      struct vg_err *err)
{
    (void)envp;
    return check_required(config, key, err);
}

static int for_each_key(const struct vg_config *config, key_f *run, char **envp, struct vg_err *err)
{
    for (; config; config = config->also) {
        for (size_t i = 0; i < config->count; i++) {
            if (run(config, &config->keys[i], envp, err) != 0)
                return -1;
        }
    }
    return 0;
}

static int load_flags(const struct vg_config *config, int argc, char **argv, struct vg_err *err)
{
    for (int at = 1; at < argc;) {
        int taken = load_flag(config, argv, at, err);
        if (taken < 0)
            return -1;
        at += taken;
    }
    return 0;
}

int vg_config_load(const struct vg_config *config, int argc, char **argv, char **envp,
                   struct vg_err *err)
{
    if (for_each_key(config, load_fallback, NULL, err) == 0 &&
        for_each_key(config, load_env, envp, err) == 0 &&
        load_flags(config, argc, argv, err) == 0 &&
        for_each_key(config, load_check, NULL, err) == 0)
        return 0;
    vg_config_fini(config);
    return -1;
}

void vg_config_fini(const struct vg_config *config)
{
    for (; config; config = config->also) {
        for (size_t i = 0; i < config->count; i++) {
            if (!is_text(&config->keys[i]))
                continue;
            char **slot = target_of(config, &config->keys[i]);
            vg_free_secret(*slot);
            *slot = NULL;
        }
    }
}

static void put_value(const struct vg_config *config, const struct vg_config_key *key,
                      struct vg_buf *out)
{
    const void *target = target_of(config, key);
    if (is_text(key)) {
        const char *text = *(char *const *)target;
        (void)vg_buf_adds(out, !text ? "" : key->secret ? "********" : text);
    } else if (key->type == VG_CONFIG_BOOL) {
        (void)vg_buf_adds(out, *(const bool *)target ? "true" : "false");
    } else {
        char number[NUMBER_SIZE];
        format_number(number, &types[key->type].number, *(const int64_t *)target);
        (void)vg_buf_adds(out, number);
    }
}

void vg_config_dump(const struct vg_config *config, struct vg_buf *out)
{
    for (; config; config = config->also) {
        for (size_t i = 0; i < config->count; i++) {
            (void)vg_buf_addf(out, "%s=", config->keys[i].name);
            put_value(config, &config->keys[i], out);
            (void)vg_buf_addc(out, '\n');
        }
    }
}

void vg_config_help(const struct vg_config *config, struct vg_buf *out)
{
    for (; config; config = config->also) {
        for (size_t i = 0; i < config->count; i++) {
            const struct vg_config_key *key = &config->keys[i];
            char variable[VARIABLE_SIZE];
            variable_name(variable, key);
            if (key->secret)
                (void)vg_buf_addf(out, "  %s (or %s_FILE)\n", variable, variable);
            else
                (void)vg_buf_addf(out, "  --%s %s (%s)\n", key->name, types[key->type].name,
                                  variable);
            (void)vg_buf_addf(out, "      %s", key->help);
            if (key->required)
                (void)vg_buf_adds(out, " Required.");
            if (key->fallback)
                (void)vg_buf_addf(out, " Default: %s.", key->fallback);
            (void)vg_buf_addc(out, '\n');
        }
    }
}

static void put_range(const struct vg_config_key *key, struct vg_buf *out)
{
    const struct number_type *number = &types[key->type].number;
    if (number->count == 0)
        return;
    char min[NUMBER_SIZE], max[NUMBER_SIZE];
    format_number(min, number, key->min);
    format_number(max, number, max_of(key));
    if (max_of(key) == INT64_MAX)
        (void)vg_buf_addf(out, "from %s", min);
    else
        (void)vg_buf_addf(out, "%s to %s", min, max);
}

/* A bar would end the cell. */
static void put_cell(struct vg_buf *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '|')
            (void)vg_buf_addc(out, '\\');
        (void)vg_buf_addc(out, *text);
    }
}

void vg_config_markdown(const struct vg_config *config, struct vg_buf *out)
{
    (void)vg_buf_adds(out, "| flag | variable | type | default | range | what |\n"
                           "|---|---|---|---|---|---|\n");
    for (; config; config = config->also) {
        for (size_t i = 0; i < config->count; i++) {
            const struct vg_config_key *key = &config->keys[i];
            char variable[VARIABLE_SIZE];
            variable_name(variable, key);
            (void)vg_buf_addf(out, "| %s%s%s | `%s` | %s%s | ", key->secret ? "" : "`--",
                              key->secret ? "-" : key->name, key->secret ? "" : "`", variable,
                              types[key->type].name, key->secret ? ", secret" : "");
            if (key->fallback) {
                (void)vg_buf_addc(out, '`');
                put_cell(out, key->fallback);
                (void)vg_buf_addc(out, '`');
            } else if (key->required) {
                (void)vg_buf_adds(out, "required");
            }
            (void)vg_buf_adds(out, " | ");
            put_range(key, out);
            (void)vg_buf_adds(out, " | ");
            put_cell(out, key->help);
            (void)vg_buf_adds(out, " |\n");
        }
    }
}

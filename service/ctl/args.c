/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/config.h"
#include "common/mem.h"
#include "common/str.h"
#include "service/ctl/commands.h"

#define HELP_MAX 65536
#define GLOBALS_MAX 32

static const struct vg_config_key global_keys[] = {
    {.name = "admin-key",
     .type = VG_CONFIG_TEXT,
     .offset = offsetof(struct vg_ctl_config, admin_key),
     .secret = true,
     .help = "Key for keys, deliveries and queue."},
    {.name = "api-key",
     .type = VG_CONFIG_TEXT,
     .offset = offsetof(struct vg_ctl_config, api_key),
     .secret = true,
     .help = "Key for videos."},
    {.name = "database-url",
     .type = VG_CONFIG_TEXT,
     .offset = offsetof(struct vg_ctl_config, database_url),
     .secret = true,
     .help = "PostgreSQL, for migrate."},
    {.name = "service",
     .type = VG_CONFIG_ADDRESS,
     .offset = offsetof(struct vg_ctl_config, service),
     .fallback = "127.0.0.1:8082",
     .required = true,
     .help = "gRPC address of the service."},
    {.name = "service-tls-ca",
     .type = VG_CONFIG_TEXT,
     .offset = offsetof(struct vg_ctl_config, tls_ca),
     .help = "PEM file with the roots to trust; turns TLS on."},
    {.name = "service-tls-cert",
     .type = VG_CONFIG_TEXT,
     .offset = offsetof(struct vg_ctl_config, tls_cert),
     .help = "PEM file with the client certificate."},
    {.name = "service-tls-key",
     .type = VG_CONFIG_TEXT,
     .offset = offsetof(struct vg_ctl_config, tls_key),
     .help = "PEM file with the client certificate's key."},
};

/* State of one walk over argv. */
struct walk {
    struct vg_ctl *ctl;
    int argc;
    char **argv;
    int at;
    char *
        globals[GLOBALS_MAX + 1]; /* borrowed; flags that belong to the configuration, as an argv */
    int global_count;
    size_t arg_count;
    bool help;
    bool version;
};

static struct vg_config config_of(struct vg_ctl *ctl)
{
    return (struct vg_config){
        .keys = global_keys, .count = VG_COUNT(global_keys), .target = &ctl->config};
}

static void print_globals(struct vg_ctl *ctl)
{
    const struct vg_config config = config_of(ctl);
    struct vg_buf text;
    vg_buf_init(&text, HELP_MAX);
    vg_config_help(&config, &text);
    (void)printf("\nFor every command:\n\n"
                 "  --json      print JSON instead of key value lines\n"
                 "  --help      show this text\n"
                 "  --version   show the version\n%s",
                 vg_buf_view(&text).data);
    vg_buf_fini(&text);
}

static void print_usage(struct vg_ctl *ctl)
{
    (void)printf("videogatectl: operates Videogate.\n\n"
                 "Usage: videogatectl COMMAND [ARGUMENT] [--option VALUE ...]\n\n");
    const struct vg_ctl_command *command;
    for (size_t i = 0; (command = vg_ctl_command(i)); i++) {
        char left[64];
        (void)snprintf(left, sizeof left, "%s %s", command->words, command->arguments);
        (void)printf("  %-26s %s\n", left, command->summary);
    }
    (void)printf("\nvideogatectl COMMAND --help shows the options of a command.\n"
                 "Exit status: 0 done, 1 failed, 2 wrong usage.\n");
    print_globals(ctl);
}

static void print_command_help(struct vg_ctl *ctl)
{
    const struct vg_ctl_command *command = ctl->command;
    (void)printf("videogatectl %s: %s\n\nUsage: videogatectl %s%s%s [--option VALUE ...]\n",
                 command->words, command->summary, command->words, *command->arguments ? " " : "",
                 command->arguments);
    for (size_t i = 0; i < command->option_count; i++) {
        const struct vg_ctl_option *option = &command->options[i];
        char left[64];
        (void)snprintf(left, sizeof left, "%s%s%s%s", option->name[1] ? "--" : "-", option->name,
                       option->value ? " " : "", option->value ? option->value : "");
        (void)printf("%s  %-26s %s%s%s\n", i == 0 ? "\n" : "", left, option->help,
                     option->type == VG_CTL_LIST ? " May be repeated." : "",
                     option->required ? " Required." : "");
    }
    print_globals(ctl);
}

static const char *dashes(const struct vg_ctl_option *option)
{
    return option->name[1] ? "--" : "-";
}

static int assign(struct vg_ctl *ctl, const struct vg_ctl_option *option, const char *value)
{
    void *target = (char *)ctl->options + option->offset;
    if (option->type == VG_CTL_FLAG) {
        *(bool *)target = true;
    } else if (option->type == VG_CTL_TEXT) {
        *(const char **)target = value;
    } else if (option->type == VG_CTL_LIST) {
        struct vg_ctl_list *list = target;
        if (list->count == VG_CTL_LIST_MAX)
            return vg_err_param(&ctl->err, VG_ERR_INVALID_REQUEST, option->name,
                                "%s%s may be given at most %d times.", dashes(option), option->name,
                                VG_CTL_LIST_MAX);
        list->items[list->count++] = value;
    } else {
        struct vg_ctl_int *number = target;
        if (vg_parse_i64(vg_view_of(value), option->min, option->max, &number->value) != 0)
            return vg_err_param(&ctl->err, VG_ERR_INVALID_REQUEST, option->name,
                                "%s%s must be a whole number from %lld to %lld.", dashes(option),
                                option->name, (long long)option->min, (long long)option->max);
        number->set = true;
    }
    return 0;
}

static const struct vg_ctl_option *find_option(const struct vg_ctl *ctl, struct vg_view name)
{
    for (size_t i = 0; ctl->command && i < ctl->command->option_count; i++) {
        if (vg_view_eqs(name, ctl->command->options[i].name))
            return &ctl->command->options[i];
    }
    return NULL;
}

/* Flags that are no key of any table. */
static bool take_word(struct walk *walk, const char *arg)
{
    const struct {
        const char *flag;
        bool *target;
    } words[] = {
        {"--help", &walk->help},
        {"-h", &walk->help},
        {"--json", &walk->ctl->json},
        {"--version", &walk->version},
    };
    for (size_t i = 0; i < VG_COUNT(words); i++) {
        if (strcmp(arg, words[i].flag) == 0) {
            *words[i].target = true;
            walk->at++;
            return true;
        }
    }
    return false;
}

/* A flag that is not the command's is kept for the configuration, which judges it. */
static int keep_global(struct walk *walk, bool with_value)
{
    for (int i = with_value ? 2 : 1; i > 0 && walk->at < walk->argc; i--) {
        if (walk->global_count == GLOBALS_MAX)
            return vg_err_set(&walk->ctl->err, VG_ERR_INVALID_REQUEST, "Too many flags.");
        walk->globals[walk->global_count++] = walk->argv[walk->at++];
    }
    return 0;
}

static int take_flag(struct walk *walk)
{
    const char *arg = walk->argv[walk->at];
    if (take_word(walk, arg))
        return 0;
    struct vg_view name = vg_view_of(arg[1] == '-' ? arg + 2 : arg + 1);
    const char *equals = arg[1] == '-' ? strchr(name.data, '=') : NULL;
    if (equals)
        name.len = (size_t)(equals - name.data);
    const struct vg_ctl_option *option = find_option(walk->ctl, name);
    if (!option)
        return keep_global(walk, !equals);
    const char *value = equals ? equals + 1 : NULL;
    if (option->type == VG_CTL_FLAG && equals)
        return vg_err_set(&walk->ctl->err, VG_ERR_INVALID_REQUEST, "--%s takes no value.",
                          option->name);
    walk->at++;
    if (option->type != VG_CTL_FLAG && !value) {
        if (walk->at == walk->argc)
            return vg_err_set(&walk->ctl->err, VG_ERR_INVALID_REQUEST, "%s%s needs a value.",
                              dashes(option), option->name);
        value = walk->argv[walk->at++];
    }
    return assign(walk->ctl, option, value);
}

/* Two words first: "video get"; then one: "queue". */
static int take_command(struct walk *walk)
{
    const char *first = walk->argv[walk->at];
    const char *second = walk->at + 1 < walk->argc ? walk->argv[walk->at + 1] : "";
    char both[128];
    (void)snprintf(both, sizeof both, "%.60s %.60s", first, second);
    const struct vg_ctl_command *command;
    for (size_t i = 0; (command = vg_ctl_command(i)); i++) {
        bool two = strcmp(command->words, both) == 0;
        if (!two && strcmp(command->words, first) != 0)
            continue;
        walk->at += two ? 2 : 1;
        walk->ctl->command = command;
        walk->ctl->options = vg_xalloc(command->options_size);
        return 0;
    }
    return vg_err_set(&walk->ctl->err, VG_ERR_INVALID_REQUEST, "There is no command '%s'.",
                      *second && *second != '-' ? both : first);
}

static int take_argument(struct walk *walk)
{
    struct vg_ctl *ctl = walk->ctl;
    if (!ctl->command)
        return take_command(walk);
    const char *arg = walk->argv[walk->at];
    if (walk->arg_count == ctl->command->arg_count)
        return vg_err_set(&ctl->err, VG_ERR_INVALID_REQUEST, "Unexpected argument '%.100s'.", arg);
    ctl->args[walk->arg_count++] = arg;
    walk->at++;
    return 0;
}

static int check_complete(struct walk *walk)
{
    struct vg_ctl *ctl = walk->ctl;
    if (!ctl->command)
        return vg_err_set(&ctl->err, VG_ERR_INVALID_REQUEST, "A command is missing.");
    if (walk->arg_count < ctl->command->arg_count)
        return vg_err_set(&ctl->err, VG_ERR_INVALID_REQUEST, "%s needs %s.", ctl->command->words,
                          ctl->command->arguments);
    for (size_t i = 0; i < ctl->command->option_count; i++) {
        const struct vg_ctl_option *option = &ctl->command->options[i];
        const void *target = (char *)ctl->options + option->offset;
        if (option->required && option->type == VG_CTL_TEXT && !*(const char *const *)target)
            return vg_err_param(&ctl->err, VG_ERR_INVALID_REQUEST, option->name, "%s needs %s%s.",
                                ctl->command->words, dashes(option), option->name);
    }
    return 0;
}

int vg_ctl_parse(struct vg_ctl *ctl, int argc, char **argv, char **envp)
{
    struct walk walk = {.ctl = ctl, .argc = argc, .argv = argv, .at = 1};
    walk.globals[walk.global_count++] = argv[0];
    while (walk.at < argc) {
        const char *arg = argv[walk.at];
        bool flag = arg[0] == '-' && arg[1] != '\0';
        if ((flag ? take_flag(&walk) : take_argument(&walk)) != 0)
            return -1;
    }
    if (walk.version) {
        (void)printf("videogatectl %s\n", VG_VERSION);
        return 1;
    }
    if (walk.help) {
        if (ctl->command)
            print_command_help(ctl);
        else
            print_usage(ctl);
        return 1;
    }
    if (check_complete(&walk) != 0)
        return -1;
    const struct vg_config config = config_of(ctl);
    return vg_config_load(&config, walk.global_count, walk.globals, envp, &ctl->err);
}

void vg_ctl_fini(struct vg_ctl *ctl)
{
    const struct vg_config config = config_of(ctl);
    vg_config_fini(&config);
    free(ctl->options);
    ctl->options = NULL;
}

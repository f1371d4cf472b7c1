/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"
#include "service/ctl/commands.h"

/* Splits at blanks; the words live as long as the fixture. */
struct fixture {
    struct vg_ctl ctl;
    char *line; /* owned */
    char *argv[64];
    int argc;
};

static int parse(struct fixture *f, const char *line, char **envp)
{
    *f = (struct fixture){.line = vg_xstrdup(line)};
    char *rest = f->line, *word;
    while ((word = strsep(&rest, " ")))
        f->argv[f->argc++] = word;
    return vg_ctl_parse(&f->ctl, f->argc, f->argv, envp);
}

static void finish(struct fixture *f)
{
    vg_ctl_fini(&f->ctl);
    free(f->line);
}

#define ENV(...)                                                                                   \
    (char *[])                                                                                     \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

static void args__globals_stand_anywhere(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "ctl --service h:1 --json video get video_1",
        "ctl video get --service h:1 video_1 --json",
        "ctl video get video_1 --json --service=h:1",
        "ctl --json --service=h:1 video get video_1",
    };
    for (size_t i = 0; i < VG_COUNT(lines); i++) {
        struct fixture f;
        assert_int_equal(parse(&f, lines[i], ENV("VIDEOGATE_API_KEY=k", "VIDEOGATE_SERVICE=no:2")),
                         0);
        assert_string_equal(f.ctl.command->words, "video get");
        assert_string_equal(f.ctl.args[0], "video_1");
        assert_string_equal(f.ctl.config.service, "h:1");
        assert_string_equal(f.ctl.config.api_key, "k");
        assert_true(f.ctl.json);
        finish(&f);
    }
}

static void args__refuses_wrong_usage(void **state)
{
    (void)state;
    static const struct {
        const char *line, *says;
    } cases[] = {
        {"ctl", "A command is missing."},
        {"ctl --json", "A command is missing."},
        {"ctl nonsense", "There is no command 'nonsense'."},
        {"ctl video", "There is no command 'video'."},
        {"ctl video fly", "There is no command 'video fly'."},
        {"ctl video get", "video get needs ID."},
        {"ctl video get a b", "Unexpected argument 'b'."},
        {"ctl queue a", "Unexpected argument 'a'."},
        {"ctl video create", "video create needs --prompt."},
        {"ctl video create --prompt", "--prompt needs a value."},
        {"ctl video create --prompt p --n 11", "-n must be a whole number from 1 to 10."},
        {"ctl video create --prompt p --seconds x",
         "--seconds must be a whole number from 1 to 3600."},
        {"ctl video create --prompt p --wait=yes", "--wait takes no value."},
        {"ctl video get x --nope 1", "Unknown flag '--nope'."},
        {"ctl video get x --service", "--service needs a value."},
        {"ctl video download x -o", "-o needs a value."},
    };
    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        struct fixture f;
        assert_int_equal(parse(&f, cases[i].line, ENV("A=b")), -1);
        assert_string_equal(vg_err_text(&f.ctl.err), cases[i].says);
        finish(&f);
    }
}

static void args__a_secret_is_no_flag(void **state)
{
    (void)state;
    struct fixture f;
    assert_int_equal(parse(&f, "ctl queue --admin-key hunter2", ENV("A=b")), -1);
    assert_null(strstr(vg_err_text(&f.ctl.err), "hunter2"));
    finish(&f);
}

static void args__too_many_of_a_list(void **state)
{
    (void)state;
    struct fixture f;
    char line[1024] = "ctl video create --prompt p";
    for (int i = 0; i <= VG_CTL_LIST_MAX; i++)
        (void)strncat(line, " --reference r", sizeof line - strlen(line) - 1);
    assert_int_equal(parse(&f, line, ENV("A=b")), -1);
    assert_string_equal(vg_err_text(&f.ctl.err), "--reference may be given at most 16 times.");
    finish(&f);
}

static void args__every_command_is_whole(void **state)
{
    (void)state;
    const struct vg_ctl_command *command;
    size_t count = 0;
    for (; (command = vg_ctl_command(count)); count++) {
        assert_true(command->words && command->arguments && command->summary && command->run);
        assert_true(command->arg_count <= VG_CTL_ARGS_MAX);
        assert_int_equal(*command->arguments != '\0', command->arg_count > 0);
        assert_true(command->option_count == 0 || command->options_size > 0);
        for (size_t i = 0; i < command->option_count; i++) {
            const struct vg_ctl_option *option = &command->options[i];
            assert_true(option->name && option->help);
            assert_int_equal(option->value == NULL, option->type == VG_CTL_FLAG);
            assert_true(option->offset < command->options_size);
        }
    }
    assert_true(count >= 14);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(args__globals_stand_anywhere), cmocka_unit_test(args__refuses_wrong_usage),
        cmocka_unit_test(args__a_secret_is_no_flag),    cmocka_unit_test(args__too_many_of_a_list),
        cmocka_unit_test(args__every_command_is_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "common/json_form.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

/* The tree as JSON text; bytes as <n>. */
static void write_value(const struct vg_json *value, struct vg_buf *out)
{
    struct vg_view bytes;
    enum vg_json_type type = vg_json_type(value);

    if (vg_json_bytes(value, &bytes)) {
        (void)vg_buf_addf(out, "<%zu>", bytes.len);
    } else if (type == VG_JSON_STRING) {
        (void)vg_buf_addf(out, "'%s'", vg_json_string(value));
    } else {
        (void)vg_buf_addc(out, type == VG_JSON_OBJECT ? '{' : '[');
        for (const struct vg_json *m = vg_json_first(value); m; m = vg_json_next(m)) {
            if (m != vg_json_first(value))
                (void)vg_buf_addc(out, ',');
            if (type == VG_JSON_OBJECT)
                (void)vg_buf_addf(out, "%s:", vg_json_key(m));
            write_value(m, out);
        }
        (void)vg_buf_addc(out, type == VG_JSON_OBJECT ? '}' : ']');
    }
}

/* Names up to NULL; each gets its position as text, those with a '*' that many bytes. */
static void gives(const char *want, ...)
{
    struct vg_json *root = vg_json_form_new();
    struct vg_buf out;
    va_list names;
    size_t i = 0;
    bool refused = false;

    va_start(names, want);
    for (const char *name; (name = va_arg(names, const char *)) != NULL; i++) {
        const char digit = (char)('0' + i);
        struct vg_err err;
        int rc = *name == '*'
                     ? vg_json_form_add_bytes(root, name + 1, (struct vg_view){"........", i}, &err)
                     : vg_json_form_add_text(root, name, (struct vg_view){&digit, 1}, &err);
        if (rc != 0) {
            assert_int_equal(err.kind, VG_ERR_INVALID_REQUEST);
            refused = true;
        }
    }
    va_end(names);
    vg_buf_init(&out, 4096);
    (void)vg_buf_adds(&out, refused ? "!" : "");
    write_value(root, &out);
    assert_string_equal(out.data, want);
    vg_buf_fini(&out);
    (void)vg_json_free(root);
}

static void json_form__nests_by_brackets(void **state)
{
    (void)state;
    gives("{}", NULL);
    gives("{a:'0',b:'1'}", "a", "b", NULL);
    gives("{a:{b:'0',c:'1'}}", "a[b]", "a[c]", NULL);
    gives("{a:{b:{c:'0'}}}", "a[b][c]", NULL);
    gives("{a:['0','1']}", "a[]", "a[]", NULL);
    gives("{a:['0','1']}", "a[0]", "a[1]", NULL);
    gives("{a:{b:['0','1']}}", "a[b][]", "a[b][]", NULL);
    gives("{a:[{u:'0'},{u:'1',v:'2'}]}", "a[][u]", "a[][u]", "a[][v]", NULL);
    gives("{a:[{u:'0',v:'1'},{u:'2'}]}", "a[0][u]", "a[0][v]", "a[1][u]", NULL);
    gives("{a:<0>,b:<1>}", "*a", "*b", NULL);
}

static void json_form__repeats_make_lists(void **state)
{
    (void)state;
    gives("{a:['0','1','2']}", "a", "a", "a", NULL);
    gives("{a:[<0>,'1']}", "*a", "a", NULL);
    gives("{b:'1',a:['0','2']}", "a", "b", "a", NULL);
}

static void json_form__odd_names_are_names(void **state)
{
    (void)state;
    gives("{a[b:'0',[c]:'1',d]:'2'}", "a[b", "[c]", "d]", NULL);
    gives("!{}", "a[b]c[d]", NULL);
}

static void json_form__refuses_two_uses(void **state)
{
    (void)state;
    gives("!{a:'0'}", "a", "a[b]", NULL);
    gives("!{a:{b:'0'}}", "a[b]", "a", NULL);
    gives("!{a:['0']}", "a[]", "a[b]", NULL);
    gives("!{a:{b:'0'}}", "a[b]", "a[]", NULL);
    gives("!{a:[]}", "a[5]", NULL);
    gives("!{a:['0']}", "a[0]", "a[0]", NULL);
    gives("!{}", "a[b][c][d][e][f][g][h][i]", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_form__nests_by_brackets),
        cmocka_unit_test(json_form__repeats_make_lists),
        cmocka_unit_test(json_form__odd_names_are_names),
        cmocka_unit_test(json_form__refuses_two_uses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The fixture's service on a port, for looking at it with other clients: rpc_echo_server PORT
 * [THREADS]. Ends with its standard input. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/str.h"
#include "tests/unit/rpc/fixture.h"

int main(int argc, char **argv)
{
    struct fixture_options options = {.no_channel = true, .server = {.edge_batch = true}};
    int64_t threads = 1;
    char listen[32];
    char byte;

    if (argc < 2 || (argc > 2 && vg_parse_i64(vg_view_of(argv[2]), 1, 16, &threads) != 0)) {
        (void)fprintf(stderr, "usage: %s PORT [THREADS]\n", argv[0]);
        return 2;
    }
    (void)snprintf(listen, sizeof listen, "127.0.0.1:%s", argv[1]);
    options.server.listen = listen;
    options.server.threads = (int)threads;
    struct fixture *fixture = fixture_start(&options);
    (void)printf("listening on %s\n", fixture_target(fixture));
    (void)fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    vg_rpc_server_drain(fixture_server(fixture), vg_deadline_in_ms(5000));
    (void)fixture_stop(fixture);
    return 0;
}

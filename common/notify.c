/* SPDX-License-Identifier: Apache-2.0 */
#include "common/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A path, or "@name" for one of the abstract namespace, which begins with a zero byte. */
static int address_of(const char *name, struct sockaddr_un *out, socklen_t *out_size)
{
    size_t len = strlen(name);

    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    if ((name[0] != '/' && name[0] != '@') || len < 2 || len >= sizeof(out->sun_path))
        return -1;
    memcpy(out->sun_path, name, len);
    if (name[0] == '@')
        out->sun_path[0] = '\0';
    *out_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    return 0;
}

int vg_notify(const char *state, struct vg_err *err)
{
    const char *name = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address;
    socklen_t size = 0;

    if (!name || !name[0])
        return 0;
    if (address_of(name, &address, &size))
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "NOTIFY_SOCKET names no socket.");
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool told = fd >= 0 && sendto(fd, state, strlen(state), MSG_NOSIGNAL,
                                  (const struct sockaddr *)(const void *)&address, size) >= 0;
    int rc = told ? 0
                  : vg_err_set(err, VG_ERR_UNAVAILABLE, "The supervisor was not told %s: %s.",
                               state, strerror(errno));

    if (fd >= 0)
        (void)close(fd);
    return rc;
}

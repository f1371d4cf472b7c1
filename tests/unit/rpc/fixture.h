/* SPDX-License-Identifier: Apache-2.0 */
/* A worker service that does as it is told, on loopback, and helpers to call it.
 *
 * Submit obeys `model`: "echo" answers with the prompt, "later" does so from another thread, "note"
 * answers with the metadata x-note, "deadline" with 1 when the call has a deadline, "big" with
 * `seconds` KiB, "invalid" and "busy" fail, "hold" waits for fixture_release or the cancellation.
 * Fetch streams upstream_id (decimal) messages of as many bytes as poll_state has. Describe is not
 * served. */
#ifndef VG_TESTS_UNIT_RPC_FIXTURE_H
#define VG_TESTS_UNIT_RPC_FIXTURE_H

#include <videogate/v1/worker.pb-c.h>

#include "common/rpc/client.h"
#include "common/work_pool.h"

#define SUBMIT "/videogate.v1.ProviderWorkerService/Submit"
#define FETCH "/videogate.v1.ProviderWorkerService/Fetch"

struct fixture;

struct fixture_options {
    struct vg_rpc_server_options server; /* listen and services are the fixture's when unset */
    struct vg_rpc_channel_options channel;
    bool no_channel;
};

struct fixture *fixture_start(const struct fixture_options *options);
struct fixture *fixture_stop(struct fixture *fixture);
struct vg_rpc_server *fixture_server(struct fixture *fixture);
/* Stops the server early; fixture_stop then does not. */
void fixture_stop_server(struct fixture *fixture);
struct vg_rpc_channel *fixture_channel(struct fixture *fixture);
void fixture_free_channel(struct fixture *fixture);
struct vg_executor *fixture_executor(struct fixture *fixture);
/* "127.0.0.1:PORT" */
const char *fixture_target(struct fixture *fixture);
const struct vg_rpc_service *fixture_service(struct fixture *fixture);
struct vg_rpc_channel *fixture_open(struct fixture *fixture, struct vg_rpc_channel_options options);

/* Calls in "hold": waits until there are `count`; answers them all; how many were cancelled so far.
 */
void fixture_await_held(struct fixture *fixture, int count);
void fixture_release(struct fixture *fixture);
void fixture_await_cancelled(struct fixture *fixture, int count);
/* Messages that Fetch has handed to the transport so far, all streams. */
int fixture_sent(struct fixture *fixture);
void fixture_await_streams_ended(struct fixture *fixture, int count);
/* Submit calls that reached the handler. */
int fixture_submits(struct fixture *fixture);

/* One Submit. The strings are read at start. */
struct submit {
    struct vg_rpc_unary call;
    Videogate__V1__SubmitRequest request;
    struct fixture_group *group; /* counted down at the end; may be NULL */
};
/* Waits for several calls. */
struct fixture_group *fixture_group_new(int count);
void fixture_group_done(struct fixture_group *group);
void fixture_group_wait(struct fixture_group *group); /* and frees it */

void submit_init(struct submit *submit, const char *model, const char *prompt);
/* Starts; `group` hears of the end. */
void submit_start(struct submit *submit, struct vg_rpc_channel *channel,
                  struct fixture_group *group);
int submit_wait(struct submit *submit, struct vg_rpc_channel *channel);
/* The prompt that came back; "" when the call failed. */
const char *submit_echo(const struct submit *submit);
void submit_fini(struct submit *submit);

#endif

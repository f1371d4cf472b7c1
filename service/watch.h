/* SPDX-License-Identifier: Apache-2.0 */
/* WatchVideo: one hub for all watchers of a process, on the service's loop.
 *
 * Watchers of one video share a topic. While there are topics, one batched vg_video_versions every
 * 250 to 500 ms finds those that moved; a moved topic is read once and told to its watchers.
 * vg_watch_nudge saves the wait for changes made by this process. An idle watcher costs its memory
 * and a place in that statement; it is no call in flight, and max_watchers bounds them. */
#ifndef VG_SERVICE_WATCH_H
#define VG_SERVICE_WATCH_H

#include <stdbool.h>

struct vg_service;
struct vg_hub;

struct vg_hub *vg_hub_new(struct vg_service *service);
/* Ends every stream with VG_ERR_UNAVAILABLE and refuses new ones. Any thread; returns at once. */
void vg_hub_close(struct vg_hub *hub);
/* After close, once no request is in flight and the loop has stopped. NULL is fine. */
struct vg_hub *vg_hub_free(struct vg_hub *hub);
/* The video may have changed. Any thread, cheap when nobody watches. */
void vg_watch_nudge(struct vg_hub *hub, const char *video_id);
/* Ends the streams whose key is good no more (key_use.h). On the loop. */
void vg_watch_end_gone(struct vg_hub *hub);

#endif

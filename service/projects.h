/* SPDX-License-Identifier: Apache-2.0 */
/* AdminService's calls about projects and usage; `ctx` is the struct vg_service. */
#ifndef VG_SERVICE_PROJECTS_H
#define VG_SERVICE_PROJECTS_H

#include "common/rpc/server.h"

vg_rpc_handler_f vg_handle_create_project;
vg_rpc_handler_f vg_handle_list_projects;
vg_rpc_handler_f vg_handle_update_project;
vg_rpc_handler_f vg_handle_usage;

#endif

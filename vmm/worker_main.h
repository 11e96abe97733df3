/* SPDX-License-Identifier: Apache-2.0 */
/* A worker process: `coracle-vmm --worker` (worker_proc.h). */
#ifndef VMM_WORKER_MAIN_H
#define VMM_WORKER_MAIN_H

/* Serves one device until the VMM ends. Returns the exit status. */
int worker_main(int config_fd);

#endif

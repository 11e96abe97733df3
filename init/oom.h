/* SPDX-License-Identifier: Apache-2.0 */
/* Tells the host when the kernel's OOM killer takes processes of the container: EVENT. */
#ifndef INIT_OOM_H
#define INIT_OOM_H

/* Watches the group; without the memory controller nothing ever happens. */
void oom_open(int group);

/* Tells what has not been told: the last one may come just before the end. */
void oom_check(void);

#endif

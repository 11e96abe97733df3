/* SPDX-License-Identifier: Apache-2.0 */
/* The home directory in an /etc/passwd, which is the container's and hostile. */
#ifndef INIT_PASSWD_H
#define INIT_PASSWD_H

#include <stddef.h>
#include <stdint.h>

#define PASSWD_BYTES_MAX (1u << 20) /* how much of the file is looked at */

/* The first entry with this uid in the file `fd`; "/" when there is none or its field is empty or
 * does not fit. Lines longer than 1 KiB are skipped. */
void passwd_home(int fd, uint32_t uid, char *home, size_t home_bytes);

/* The same for the regular file `path` (default "/": absent, unreadable or no regular file). */
void passwd_home_at(const char *path, uint32_t uid, char *home, size_t home_bytes);

#endif

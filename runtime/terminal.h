/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Terminals on the host's side. The container's own terminal, with line discipline and job control, is a
 * pty in the guest; what is here only carries bytes and the size: the user's terminal in raw mode, or the
 * slave of a pty in raw mode whose master an engine has.
 */
#ifndef RUNTIME_TERMINAL_H
#define RUNTIME_TERMINAL_H

#include <stdbool.h>
#include <stdint.h>
#include <termios.h>

#include "lib/err.h"

struct terminal {
	int fd; /* borrowed; -1: none, or not in raw mode */
	struct termios saved;
};

#define TERMINAL_INIT    \
	{                \
		.fd = -1 \
	}

/* Puts the terminal fd in raw mode; does nothing when fd is none. Standard input's output side stays as it is
 * when standard output is no terminal: then others show something there (`coracle run ... | tee log`). */
int terminal_raw(struct terminal *t, int fd, struct err *err);
/* Raw once more: a shell has set its own mode while the command was stopped. */
void terminal_raw_again(const struct terminal *t);
/* Puts back what terminal_raw() found; also more than once. */
void terminal_restore(struct terminal *t);

struct terminal_size {
	uint16_t rows, cols;
};

/* False when fd is no terminal, or none whose size is known. */
bool terminal_size(int fd, struct terminal_size *ret);
/* GPROC_PLAIN_LINES when fd, where the container's output goes, is no terminal, as runc has it; else 0. */
uint32_t terminal_lines(int fd);
/* The first of standard input, output and error that is a terminal, or -1. */
int terminal_of_streams(void);

/* A new pty, its slave in raw mode and of the given size (0: not set). */
int terminal_open_pty(
	const struct terminal_size *size, int *ret_master, int *ret_slave, struct err *err);

#endif

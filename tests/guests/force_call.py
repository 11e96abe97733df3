#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Usage: force_call.py TID NUMBER [ARG...]

Makes a thread that waits in a system call make another one: NUMBER with up to six arguments (as C writes numbers, the
rest are 0), by ptrace, and lets it go. It is caught where it enters its next call, which the filter has not seen yet, so
that what follows is what follows a call of the program's own. x86-64.
"""
import ctypes, os, struct, sys

CONT_SYSCALL, DETACH, GETREGS, SETREGS, SEIZE, INTERRUPT = 24, 17, 12, 13, 0x4206, 0x4207
WALL = 0x40000000
# struct user_regs_struct, as 27 numbers: what a call's entry has in them
ARGS = (14, 13, 12, 7, 9, 8)  # rdi rsi rdx r10 r8 r9
RAX, ORIG_RAX = 10, 15
ENTERED = (1 << 64) - 38  # -ENOSYS in rax

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def ptrace(request, tid, data=None):
    if libc.ptrace(request, tid, None, data) < 0:
        sys.exit(f"force_call: ptrace {request:#x}: {os.strerror(ctypes.get_errno())}")


def stopped(tid):
    if not os.WIFSTOPPED(os.waitpid(tid, WALL)[1]):
        sys.exit("force_call: it has ended")


def main():
    tid, number = int(sys.argv[1]), int(sys.argv[2], 0)
    args = [int(a, 0) for a in sys.argv[3:]]
    regs = ctypes.create_string_buffer(27 * 8)

    ptrace(SEIZE, tid)
    ptrace(INTERRUPT, tid)
    stopped(tid)
    ptrace(CONT_SYSCALL, tid)
    stopped(tid)
    ptrace(GETREGS, tid, regs)
    value = list(struct.unpack("27Q", regs.raw))
    if value[RAX] != ENTERED:
        sys.exit("force_call: it does not enter a call")
    value[ORIG_RAX] = number
    for i, reg in enumerate(ARGS):
        value[reg] = args[i] if i < len(args) else 0
    ctypes.memmove(regs, struct.pack("27Q", *value), len(regs))
    ptrace(SETREGS, tid, regs)
    ptrace(DETACH, tid)


main()

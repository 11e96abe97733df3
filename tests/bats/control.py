#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Usage: control.py [--uid N] SOCKET STEP...

Talks to a VMM's control socket (lib/control.h) as no command would. Steps, in order:

  ask:FIELD=N,...   a new connection sends one request: type, arg, flags (default 0), version (1), len (bytes of it
                    that are sent, default 16: more are zeros), fds (descriptors of /dev/null that go along),
                    memfd=1 (an unsealed memfd instead of the first). Prints the answer: `ERRNO TEXT`, or `closed`
  silent:N          N connections that say nothing, kept until the end
  half:N            N that send 7 bytes, and stay as well
  hold              prints `holding` and waits for the end of standard input

--uid: becomes that user first, without groups. A connection that is refused prints `refused ERRNO`.
"""
import array, os, socket, struct, sys

LIMIT = 300  # seconds for an answer: the lab is slow
SIZE = 16
kept = []


def connect(path):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    s.connect(path)  # waits where the backlog is full
    s.settimeout(LIMIT)
    kept.append(s)
    return s


def answer(s):
    try:
        data = s.recv(8192)
    except ConnectionError:
        data = b""
    if len(data) < 16:
        return "closed"
    errnum = struct.unpack_from("<i", data, 4)[0]
    return "%d %s" % (errnum, data[16:528].split(b"\0")[0].decode())


def ask(path, text):
    f = {"type": 1, "arg": 0, "flags": 0, "version": 1, "len": SIZE, "fds": 0, "memfd": 0}
    f.update((k, int(v, 0)) for k, v in (pair.split("=") for pair in text.split(",")))
    data = struct.pack("<4I", f["version"], f["type"], f["arg"], f["flags"])
    data = (data + bytes(max(0, f["len"] - SIZE)))[: f["len"]]
    fds = [os.open("/dev/null", os.O_RDWR) for _ in range(f["fds"])]
    if f["memfd"]:
        fds[:1] = [os.memfd_create("x", os.MFD_ALLOW_SEALING)]
    s = connect(path)
    control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    try:
        s.sendmsg([data], control)
    except BrokenPipeError:
        pass  # closed at once: so says answer()
    for fd in fds:
        os.close(fd)
    return answer(s)


def step(path, text):
    verb, _, rest = text.partition(":")
    if verb == "ask":
        print(ask(path, rest), flush=True)
    elif verb in ("silent", "half"):
        for _ in range(int(rest)):
            s = connect(path)
            if verb == "half":
                s.send(bytes(7))
    elif verb == "hold":
        print("holding", flush=True)
        sys.stdin.read()
    else:
        sys.exit("unknown step '%s'" % text)


def main(args):
    if args[:1] == ["--uid"]:
        os.setgroups([])
        os.setgid(int(args[1]))
        os.setuid(int(args[1]))
        args = args[2:]
    for text in args[1:]:
        try:
            step(args[0], text)
        except OSError as e:
            print("refused", e.errno, flush=True)


main(sys.argv[1:])

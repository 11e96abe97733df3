#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Usage: terminal.py [--size ROWSxCOLS] [--stdin FILE] STEP... -- CMD [ARG...]
       terminal.py --console-socket PATH STEP... [-- CMD [ARG...]]

Runs CMD on a new terminal, in a session of its own; or makes a console socket at PATH, as engines do, runs CMD
without a terminal, and takes the terminal that comes through the socket. Then does the steps on it, in order:

  expect:TEXT   waits until TEXT (a regular expression) has been shown behind what was expected before
  send:TEXT     types TEXT (with \\r, \\x03 and so on)
  size:RxC      changes the size
  kill:SIGNAL   sends a signal to CMD, by name
  raw | cooked  says whether the terminal is in that mode
  hangup        closes the terminal
  wait:PATH     waits for a file, and reads nothing meanwhile
  eof           waits for the terminal's end

What was shown goes to standard output. Ends with CMD's status (128+N for a signal); 99 when a step failed.
"""
import fcntl, os, pty, re, select, signal, socket, struct, subprocess, sys, termios, time

LIMIT = 300  # seconds for a step: the lab is slow


class Failed(Exception):
    pass


def split(args):
    end = args.index("--") if "--" in args else len(args)
    options, steps = {"size": "24x80"}, []
    rest = iter(args[:end])
    for arg in rest:
        if arg.startswith("--"):
            options[arg[2:]] = next(rest)
        else:
            steps.append(arg)
    return options, steps, args[end + 1:]


def set_size(fd, text):
    rows, cols = map(int, text.split("x"))
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))


class Terminal:
    def __init__(self, fd):
        self.fd, self.shown, self.ended = fd, b"", False

    def read_some(self, deadline):
        """False at the deadline."""
        if not select.select([self.fd], [], [], max(0, deadline - time.monotonic()))[0]:
            return False
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            data = b""  # EIO: nobody has the slave any more
        self.ended = not data
        self.shown += data
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
        return True

    def expect(self, text):
        deadline = time.monotonic() + LIMIT
        while True:
            found = re.search(text.encode(), self.shown)
            if found:
                self.shown = self.shown[found.end():]
                return
            if self.ended or not self.read_some(deadline):
                raise Failed(f"expected {text!r}, have {self.shown[-2000:]!r}")

    def eof(self):
        deadline = time.monotonic() + LIMIT
        while not self.ended:
            if not self.read_some(deadline):
                raise Failed("the terminal does not end")

    def is_raw(self):
        return not termios.tcgetattr(self.fd)[3] & termios.ICANON

    def wait_mode(self, raw):
        deadline = time.monotonic() + LIMIT
        while self.is_raw() != raw:
            if time.monotonic() > deadline:
                raise Failed("the terminal is not in that mode")
            time.sleep(0.05)


def wait_for_file(path):
    deadline = time.monotonic() + LIMIT
    while not os.path.exists(path):
        if time.monotonic() > deadline:
            raise Failed(f"there is no {path}")
        time.sleep(0.1)


def do_steps(terminal, steps, child):
    for step in steps:
        verb, _, text = step.partition(":")
        if verb == "expect":
            terminal.expect(text)
        elif verb == "send":
            os.write(terminal.fd, text.encode().decode("unicode_escape").encode("latin-1"))
        elif verb == "size":
            set_size(terminal.fd, text)
        elif verb == "kill":
            child.send_signal(getattr(signal, "SIG" + text))
        elif verb in ("raw", "cooked"):
            terminal.wait_mode(verb == "raw")
        elif verb == "hangup":
            os.close(terminal.fd)
        elif verb == "wait":
            wait_for_file(text)
        elif verb == "eof":
            terminal.eof()
        else:
            raise SystemExit(f"unknown step {step!r}")


def take_master(path, cmd):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(1)
    listener.settimeout(LIMIT)
    status = subprocess.call(cmd, stdin=subprocess.DEVNULL) if cmd else 0
    if status:
        raise SystemExit(status)
    conn = listener.accept()[0]
    name, fds, _, _ = socket.recv_fds(conn, 4096, 1)
    os.unlink(path)
    if len(fds) != 1 or not name.startswith(b"/dev/"):
        raise Failed(f"no terminal came: {name!r}")
    return Terminal(fds[0])


def start_on_pty(options, cmd):
    master, slave = pty.openpty()
    set_size(slave, options["size"])

    def own_terminal():
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    stdin = open(options["stdin"], "rb") if "stdin" in options else slave
    child = subprocess.Popen(cmd, stdin=stdin, stdout=slave, stderr=slave, preexec_fn=own_terminal)
    # The slave stays open here: its mode is looked at when CMD has ended, and it has no end before.
    return Terminal(master), child, slave


def main():
    options, steps, cmd = split(sys.argv[1:])
    child = slave = None
    try:
        if "console-socket" in options:
            terminal = take_master(options["console-socket"], cmd)
        else:
            terminal, child, slave = start_on_pty(options, cmd)
        do_steps(terminal, steps, child)
        if not child:
            return 0
        deadline = time.monotonic() + LIMIT
        while child.poll() is None:
            if time.monotonic() > deadline:
                raise Failed("it does not end")
            terminal.read_some(time.monotonic() + 0.1)
        while terminal.read_some(time.monotonic()) and not terminal.ended:
            pass
        if terminal.is_raw():
            raise Failed("the terminal was left in raw mode")
    except Failed as e:
        print(f"\nterminal.py: {e}", file=sys.stderr)
        if child:
            child.kill()
        return 99
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


sys.exit(main())

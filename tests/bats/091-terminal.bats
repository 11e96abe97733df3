#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Terminals, with a real one on the host's side (terminal.py): run, create, exec; console sockets.
bats_require_minimum_version 1.5.0
load common

term() { "$BATS_TEST_DIRNAME/terminal.py" "$@"; }

# terminal_bundle ARG…: a bundle whose program has a terminal.
terminal_bundle() {
	new_bundle "$@"
	edit '.process.terminal = true | .process.env += ["PS1=ready> "]'
}

# A shell whose prompt is "ready> ".
shell_bundle() { terminal_bundle dash -i; }

# size_is ROWS COLS: a line to type that says "same" once the size is that. It does not show the word itself.
size_is() { printf '%s' "send:until [ \"\$(stty size)\" = \"$1 $2\" ]; do sleep 0.1; done; echo sa''me\\r"; }

# wait_end PID: until the process has ended (nobody may have waited for it yet).
wait_end() { until_true 60 eval '[[ ! -e /proc/'"$1"' || $(cut -d" " -f3 /proc/'"$1"'/stat) == Z ]]'; }

# start_container: one in the background without a terminal, for exec.
start_container() {
	new_bundle sleep 100000
	coracle run --detach --bundle "$bundle" "$id" </dev/null >"$BATS_TEST_TMPDIR/log" 2>&1
}

@test "run with a terminal: size at start and on change, Ctrl-C, its mode is put back" {
	need_kvm
	shell_bundle
	term --size 33x99 expect:'ready> ' raw 'send:stty size; tty\r' expect:'33 99' expect:/dev/pts/ \
		size:40x100 "$(size_is 40 100)" expect:same expect:'ready> ' 'send:sleep 1000; echo not\r' expect:sleep 'send:\x03' expect:'ready> ' \
		'send:exit 6\r' -- "$CORACLE_BIN" --root "$root" run --bundle "$bundle" "$id" || got=$?
	((got == 6))
	left_nothing
}

@test "run with a terminal: job control, end of file by Ctrl-D, what is shown is not echoed twice" {
	need_kvm
	terminal_bundle bash --norc --noprofile -i
	term expect:'ready> ' "send:sh -c 'echo go\"\"ing; exec sleep 1000'\\r" expect:going 'send:\x1a' expect:Stopped expect:'ready> ' 'send:jobs\r' expect:Stopped expect:'ready> ' \
		'send:kill %1; cat\r' expect:cat 'send:one line\r' expect:'one line\r\none line\r\n' 'send:\x04' expect:'ready> ' 'send:exit 3\r' \
		-- "$CORACLE_BIN" --root "$root" run --bundle "$bundle" "$id" || got=$?
	((got == 3))
}

@test "run with a terminal: a signal goes to the program, and the mode is put back; also while the VM boots" {
	need_kvm
	terminal_bundle sh -c 'trap "exit 7" TERM; echo up; while :; do sleep 0.1; done'
	term expect:up raw kill:TERM -- "$CORACLE_BIN" --root "$root" run --bundle "$bundle" "$id" || got=$?
	((got == 7))
	got=0
	term kill:TERM -- "$CORACLE_BIN" --root "$root" run --bundle "$bundle" "$id" || got=$?
	((got == 143))
	left_nothing
}

@test "run with a terminal whose input is no terminal" {
	need_kvm
	terminal_bundle sh -c 'tty; stty size; exit 4'
	run coracle run --bundle "$bundle" "$id" </dev/null
	((status == 4))
	[[ $output == /dev/pts/* ]]
}

@test "what goes to a pipe instead of a terminal has lines as they were written, as with runc" {
	need_kvm
	terminal_bundle sh -c 'printf "one\ntwo\n"'
	[[ $(coracle run --bundle "$bundle" "$id" </dev/null | od -An -c | tr -d ' \n') == 'one\ntwo\n' ]]
	# what others show on the terminal that is the input begins at the left
	term expect:'<two>\r\n' -- sh -c '"$0" "$@" | sed "s/.*/<&>/"' "$CORACLE_BIN" --root "$root" run --bundle "$bundle" "$id"
	start_container
	[[ $(coracle exec --tty "$id" printf 'one\ntwo\n' </dev/null | od -An -c | tr -d ' \n') == 'one\ntwo\n' ]]
}

@test "consoleSize is the size where nobody says another" {
	need_kvm
	terminal_bundle stty size
	edit '.process.consoleSize = {height: 11, width: 111}'
	run coracle run --bundle "$bundle" "$id" </dev/null
	((status == 0))
	[[ $output == "11 111"* ]]
}

@test "terminal and console socket have to fit together" {
	need_kvm
	shell_bundle
	run coracle create --bundle "$bundle" "$id" </dev/null
	fails 1 "cannot allocate tty if coracle will detach without setting console socket"
	run coracle run --detach --bundle "$bundle" "$id" </dev/null
	fails 1 "cannot allocate tty if coracle will detach without setting console socket"
	run coracle run --console-socket /nowhere --bundle "$bundle" "$id" </dev/null
	fails 1 "cannot use console socket if coracle will not detach or allocate tty"
	run coracle create --console-socket /nowhere --bundle "$bundle" "$id" </dev/null
	fails 1 "cannot open the console socket '/nowhere'"
	left_nothing
	edit '.process.terminal = false'
	run coracle create --console-socket /nowhere --bundle "$bundle" "$id" </dev/null
	fails 1 "cannot use console socket if coracle will not detach or allocate tty"
	left_nothing
}

@test "create --console-socket: the engine's terminal is the program's; its size, its end" {
	need_kvm
	shell_bundle
	# what waits for the end of create's output must not wait for the container's: cat sees it
	term --console-socket "$BATS_TEST_TMPDIR/console.sock" size:21x77 expect:'ready> ' "$(size_is 21 77)" expect:same \
		size:22x78 "$(size_is 22 78)" expect:same 'send:exit 9\r' eof -- \
		bash -c '"$0" --root "$1" create --bundle "$2" --pid-file "$3" --console-socket "$4" "$5" 2>&1 | cat && "$0" --root "$1" start "$5"' \
		"$CORACLE_BIN" "$root" "$bundle" "$BATS_TEST_TMPDIR/pid" "$BATS_TEST_TMPDIR/console.sock" "$id"
	until_true 60 eval '[[ $(status_of "$id") == stopped ]]'
	run -0 coracle delete "$id"
	left_nothing
}

@test "run --detach --console-socket: when the engine hangs up, the program gets SIGHUP" {
	need_kvm
	own=$BATS_TEST_TMPDIR/out
	mkdir "$own"
	terminal_bundle sh -c 'trap "echo hup >/out/log; exit 1" HUP; echo up; while :; do sleep 0.1; done'
	edit '.mounts += [{destination: "/out", source: $own, type: "bind", options: ["bind", "rw"]}]' --arg own "$own"
	term --console-socket "$BATS_TEST_TMPDIR/s" expect:up hangup -- \
		"$CORACLE_BIN" --root "$root" run --detach --bundle "$bundle" --console-socket "$BATS_TEST_TMPDIR/s" "$id"
	until_true 60 grep -q hup "$own/log"
	until_true 60 eval '[[ $(status_of "$id") == stopped ]]'
}

@test "exec --tty: size, Ctrl-C, status, and the mode is put back; also when it is killed" {
	need_kvm
	start_container
	term --size 33x99 expect:'# ' raw 'send:stty size; tty\r' expect:'33 99' expect:/dev/pts/ size:40x100 "$(size_is 40 100)" expect:same \
		expect:'# ' 'send:sleep 1000; echo not\r' expect:sleep 'send:\x03' expect:'# ' 'send:exit 6\r' -- "$CORACLE_BIN" --root "$root" exec --tty "$id" dash -i || got=$?
	((got == 6))
	got=0
	term expect:up raw kill:TERM -- "$CORACLE_BIN" --root "$root" exec -t "$id" sh -c 'echo up; exec sleep 1000' || got=$?
	((got == 143))
	got=0
	term cooked -- "$CORACLE_BIN" --root "$root" exec -t "$id" no-such-program || got=$?
	((got == 255))
	run -0 coracle exec -t "$id" sh -c 'stat -c %u:%g $(tty); test -t 0 && test -t 1 && test -t 2 && echo all' </dev/null
	[[ $output == *$'0:5'*all* ]]
}

@test "exec --detach --console-socket with a process file, as engines do; consoleSize" {
	need_kvm
	start_container
	jq -n '{terminal: true, consoleSize: {height: 10, width: 110}, args: ["dash", "-i"], cwd: "/", env: ["PS1=ready> ", "PATH=/usr/bin:/bin"],
		user: {uid: 1000, gid: 1000}}' >"$BATS_TEST_TMPDIR/process.json"
	term --console-socket "$BATS_TEST_TMPDIR/s" expect:'ready> ' 'send:stty size; id -u; stat -c %u $(tty)\r' expect:'10 110\r\n1000\r\n1000' \
		size:20x120 "$(size_is 20 120)" expect:same 'send:exit 3\r' eof -- \
		bash -c '"$0" --root "$1" exec --process "$2" --console-socket "$3" --detach --pid-file "$4" "$5" 2>&1 | cat' \
		"$CORACLE_BIN" "$root" "$BATS_TEST_TMPDIR/process.json" "$BATS_TEST_TMPDIR/s" "$BATS_TEST_TMPDIR/pid" "$id"
	wait_end "$(cat "$BATS_TEST_TMPDIR/pid")"
	# a hang-up of the engine ends it
	rm "$BATS_TEST_TMPDIR/pid"
	term --console-socket "$BATS_TEST_TMPDIR/s" expect:'ready> ' hangup -- \
		"$CORACLE_BIN" --root "$root" exec --process "$BATS_TEST_TMPDIR/process.json" --console-socket "$BATS_TEST_TMPDIR/s" --detach \
		--pid-file "$BATS_TEST_TMPDIR/pid" "$id"
	wait_end "$(cat "$BATS_TEST_TMPDIR/pid")"
}

@test "a terminal that nobody reads blocks only itself" {
	need_kvm
	start_container
	term --console-socket "$BATS_TEST_TMPDIR/s" expect:up wait:"$BATS_TEST_TMPDIR/done" -- \
		"$CORACLE_BIN" --root "$root" exec --tty --console-socket "$BATS_TEST_TMPDIR/s" --detach --pid-file "$BATS_TEST_TMPDIR/pid" \
		"$id" sh -c 'echo up; sleep 1; trap "" HUP; while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyy; done' &
	until_true 60 test -e "$BATS_TEST_TMPDIR/pid"
	[[ $(coracle exec "$id" sh -c 'head -c 300000 /dev/zero' | wc -c) == 300000 ]]
	run -0 coracle kill "$id" KILL
	until_true 60 eval '[[ $(status_of "$id") == stopped ]]'
	touch "$BATS_TEST_TMPDIR/done"
	wait $! # and not for the countdown of the time limit
}

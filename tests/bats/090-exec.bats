#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# exec: further processes in a container, as people and engines start them.
bats_require_minimum_version 1.5.0
load common

# A container in the background that does nothing.
start_container() {
	new_bundle sleep 100000
	coracle run --detach --bundle "$bundle" "$id" </dev/null >"$BATS_TEST_TMPDIR/log" 2>&1
}

# in_it ARG…: bats' run of an exec in it, standard error apart.
in_it() { run --separate-stderr coracle exec "$id" "$@"; }

# detached NAME [OPTION…] -- ARG…: an engine's exec; the proxy's pid in $pid, its output in $out.
detached() {
	out=$BATS_TEST_TMPDIR/out.$1
	local pidfile=$BATS_TEST_TMPDIR/pid.$1 options=()
	shift
	while [[ $1 != -- ]]; do
		options+=("$1")
		shift
	done
	shift
	coracle exec --detach --pid-file "$pidfile" "${options[@]}" "$id" "$@" </dev/null >"$out" 2>&1
	pid=$(cat "$pidfile")
}

# wait_end PID: until the process has ended (its parent, bats, has not waited for it: it may be a zombie).
wait_end() { until_true 60 eval '[[ ! -e /proc/'"$1"' || $(cut -d" " -f3 /proc/'"$1"'/stat) == Z ]]'; }

gone() { [[ ! -d /proc/$1 ]]; }

@test "exec: status, output and error output are the program's" {
	need_kvm
	start_container
	in_it true
	[[ $status == 0 && ! $output && ! $stderr ]]
	in_it false
	((status == 1))
	in_it sh -c 'echo out; echo err >&2; exit 42'
	((status == 42))
	[[ $output == out && $stderr == err ]]
	in_it sh -c 'kill -9 $$'
	((status == 137))
	in_it sh -c 'kill -TERM $$'
	((status == 143))
}

@test "exec: it is in the container: its pid namespace, its files, its host name, its cgroup, child of nobody there" {
	need_kvm
	start_container
	in_it sh -c 'readlink /proc/1/ns/* /proc/self/ns/* | sort -u | wc -l; readlink /proc/1/ns/* | sort -u | wc -l
		cat /proc/1/cmdline | tr "\0" " "; echo; grep PPid /proc/self/status; cat /proc/self/cgroup /proc/1/cgroup | sort -u | wc -l'
	echo "$output"
	((status == 0))
	[[ ${lines[0]} == "${lines[1]}" ]]
	[[ ${lines[2]} == "sleep 100000 " ]]
	[[ ${lines[4]} == 1 ]]
	in_it sh -c 'ls /proc/self/fd | tr "\n" " "'
	[[ $output == "0 1 2 3 " ]]
}

@test "exec: a program that is missing, or cannot be executed: 255 and runc's words, on stderr and in --log" {
	need_kvm
	start_container
	in_it no-such-program
	fails 255 'exec: "no-such-program": executable file not found in $PATH'
	in_it /no/such/file
	fails 255 'exec: "/no/such/file": stat /no/such/file: no such file or directory'
	in_it /etc/passwd
	fails 255 "permission denied"
	run --separate-stderr coracle exec --cwd /nowhere "$id" true
	fails 255 "/nowhere"
	run --separate-stderr "$CORACLE_BIN" --root "$root" --log "$BATS_TEST_TMPDIR/exec.log" --log-format json exec "$id" no-such-program
	((status == 255))
	jq -e '.level == "error" and (.msg | contains("executable file not found in $PATH"))' "$BATS_TEST_TMPDIR/exec.log"
	# nothing is left in the way of another
	in_it true
	((status == 0))
}

@test "exec: wrong calls end with 255 and say why; of the command line's own with 1" {
	need_kvm
	start_container
	run --separate-stderr coracle exec "$id"
	fails 255 "process args cannot be empty"
	run --separate-stderr coracle exec no-such-container true
	fails 255 "container does not exist"
	run --separate-stderr coracle exec --pid-file /no/such/dir/pid "$id" sleep 1000
	fails 255 "pid file"
	run --separate-stderr coracle exec --user nobody "$id" true
	fails 255 "parsing nobody as int for uid failed"
	run --separate-stderr coracle exec --preserve-fds 2 "$id" true
	fails 255 "--preserve-fds 2"
	run --separate-stderr coracle --lenient exec --preserve-fds 2 "$id" true
	((status == 0))
	[[ $stderr == *"warning: --preserve-fds 2"* ]]
	run --separate-stderr coracle exec --apparmor x "$id" true
	fails 255 "AppArmor"
	run --separate-stderr coracle exec --tty --detach "$id" true
	fails 255 "cannot allocate tty if coracle will detach without setting console socket"
	run --separate-stderr coracle exec --console-socket /nowhere "$id" true
	fails 255 "cannot use console socket if coracle will not detach or allocate tty"
	run --separate-stderr coracle exec --no-such-option "$id" true
	fails 1 "unknown option"
	until_true 60 eval '[[ $(coracle exec $id sh -c "ls -d /proc/[0-9]* | wc -l") == 3 ]]' # 1, sh, ls: no sleep
}

@test "exec: options end at the id, the program's own follow" {
	need_kvm
	start_container
	in_it echo -n --detach -p x
	[[ $output == "--detach -p x" ]]
}

@test "exec: cwd, env, user, groups, capabilities, no_new_privs" {
	need_kvm
	start_container
	run -0 coracle exec --cwd /usr "$id" pwd
	[[ $output == /usr ]]
	run -0 coracle exec --env A=1 -e 'B=x y' -e A=2 "$id" sh -c 'echo "$A|$B|$PATH"'
	[[ $output == "2|x y|/usr/local/sbin"* ]]
	run -0 coracle exec --user 1000:1001 --additional-gids 100 -g 65534 "$id" id
	[[ $output == "uid=1000 gid=1001 groups=1001,100(users),65534(nogroup)" ]]
	run -0 coracle exec --user 1000 "$id" sh -c 'echo "$HOME"'
	[[ $output == / ]]
	run -0 coracle exec --cap CAP_SYS_ADMIN -c CAP_SYS_TIME "$id" grep Cap /proc/self/status
	echo "$output"
	(((0x$(awk '/CapEff/ {print $2}' <<<"$output") & (1 << 21 | 1 << 25)) == (1 << 21 | 1 << 25)))
	run -0 coracle exec "$id" grep CapEff /proc/self/status
	(((0x$(awk '/CapEff/ {print $2}' <<<"$output") & 1 << 21) == 0))
	edit '.process.noNewPrivileges = false'
	run -0 coracle exec "$id" grep NoNewPrivs /proc/self/status
	[[ $output == *0 ]]
	run -0 coracle exec --no-new-privs "$id" grep NoNewPrivs /proc/self/status
	[[ $output == *1 ]]
}

@test "exec --cgroup: a group below the container's, and nothing else" {
	need_kvm
	new_bundle sleep 100000
	edit '.mounts |= map(if .type == "cgroup" then .options -= ["ro"] else . end)'
	coracle run --detach --bundle "$bundle" "$id" </dev/null >"$BATS_TEST_TMPDIR/log" 2>&1
	run coracle exec --cgroup .. "$id" true
	fails 255 " .. is not a sub cgroup path"
	run coracle exec --cgroup a/../../container "$id" true
	fails 255 "is not a sub cgroup path"
	run coracle exec --cgroup memory:a "$id" true
	fails 255 "without a controller"
	run coracle exec --cgroup a --cgroup b "$id" true
	fails 255 "--cgroup: one path"
	run coracle exec --cgroup nonexistent "$id" true
	fails 255 "to cgroups /nonexistent: /nonexistent/cgroup.procs: no such file or directory"
	in_it sh -c 'cd /sys/fs/cgroup; mkdir -p a/b'
	in_it cat /proc/self/cgroup
	[[ $output == 0::/ ]]
	for path in / a /a/b a/./b ./a/../a/b; do
		run -0 coracle exec --cgroup "$path" "$id" cat /proc/self/cgroup
		echo "$output"
		case $path in
		/) [[ $output == 0::/ ]] ;;
		a) [[ $output == 0::/a ]] ;;
		*) [[ $output == 0::/a/b ]] ;;
		esac
	done
	jq -n '{args: ["cat", "/proc/self/cgroup"], cwd: "/", env: ["PATH=/usr/bin:/bin"]}' >"$BATS_TEST_TMPDIR/process.json"
	run -0 coracle exec --cgroup a --process "$BATS_TEST_TMPDIR/process.json" "$id"
	[[ $output == 0::/a ]]
	# a group that has handed its controllers down takes no process: then process 1's, unless one is named
	in_it sh -c 'cd /sys/fs/cgroup; for p in $(cat cgroup.procs); do echo $p >a/b/cgroup.procs; done; echo +memory >cgroup.subtree_control'
	run -0 coracle exec "$id" cat /proc/self/cgroup
	[[ $output == 0::/a/b ]]
	run coracle exec --cgroup / "$id" true
	fails 255 "to cgroups : /cgroup.procs: device or resource busy"
}

@test "exec: a process file, also through a pipe, as engines write them" {
	need_kvm
	start_container
	jq -n '{args: ["sh", "-c", "echo $X; id -u; pwd; ulimit -n; umask"], cwd: "/tmp", env: ["X=y", "PATH=/usr/bin:/bin"],
		user: {uid: 7, gid: 8, umask: 63}, rlimits: [{type: "RLIMIT_NOFILE", soft: 99, hard: 99}]}' >"$BATS_TEST_TMPDIR/process.json"
	run -0 coracle exec --process "$BATS_TEST_TMPDIR/process.json" "$id"
	[[ $output == $'y\n7\n/tmp\n99\n0077' ]]
	run -0 coracle exec -p <(cat "$BATS_TEST_TMPDIR/process.json") "$id"
	[[ $output == $'y\n7\n/tmp\n99\n0077' ]]
	echo '{"args": ["true"]}' >"$BATS_TEST_TMPDIR/process.json"
	run --separate-stderr coracle exec --process "$BATS_TEST_TMPDIR/process.json" "$id"
	fails 255 "cwd is missing"
	run --separate-stderr coracle exec --process /nowhere "$id"
	fails 255 "/nowhere"
}

@test "exec: standard input comes in, ends, and need not be read" {
	need_kvm
	start_container
	got=$(printf 'a\0b\nc' | coracle exec "$id" cat | od -An -c | tr -d ' \n')
	[[ $got == 'a\0b\nc' ]]
	head -c 8M /dev/urandom >"$BATS_TEST_TMPDIR/in"
	coracle exec "$id" cat <"$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/copy"
	cmp "$BATS_TEST_TMPDIR/in" "$BATS_TEST_TMPDIR/copy"
	run -0 coracle exec "$id" cat </dev/null
	[[ ! $output ]]
	coracle exec "$id" sh -c 'cat; echo done' <&- >"$BATS_TEST_TMPDIR/copy"
	[[ $(cat "$BATS_TEST_TMPDIR/copy") == done ]]
	run -0 coracle exec "$id" true < <(yes)
	[[ $(coracle exec "$id" sh -c 'head -c 300000 /dev/zero; printf end' | wc -c) == 300003 ]]
}

@test "exec --detach: returns when it runs; its pid's status is the program's; no stream or descriptor is kept" {
	need_kvm
	start_container
	# bats is no subreaper: the status is seen by a shell that is
	exec 7>"$BATS_TEST_TMPDIR/leak"
	detached a -- sh -c 'trap "echo late; exit 3" TERM; echo out; echo err >&2; while :; do sleep 0.1; done'
	exec 7>&-
	[[ $(cat "/proc/$pid/comm") == coracle-exec ]]
	[[ $(wc -l <"$BATS_TEST_TMPDIR/pid.a") == 0 ]]
	run ls -l "/proc/$pid/fd" "/proc/$pid/cwd"
	echo "$output"
	[[ $output != *leak* && $output != *out.a* && $output == *"/dev/null"* && $output == *"cwd -> /"$'\n'* ]]
	[[ $(ps -o sid= -p "$pid") -eq $pid ]]
	until_true 60 grep -q err "$out" # the trap is set
	kill -TERM "$pid"
	wait_end "$pid"
	[[ $(cat "$out") == $'out\nerr\nlate' ]]
	# nothing of it is left in the state directory
	[[ ! $(find "$root/$id" -name 'exec.*') ]]
}

@test "exec --detach: the pid's exit status reaches a subreaper, as an engine is" {
	need_kvm
	start_container
	perl -e '
		require "syscall.ph" unless eval { require "sys/syscall.ph" };
		syscall(157, 36, 1, 0, 0, 0) == 0 or die "prctl: $!"; # PR_SET_CHILD_SUBREAPER
		my ($file, @cmd) = @ARGV;
		open STDIN, "<", "/dev/null"; open STDOUT, ">", "/dev/null";
		system(@cmd) == 0 or die "exec: $?";
		open my $f, "<", $file or die; my $pid = <$f>;
		waitpid($pid, 0) == $pid or die "no child $pid";
		exit($? >> 8);' "$BATS_TEST_TMPDIR/p" "$CORACLE_BIN" --root "$root" exec --detach --pid-file "$BATS_TEST_TMPDIR/p" "$id" sh -c 'exit 44' || got=$?
	((got == 44))
}

@test "exec --detach: a program that is missing: the reason on stderr, 255, no pid file, no process" {
	need_kvm
	start_container
	run --separate-stderr coracle exec --detach --pid-file "$BATS_TEST_TMPDIR/pid" "$id" no-such-program
	fails 255 "executable file not found in \$PATH"
	[[ ! -e $BATS_TEST_TMPDIR/pid ]]
	run pgrep coracle-exec
	((status == 1))
	run --separate-stderr coracle exec --detach --pid-file /no/such/dir/pid "$id" sleep 1000
	fails 255 "pid file"
	until_true 60 eval '! pgrep coracle-exec'
	until_true 60 eval '[[ $(coracle exec $id sh -c "ls -d /proc/[0-9]* | wc -l") == 3 ]]'
}

@test "exec: signals to the proxy reach the program, by kill(2), and its status comes back" {
	need_kvm
	start_container
	"$CORACLE_BIN" --root "$root" exec "$id" sh -c 'trap "exit 5" USR1; trap "echo winch" WINCH; echo up; while :; do sleep 0.1; done' >"$BATS_TEST_TMPDIR/out" &
	until_true 60 grep -q up "$BATS_TEST_TMPDIR/out"
	kill -WINCH $!
	until_true 60 grep -q winch "$BATS_TEST_TMPDIR/out"
	kill -USR1 $!
	wait $! || got=$?
	((got == 5))
	detached b -- sh -c 'echo up; exec sleep 1000'
	until_true 60 grep -q up "$out"
	kill -TERM "$pid"
	wait_end "$pid"
}

@test "exec: the proxy's death is the program's" {
	need_kvm
	start_container
	detached a -- sleep 4711
	[[ $(coracle exec "$id" pgrep -fc 'sleep 4711') == 1 ]]
	kill -9 "$pid"
	until_true 60 eval '! coracle exec "$id" pgrep -f "sleep 4711" >/dev/null'
	# a stale mark is nobody's
	[[ $(coracle ps --format json "$id" | jq length) == 1 ]]
}

@test "exec: a child that lives on keeps its stream, not the exec" {
	need_kvm
	start_container
	detached a -- sh -c '(sleep 2; echo late) & echo early'
	wait_end "$pid"
	[[ $(cat "$out") == early* ]]
	until_true 60 grep -q late "$out"
}

@test "exec: the container's end is the end of what was executed in it: 137" {
	need_kvm
	start_container
	"$CORACLE_BIN" --root "$root" exec "$id" sh -c 'echo up; exec sleep 1000' >"$BATS_TEST_TMPDIR/out" &
	until_true 60 grep -q up "$BATS_TEST_TMPDIR/out"
	coracle kill "$id" KILL
	wait $! || got=$?
	((got == 137))
	until_true 60 eval '[[ $(status_of "$id") == stopped ]]'
	run --separate-stderr coracle exec "$id" true
	fails 255 "cannot exec in a stopped container"
}

@test "exec: kill -9 on the VMM ends the proxies, and says so" {
	need_kvm
	new_bundle sleep 100000
	coracle run --detach --pid-file "$BATS_TEST_TMPDIR/pid" --bundle "$bundle" "$id" </dev/null >/dev/null 2>&1
	detached a -- sleep 1000
	kill -9 "$(cat "$BATS_TEST_TMPDIR/pid")"
	wait_end "$pid"
	run -0 coracle delete "$id"
	left_nothing
}

@test "exec in a container that is created but not started works" {
	need_kvm
	new_bundle sleep 100000
	coracle create --bundle "$bundle" "$id" </dev/null >/dev/null 2>&1
	run -0 coracle exec "$id" echo early
	[[ $output == early ]]
	run -0 coracle start "$id"
	run -0 coracle exec "$id" echo later
	[[ $output == later ]]
}

@test "exec: the calls of containerd and of conmon" {
	need_kvm
	start_container
	jq -n '{args: ["sh", "-c", "cat; exit 9"], cwd: "/", env: ["PATH=/usr/bin:/bin"], user: {uid: 0, gid: 0}}' >"$BATS_TEST_TMPDIR/process.json"
	echo hello | "$CORACLE_BIN" --root "$root" --log "$BATS_TEST_TMPDIR/log.json" --log-format json exec \
		--process "$BATS_TEST_TMPDIR/process.json" --detach --pid-file "$BATS_TEST_TMPDIR/pid" "$id" >"$BATS_TEST_TMPDIR/out" 2>&1
	wait_end "$(cat "$BATS_TEST_TMPDIR/pid")"
	[[ $(cat "$BATS_TEST_TMPDIR/out") == hello ]]
	[[ ! -s $BATS_TEST_TMPDIR/log.json ]]
	rm "$BATS_TEST_TMPDIR/pid"
	echo again | "$CORACLE_BIN" --root "$root" exec --pid-file "$BATS_TEST_TMPDIR/pid" --process "$BATS_TEST_TMPDIR/process.json" \
		--detach --preserve-fds 0 "$id" >"$BATS_TEST_TMPDIR/out" 2>&1
	wait_end "$(cat "$BATS_TEST_TMPDIR/pid")"
	[[ $(cat "$BATS_TEST_TMPDIR/out") == again ]]
}

@test "exec: 200 at a time, none lost" {
	need_kvm
	new_bundle sleep 100000
	edit '.annotations["coracle.vm.memory"] = "768M"'
	coracle run --detach --bundle "$bundle" "$id" </dev/null >/dev/null 2>&1
	# One fifo is the standard input of all: they go on when its only writer closes it.
	mkfifo "$BATS_TEST_TMPDIR/go"
	exec 9<>"$BATS_TEST_TMPDIR/go"
	for i in {1..200}; do
		"$CORACLE_BIN" --root "$root" exec "$id" sh -c "read go; echo out-$i; exit $((i % 100 + 1))" \
			<"$BATS_TEST_TMPDIR/go" >"$BATS_TEST_TMPDIR/n.$i" 2>"$BATS_TEST_TMPDIR/e.$i" 9>&- &
		pids[i]=$!
	done
	until_true 1200 eval '(($(coracle ps --format json "$id" | jq length) == 201))' || {
		coracle ps --format json "$id" | jq length
		cat "$BATS_TEST_TMPDIR"/e.* | sort | uniq -c
		return 1
	}
	exec 9>&-
	for i in {1..200}; do
		got=0
		wait "${pids[i]}" || got=$?
		((got == i % 100 + 1)) || { echo "exec $i: status $got: $(cat "$BATS_TEST_TMPDIR/e.$i")" && false; }
		[[ $(cat "$BATS_TEST_TMPDIR/n.$i") == out-$i ]]
	done
	in_it true
	((status == 0))
	until_true 60 eval '[[ $(coracle exec $id sh -c "ls -d /proc/[0-9]* | wc -l") == 3 ]]'
}

@test "kill --all: every process of the container; quiet when there is none" {
	need_kvm
	start_container
	detached a -- sh -c 'trap "exit 6" USR2; echo up; while :; do sleep 0.1; done'
	until_true 60 grep -q up "$out"
	coracle exec "$id" sleep 1000 &
	until_true 60 coracle exec "$id" pgrep -f "sleep 1000"
	run -0 coracle kill --all "$id" USR2
	wait_end "$pid"
	wait $! || got=$?
	((got == 140))
	[[ $(status_of "$id") == running ]] # process 1 has no handler: the kernel keeps it from USR2
	run -0 coracle kill --all "$id" 9
	until_true 60 eval '[[ $(status_of "$id") == stopped ]]'
	run -0 coracle kill --all "$id" 9
	[[ ! $output ]]
	run coracle kill "$id" 9
	fails 1 "container not running"
	run -0 coracle delete "$id"
	left_nothing
}

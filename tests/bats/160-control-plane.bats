#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016,SC2119,SC2154,SC2174
# The control plane against who should not be let in, and against what it should not believe: peers of the control
# socket, state directories, state files, ids, cgroup paths. tests/unit/test_control.c has the socket's server alone.
bats_require_minimum_version 1.5.0
load common

control() { "${BATS_TEST_FILENAME%/*}/control.py" "$@"; }

# box COMMAND…: a container of a state root that others could look into, in the background: created.
box() {
	root=$(mktemp -d /tmp/open.XXXXXX) # bats' own directories are closed to others
	new_bundle "$@"
	coracle create --bundle "$bundle" --pid-file "$BATS_TEST_TMPDIR/pid" "$id" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1
	vmm=$(cat "$BATS_TEST_TMPDIR/pid")
	sock=$root/$id/control.sock
}

unbox() {
	run -0 coracle delete --force "$id"
	left_nothing
	rmdir "$root"
}

# fds: how many descriptors the VMM has.
fds() { find "/proc/$vmm/fd" -mindepth 1 | wc -l; }

# hold STEP…: a client that does these steps and stays, its pid in $holder, until release.
hold() {
	mkfifo "$BATS_TEST_TMPDIR/hold"
	control "$sock" "$@" hold <"$BATS_TEST_TMPDIR/hold" >"$BATS_TEST_TMPDIR/held" 2>&1 3>&- &
	holder=$!
	exec 5>"$BATS_TEST_TMPDIR/hold"
	until_true 120 grep -qx holding "$BATS_TEST_TMPDIR/held"
}

release() {
	exec 5>&-
	wait "$holder"
	rm "$BATS_TEST_TMPDIR/hold"
}

# forge FILTER [JQ OPTION…]: a state.json that says what a real one would, and then what FILTER makes of it.
forge() {
	local filter=$1
	shift
	mkdir -p -m 0700 "$root" "$root/$id"
	rm -rf "${root:?}/$id/state.json"
	jq -n "{version: 1, ociVersion: \"1.0.2\", id: \$id, pid: 0, pidStartTicks: 0, bundle: \"/b\", rootfs: \"/b/r\",
		created: \"2026-01-02T03:04:05Z\", owner: 0, memoryBytes: 0, cgroups: []} | $filter" --arg id "$id" "$@" >"$root/$id/state.json"
}

ticks() { sed 's/.*) //' "/proc/$1/stat" | cut -d" " -f20; }

# victim: somebody's process, in $victim.
victim() {
	sleep 1000 >/dev/null 2>&1 3>&- &
	victim=$!
	# it has to be what it will be: its name, its arguments
	until_true 60 grep -qa sleep "/proc/$victim/cmdline"
}

# harmless [COMMAND…]: whatever the state file says, every command ends, and ends nothing but itself; and the
# container of the id can be deleted. Default: every command that would ask a VMM, or end one.
harmless() {
	local command
	(($#)) || set -- "state $id" "kill $id" "kill $id KILL" "start $id" "pause $id" "ps $id" "exec $id true" "update --pids-limit 5 $id"
	for command in "$@"; do
		# shellcheck disable=SC2086
		run timeout 60 "$CORACLE_BIN" --root "$root" $command </dev/null
		echo "$command: $status $output"
		((status != 124 && status < 128 || status == 255))
		[[ $command == "state "* || $command == "ps "* || $status != 0 ]]
	done
	run timeout 60 "$CORACLE_BIN" --root "$root" list
	((status == 0))
	run timeout 60 "$CORACLE_BIN" --root "$root" delete --force "$id"
	echo "delete: $status $output"
	((status == 0))
	[[ ! -e $root/$id ]]
	[[ ! ${victim-} ]] || kill -0 "$victim"
}

@test "the state root: made for its owner only, and refused when others may write to it, also in /tmp" {
	new_bundle true
	mkdir "$bundle/rootfs"
	edit '.root.path = "rootfs" | .annotations["coracle.vm.kernel"] = "/nowhere"'
	(umask 0 && ! coracle create --bundle "$bundle" "$id")
	[[ $(stat -c "%a %u" "$root") == "700 0" ]]
	for change in "chmod 1777" "chmod 0770" "chmod 0702" "chown 65534"; do
		rm -rf "$root"
		mkdir -m 0700 "$root"
		$change "$root"
		for command in "create --bundle $bundle" state "delete --force"; do
			# shellcheck disable=SC2086
			run coracle $command "$id"
			echo "$change, $command: $status $output"
			((status == 1))
			[[ $output == *"the state directory '$root' "@("is writable by others"|"belongs to uid 65534")* ]]
		done
		[[ ! $(ls -A "$root") ]]
	done
}

@test "the control socket serves root, and nobody else, however open the way to it is" {
	need_kvm
	box sleep 1000
	[[ $(stat -c %a "$root/$id") == 700 ]]
	coracle start "$id"
	chmod 0755 "$root" "$root/$id"
	chmod 0777 "$sock"
	run -0 control "$sock" ask:type=1 # the same client, as root: it is answered
	[[ ${lines[0]} == "0 " ]]
	# STATE, START, SIGNAL 9, KEEP, EXEC, PAUSE, EVENTS
	run control --uid 65534 "$sock" ask:type=1 ask:type=2 ask:type=3,arg=9 ask:type=5 ask:type=6,memfd=1,fds=4 ask:type=8 ask:type=11
	echo "$output"
	((status == 0 && ${#lines[@]} == 7))
	for line in "${lines[@]}"; do [[ $line == closed ]]; done
	[[ $(status_of "$id") == running ]]
	chmod 0700 "$root/$id"
	run control --uid 65534 "$sock" ask:type=1
	[[ $output == "refused 13" ]]
	unbox
}

@test "a request that is malformed, or not for this phase, is refused; its descriptors are closed" {
	need_kvm
	box sleep 1000
	before=$(fds)
	# too short, too long; of another version; types there are not; a flag that is none of the type's
	run -0 control "$sock" ask:len=1 ask:len=15 ask:len=17 ask:len=4096 ask:version=2 ask:version=0 \
		ask:type=0 ask:type=12 ask:type=0xffffffff ask:flags=1 ask:type=2,flags=2 ask:type=3,arg=9,flags=4
	echo "$output"
	((${#lines[@]} == 12))
	for line in "${lines[@]}"; do [[ $line == "71 "* ]]; done # EPROTO
	# descriptors where none belong, or one too many; none where some must be; a memfd that is not sealed
	run -0 control "$sock" ask:type=1,fds=1 ask:type=2,fds=1 ask:type=3,arg=9,fds=4 ask:type=10,fds=2 ask:type=6,fds=5 ask:type=6,fds=200 \
		ask:type=6 ask:type=6,fds=4 ask:type=6,fds=4,memfd=1 ask:type=6,arg=0xffff,fds=4
	echo "$output"
	((${#lines[@]} == 10))
	for line in "${lines[@]}"; do [[ $line == @(71|24|22)" "* ]]; done # EPROTO, EMFILE, EINVAL
	[[ $(status_of "$id") == created ]]
	# SIGNAL: none of that number; ASK: no such question; RESUME: not paused; RESIZE: no terminal
	run -0 control "$sock" ask:type=3,arg=65 ask:type=3,arg=0xffffffff ask:type=10,arg=77 ask:type=9 ask:type=7
	echo "$output"
	for line in "${lines[@]}"; do [[ $line != "0 "* && $line != closed ]]; done
	run -0 control "$sock" ask:type=2 ask:type=2 ask:type=2 # START, and START again
	echo "$output"
	[[ ${lines[0]} == "0 " && ${lines[1]} == *"cannot start an already running container" && ${lines[2]} == "${lines[1]}" ]]
	until_true 60 eval '(($(fds) <= before))'
	[[ $(status_of "$id") == running ]]
	run -0 coracle exec "$id" echo alive
	[[ $output == alive ]]
	unbox
}

@test "clients that say nothing, say half, or come by the hundred: the commands are served all the same" {
	need_kvm
	box sleep 1000
	coracle start "$id"
	before=$(fds)
	hold silent:300 half:100
	[[ $(timeout 60 "$CORACLE_BIN" --root "$root" state "$id" | jq -r .status) == running ]]
	run -0 timeout -s KILL 60 "$CORACLE_BIN" --root "$root" exec "$id" echo served
	[[ $output == served ]]
	(($(fds) <= before + 300)) # it keeps some, not all who come
	release
	until_true 60 eval '(($(fds) <= before))'
	hold silent:1
	kill -STOP "$holder" # one that is asleep for good
	timeout 60 "$CORACLE_BIN" --root "$root" kill "$id" KILL
	until_true 60 eval '[[ ! -e /proc/$vmm || $(status_of "$id") == stopped ]]'
	kill -CONT "$holder"
	release
	unbox
}

@test "state.json names another's process: nothing but the container's own VMM is ever ended" {
	victim
	forge '.pid = ($pid | tonumber)' --arg pid "$victim" # its pid, without its start
	harmless "kill $id KILL"
	forge '.pid = ($pid | tonumber) | .pidStartTicks = ($ticks | tonumber)' --arg pid "$victim" --arg ticks "$(ticks "$victim")"
	run coracle kill "$id" KILL
	fails 1 "container not running: its process is not there, pid $victim of its state is another's"
	harmless
	forge '.pid = 1 | .pidStartTicks = ($ticks | tonumber)' --arg ticks "$(ticks 1)"
	harmless "kill $id KILL"
	kill "$victim"
	wait "$victim" || true
}

@test "state.json of another container: its VMM is not this one's" {
	need_kvm
	box sleep 1000
	mkdir -m 0700 "$root/other"
	jq '.id = "other"' "$root/$id/state.json" >"$root/other/state.json"
	run timeout 60 "$CORACLE_BIN" --root "$root" delete --force other
	echo "$status $output"
	[[ $(status_of "$id") == created && -d $root/$id && ! -e $root/other ]]
	coracle start "$id"
	unbox
}

@test "state.json with wrong types, wild ids and paths, of absurd size: an error, and delete --force still works" {
	victim
	dir=$BATS_TEST_TMPDIR/precious
	mkdir -p "$dir/sub"
	echo mine >"$dir/sub/memory.max"
	# tests/unit/test_state.c has every field
	for filter in '.pid = -1' '.id = "../x"' '.id = "other"' '.bundle = "b"' '.cgroups = ["/sys/fs/cgroup/../../../etc"]' \
		'.cgroups = [range(17) | "/sys/fs/cgroup/x\(.)"]' '.annotations = {a: ("x" * 3000000)}' 'reduce range(200) as $i (.; [.])'; do
		forge "$filter"
		echo "$filter"
		run timeout 60 "$CORACLE_BIN" --root "$root" state "$id"
		((status == 1 && ${#lines[@]} == 1 && ${#output} < 8192))
		harmless "kill $id KILL"
	done
	# a directory that is no cgroup is not removed, nor anything written in it
	forge '.cgroups = [$dir]' --arg dir "$dir/sub"
	run coracle delete --force "$id"
	fails 1 "unable to remove container's cgroup: '$dir/sub'"
	[[ $(cat "$dir/sub/memory.max") == mine ]]
	rm -rf "${root:?}/$id"
	left_nothing
	kill "$victim"
	wait "$victim" || true
}

@test "state.json is a link out, a fifo, a device, a directory; the directory of an id is a link or a file" {
	elsewhere=$BATS_TEST_TMPDIR/elsewhere
	forge .
	cp -r "$root/$id" "$elsewhere"
	for kind in "ln -s $elsewhere/state.json" "ln -s /dev/zero" "ln -s /proc/self/environ" mkfifo mkdir "mknod -m 0600"; do
		forge .
		rm "$root/$id/state.json"
		# shellcheck disable=SC2046
		$kind "$root/$id/state.json" $([[ $kind != mknod* ]] || echo c 1 5)
		echo "$kind"
		run timeout 60 "$CORACLE_BIN" --root "$root" state "$id"
		((status == 1))
		harmless "kill $id KILL"
	done
	[[ -f $elsewhere/state.json ]]
	ln -s "$elsewhere" "$root/link"
	jq '.id = "link"' "$elsewhere/state.json" >"$elsewhere/new" && mv "$elsewhere/new" "$elsewhere/state.json"
	echo >"$root/file"
	for name in link file; do
		for command in state start kill "delete --force" "exec link" ps; do
			# shellcheck disable=SC2086
			run timeout 60 "$CORACLE_BIN" --root "$root" $command $name
			((status != 0 && status != 124))
		done
		run coracle create --bundle "$bundle" "$name"
		((status == 1))
		run -0 --separate-stderr coracle list --quiet
		[[ $output != *"$name"* ]]
	done
	[[ -f $elsewhere/state.json && -L $root/link && -f $root/file ]]
	rm "$root/link" "$root/file"
}

@test "a directory below the state root that is no container's: delete --force does not touch it" {
	mkdir -p -m 0700 "$root" "$root/$id"
	mkdir "$root/$id/share" "$root/$id/photos"
	echo mine >"$root/$id/photos/one"
	for option in --force --force ""; do
		run coracle delete $option "$id"
		fails 1 "'$root/$id' is not a container's directory: there is no state.json, but 'photos'"
	done
	[[ $(cat "$root/$id/photos/one") == mine && -d $root/$id/share ]]
	rm -r "$root/$id/photos"
	# what is left may be of a create that was killed
	run -0 coracle delete --force "$id"
	left_nothing
}

@test "ids that would lead elsewhere are refused by every command, before anything is made or removed" {
	mkdir -m 0700 "$root"
	mkdir -p "$BATS_TEST_TMPDIR/precious"
	new_bundle true
	edit '.linux.cgroupsPath = "/.."' # found out once the id's directory is made
	# tests/bats/010-cli.bats and tests/unit/test_state.c have more of them
	for bad in .. ../precious "$(printf 'x%.0s' {1..1025})" $'x\e[31m'; do
		for command in "create --bundle $bundle" "run --bundle $bundle" state start kill delete "delete --force" exec pause resume ps events "update --pids-limit 5"; do
			# shellcheck disable=SC2046,SC2086
			run timeout 60 "$CORACLE_BIN" --root "$root" $command "$bad" $([[ $command != exec ]] || echo true) </dev/null
			echo "$command $bad: $status $output"
			[[ $status == @(1|255) && $output == *"invalid container ID format"* ]]
		done
		[[ -d $BATS_TEST_TMPDIR/precious && ! $(ls -A "$root") ]]
	done
	# the longest that may be
	run coracle create --bundle "$bundle" "$(printf 'x%.0s' {1..255})"
	fails 1 "is the root cgroup"
	left_nothing
}

@test "linux.cgroupsPath with .. stays in the hierarchy" {
	need_kvm
	[[ $(stat -fc %T /sys/fs/cgroup) == cgroup2fs ]] || skip "no cgroup v2"
	find /sys/fs/cgroup -type d | sort >"$BATS_TEST_TMPDIR/before"
	for path in /../../../../../etc/climb ../../../../../../etc/climb a/../../../../../../../etc/climb /./x/..//../../etc/climb/.; do
		new_bundle true
		# the hook sees the group, and ends create
		edit '.linux.cgroupsPath = $p | .hooks.prestart = [{path: "/bin/sh", args: ["sh", "-c", "cat /proc/$(jq .pid)/cgroup >$0; exit 1", $log], env: [$env]}]' \
			--arg p "$path" --arg log "$BATS_TEST_TMPDIR/where" --arg env "PATH=$PATH"
		rm -f "$BATS_TEST_TMPDIR/where"
		run coracle create --bundle "$bundle" "$id"
		fails 1 "hook #0"
		cat "$BATS_TEST_TMPDIR/where"
		[[ $(cat "$BATS_TEST_TMPDIR/where") == 0::/*etc/climb && $(cat "$BATS_TEST_TMPDIR/where") != *..* ]]
		[[ ! -e /etc/climb ]]
		left_nothing
	done
	find /sys/fs/cgroup -type d | sort | diff "$BATS_TEST_TMPDIR/before" -
}

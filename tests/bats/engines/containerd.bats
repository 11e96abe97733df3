#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# containerd's runc.v2 shim, as Debian ships it, with coracle as its runc. ENGINE_RUNTIME names another one.

bats_require_minimum_version 1.5.0
load ../common

setup_file() {
	need_kvm
	export ENGINE_RUNTIME=${ENGINE_RUNTIME:-$CORACLE_BIN}
	mkdir -p /etc/containerd
	tar -C "$CORACLE_ROOTFS" -c . | podman --cgroup-manager cgroupfs import -q - localhost/debian >/dev/null
	podman save -q --format docker-archive -o "$BATS_FILE_TMPDIR/debian.tar" localhost/debian
	containerd >"$BATS_FILE_TMPDIR/containerd.log" 2>&1 3>&- &
	echo $! >"$BATS_FILE_TMPDIR/pid"
	until_true 60 ctr version >/dev/null
	ctr image import "$BATS_FILE_TMPDIR/debian.tar" >/dev/null
	image=$(ctr image ls -q | head -n 1)
	export image
}

teardown_file() {
	kill "$(cat "$BATS_FILE_TMPDIR/pid")"
}

setup() {
	id=c$BATS_TEST_NUMBER
}

teardown() {
	local c
	for c in $(ctr task ls -q); do
		ctr task kill -s KILL "$c" || true
		until_true 60 eval "ctr task ls | grep -q '$c.*STOPPED'" || true
		ctr task rm -f "$c" >/dev/null || true
	done
	for c in $(ctr container ls -q); do ctr container rm "$c"; done
	if pgrep -a coracle-vmm; then
		echo "a VMM was left behind"
		pkill -9 coracle-vmm
		return 1
	fi
}

crun_() { ctr run --runc-binary "$ENGINE_RUNTIME" "$@"; }

# detached ID CMD…: a container whose output goes nowhere.
detached() {
	local name=$1
	shift
	crun_ -d --null-io "$image" "$name" "$@" </dev/null >/dev/null 2>&1 3>&-
}

@test "ctr run: output and status" {
	run crun_ --rm "$image" "$id" sh -c 'echo out; exit 7'
	echo "$status $output"
	((status == 7))
	[[ $output == out* ]]
	run crun_ --rm "$image" "$id" /no/such
	echo "$status $output"
	((status != 0))
	[[ $output == *"no such file"* ]]
}

@test "ctr run -t: a terminal" {
	run script -qec "ctr run --runc-binary $ENGINE_RUNTIME --rm -t $image $id sh -c 'tty; stty size'" /dev/null </dev/null
	echo "$status $output"
	((status == 0))
	[[ $output == */dev/pts/0* || $output == */dev/console* ]]
}

@test "ctr tasks: exec, ls, ps, metrics" {
	detached "$id" sleep 300
	ctr task ls | grep -q "$id.*RUNNING"
	[[ $(ctr task exec --exec-id e1 "$id" echo hello) == hello ]]
	run ctr task exec --exec-id e2 "$id" sh -c 'exit 9'
	((status == 9))
	[[ $(echo typed | ctr task exec --exec-id e3 "$id" cat) == typed ]]
	run ctr task exec --exec-id e4 "$id" /no/such
	echo "$status $output"
	((status != 0))
	ctr task ps "$id" | grep -q "$(ctr task ls | awk -v c="$id" '$1 == c { print $2 }')"
	ctr task metrics "$id"
}

# The container's own sleep is the only one left.
one_sleep() {
	[[ $(ctr task exec --exec-id "look$RANDOM" "$id" sh -c 'cat /proc/[0-9]*/comm' | grep -cx sleep) == 1 ]]
}

@test "ctr tasks: kill of an exec'd process ends it alone" {
	detached "$id" sleep 300
	ctr task exec -d --exec-id long "$id" sleep 200 </dev/null >/dev/null 2>&1 3>&-
	ctr task kill --exec-id long -s KILL "$id"
	until_true 60 one_sleep
	ctr task ls | grep -q "$id.*RUNNING"
}

@test "ctr tasks: pause, resume, kill" {
	detached "$id" sleep 300
	ctr task pause "$id"
	ctr task ls | grep -q "$id.*PAUSED"
	ctr task resume "$id"
	ctr task ls | grep -q "$id.*RUNNING"
	[[ $(ctr task exec --exec-id e1 "$id" echo alive) == alive ]]
	ctr task kill -s TERM "$id"
	ctr task kill -a -s KILL "$id" || true
	until_true 60 eval "ctr task ls | grep -q '$id.*STOPPED'"
	run ctr task rm "$id"
	echo "$status $output"
	[[ $output == *"exit code 137"* ]]
}

#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016,SC2154
# Whatever command is killed at whatever step of its work: `delete --force` works, and nothing is left.
bats_require_minimum_version 1.5.0
load ../common
load leaks

# Calls that change something or wait for somebody: the places where a command's death could matter.
calls='?mkdir,?mkdirat,?clone,?clone3,?vfork,?rename,?renameat,?renameat2,?unlink,?unlinkat,?rmdir,?symlinkat,?flock'
calls+=',?socketpair,?pipe2,?bind,?listen,?connect,?sendto,?sendmsg,?recvmsg,?poll,?ppoll,?pidfd_send_signal,?kill,?fork,?execveat'

# killed_everywhere PREPARE COMMAND…: runs COMMAND once to see which of those calls it makes, and then again and
# again, killed by a tracer as it enters each of them. PREPARE is called before each; after each, the container is deleted by
# force; and nothing may be left.
killed_everywhere() {
	local prepare=$1 trace=$BATS_TEST_TMPDIR/trace line call nth got points=0
	shift
	$prepare
	strace -qq -e signal=none -o "$trace.all" -e trace="$calls" "$CORACLE_BIN" --root "$root" "$@" </dev/null >/dev/null 2>&1
	coracle delete --force "$id"
	leaks_nothing
	for line in $(sed -n 's/^\([a-z0-9_]*\)(.*/\1/p' "$trace.all" | sort | uniq -c | sed 's/^ *\([0-9]*\) /\1:/'); do
		call=${line#*:}
		for ((nth = 1; nth <= ${line%:*}; nth++)); do
			$prepare
			got=0
			strace -qq -o "$trace" -e trace="$call" -e inject="$call:signal=KILL:when=$nth" \
				"$CORACLE_BIN" --root "$root" "$@" </dev/null >/dev/null 2>&1 || got=$?
			echo "$* killed at $call $nth: $got"
			((got == 137 || got == 0)) # 0: it made one call less this time
			coracle delete --force "$id"
			points=$((points + (got == 137)))
		done
		leaks_nothing
	done
	echo "$points places"
	((points >= 3))
}

created() { quietly create --bundle "$bundle" "$id"; }
stopped() {
	running
	quietly kill "$id" KILL
	until_true 60 eval '[[ $(status_of "$id") == stopped && ! -d /proc/$(cat "$BATS_TEST_TMPDIR/pid") ]]'
}

@test "create killed at every step" {
	bundle_of sleep 100000
	note_before
	killed_everywhere : create --bundle "$bundle" --pid-file "$BATS_TEST_TMPDIR/pid" "$id"
}

@test "start killed at every step" {
	bundle_of sleep 100000
	note_before
	killed_everywhere created start "$id"
}

@test "kill killed at every step" {
	bundle_of sleep 100000
	note_before
	killed_everywhere running kill "$id" KILL
}

@test "delete killed at every step" {
	bundle_of sleep 100000
	note_before
	killed_everywhere stopped delete "$id"
}

@test "delete --force killed at every step" {
	bundle_of sleep 100000
	note_before
	killed_everywhere running delete --force "$id"
}

@test "exec killed at every step" {
	bundle_of sleep 100000
	note_before
	killed_everywhere running exec --pid-file "$BATS_TEST_TMPDIR/exec" "$id" true
}

@test "exec --detach killed at every step" {
	bundle_of sleep 100000
	note_before
	killed_everywhere running exec --detach --pid-file "$BATS_TEST_TMPDIR/exec" "$id" sleep 1000
}

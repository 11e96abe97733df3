#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016,SC2154
# Nothing leaks: a hundred containers, killed VMMs and proxies; and nothing written is lost.
bats_require_minimum_version 1.5.0
load ../common
load leaks

no_proxy() { ! pgrep -x coracle-exec >/dev/null; }

# The first container's VMM lives through all of it: its descriptors are counted, too. (It holds those of the files that its
# guest knows: hence what is executed later is executed before.)
@test "a hundred containers, in every way they are used: everything is as before, to the descriptor" {
	local i got
	bundle_of sleep 100000
	edit '.linux.cgroupsPath = "/coracle-leaks/witness"'
	coracle run --detach --bundle "$bundle" "$id-w" </dev/null >/dev/null 2>&1
	coracle exec "$id-w" echo still
	bundle_of sh -c 'echo out; exit 3'
	mkdir "$bundle-long"
	jq '.process.args = ["sleep", "100000"] | .linux.cgroupsPath = "/coracle-leaks/two"' "$bundle/config.json" >"$bundle-long/config.json"
	note_before
	for i in {1..20}; do # one after another, and two at once
		got=0
		coracle run --bundle "$bundle" "$id-$i" >"$BATS_TEST_TMPDIR/out" || got=$?
		((got == 3))
		[[ $(cat "$BATS_TEST_TMPDIR/out") == out ]]
	done
	for i in {21..40}; do
		coracle run --bundle "$bundle" "$id-$i" >/dev/null &
		quietly run --detach --bundle "$bundle-long" "$id-$i-too"
		got=0
		wait $! || got=$?
		((got == 3))
		coracle delete --force "$id-$i-too"
	done
	for i in {61..80}; do # as engines do
		quietly create --bundle "$bundle-long" "$id-$i"
		coracle start "$id-$i"
		if ((i % 4 == 0)); then
			[[ $(coracle exec "$id-$i" echo here) == here ]]
			quietly exec --detach "$id-$i" sleep 1000
			[[ $(coracle exec "$id-w" echo still) == still ]]
		fi
		coracle kill "$id-$i" KILL
		until_true 60 eval '[[ $(status_of "$id-$i") == stopped ]]'
		coracle delete "$id-$i"
	done
	for i in {81..90}; do # never started; ended by force
		quietly create --bundle "$bundle-long" "$id-$i"
		coracle delete --force "$id-$i"
	done
	edit '.process.args = ["/no/such/program"]'
	for i in {91..100}; do # failing
		run -127 coracle run --bundle "$bundle" "$id-$i"
	done
	leaks_nothing
	[[ $(coracle exec "$id-w" ps -e -o comm=) == $'sleep\nps' ]]
	coracle delete --force "$id-w"
}

@test "kill -9 on the VMM: running, paused, in the middle of execs" {
	bundle_of sleep 100000
	note_before
	running
	kill -9 "$(cat "$BATS_TEST_TMPDIR/pid")"
	until_true 60 eval '[[ $(status_of "$id") == stopped ]]'
	coracle delete "$id"
	leaks_nothing

	running
	coracle pause "$id"
	kill -9 "$(cat "$BATS_TEST_TMPDIR/pid")"
	until_true 60 eval '[[ $(status_of "$id") == stopped ]]'
	coracle delete --force "$id"
	leaks_nothing

	running
	"$CORACLE_BIN" --root "$root" exec "$id" sh -c 'echo up; exec sleep 1000' >"$BATS_TEST_TMPDIR/exec" &
	quietly exec --detach "$id" sleep 1000
	until_true 60 grep -q up "$BATS_TEST_TMPDIR/exec"
	kill -9 "$(cat "$BATS_TEST_TMPDIR/pid")"
	local got=0
	wait $! || got=$?
	((got == 137))
	until_true 60 no_proxy
	coracle delete --force "$id"
	leaks_nothing
}

@test "kill -9 on an exec's proxy: its process ends, its mark is nobody's, the container goes on" {
	bundle_of sleep 100000
	note_before
	running
	"$CORACLE_BIN" --root "$root" exec "$id" sh -c 'echo up; exec sleep 4711' >"$BATS_TEST_TMPDIR/exec" &
	until_true 60 grep -q up "$BATS_TEST_TMPDIR/exec"
	kill -9 $!
	wait $! || true
	until_true 60 eval '! coracle exec "$id" pgrep -f "sleep 4711" >/dev/null'
	[[ $(coracle ps --format json "$id" | jq length) == 1 ]]
	coracle kill "$id" KILL
	until_true 60 coracle delete "$id"
	leaks_nothing
}

# A program that writes, dirties mapped pages, renames, and says so; how it ends is the case's.
writer='import mmap, os, signal, sys
def flush(*_):
    os.rename("/own/early", "/own/late")
    f = open("/own/buffered", "w"); f.write("y" * 3000000); f.close()
    os._exit(5)
signal.signal(signal.SIGTERM, flush)
f = os.open("/own/mapped", os.O_RDWR | os.O_CREAT); os.ftruncate(f, 8 << 20)
m = mmap.mmap(f, 8 << 20)
m[:] = b"m" * (8 << 20)
os.write(os.open("/own/early", os.O_WRONLY | os.O_CREAT), b"w" * 3000000)
open("/own/ready", "w").close()
signal.pause()'

# write_and_end NAME SIGNAL STATUS: it writes, gets SIGNAL, and the files must be there when the wait returns.
write_and_end() {
	local own=$BATS_TEST_TMPDIR/own$1 got=0
	mkdir "$own"
	new_bundle python3 -c "$writer"
	edit '.root.path = $r | .mounts += [{destination: "/own", source: $s, type: "bind", options: ["bind"]}]' \
		--arg s "$own" --arg r "$CORACLE_ROOTFS_DEV"
	"$CORACLE_BIN" --root "$root" run --bundle "$bundle" "$id" </dev/null >/dev/null 2>&1 &
	until_true 100 test -e "$own/ready"
	coracle kill "$id" "$2"
	wait $! || got=$?
	# Nothing may come between: this is the moment at which an engine looks.
	[[ $(head -c $((8 << 20)) /dev/zero | tr '\0' m | sha256sum) == "$(sha256sum <"$own/mapped")" ]]
	((got == $3))
	[[ $3 != 5 || ($(stat -c %s "$own/buffered" "$own/late" | xargs) == "3000000 3000000" && ! -e $own/early) ]]
}

@test "SIGTERM: the program flushes and ends; what it wrote and mapped is on the host when the wait returns" {
	write_and_end 1 TERM 5
	left_nothing
}

@test "SIGKILL: what it had written and mapped is on the host all the same" {
	write_and_end 2 KILL 137
	[[ $(stat -c %s "$BATS_TEST_TMPDIR/own2/early") == 3000000 ]]
	left_nothing
}

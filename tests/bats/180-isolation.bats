#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016,SC2119,SC2154
# --isolation process: each device worker is a process of its own, and its death the container's.
bats_require_minimum_version 1.5.0
load common

devices=(console vsock fs rng balloon)

setup_file() {
	# These say themselves what they want (common.bash).
	export CORACLE_ISOLATION=
}

# sleeper [OPTION…]: a container that has said "up" and sleeps; $vmm is its VMM.
sleeper() {
	new_bundle sh -c 'echo up; exec sleep 1000'
	# The VMM keeps the streams it is given, so bats' `run` would wait for its end.
	"$CORACLE_BIN" --root "$root" --log "$BATS_TEST_TMPDIR/log" run "$@" --bundle "$bundle" "$id" \
		</dev/null >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" &
	runner=$!
	until_true 120 grep -q up "$BATS_TEST_TMPDIR/out"
	vmm=$(coracle state "$id" | jq .pid)
}

workers() { pgrep -P "$vmm" | wc -l; }

# worker DEVICE: its pid.
worker() { pgrep -P "$vmm" -f "^coracle-vmm --worker $1 "; }

# ended STATUS: what `coracle run` must end with, in time.
ended() {
	until_true 120 eval '! kill -0 $runner 2>/dev/null'
	got=0
	wait "$runner" || got=$?
	echo "status $got"
	((got == $1))
}

stop() {
	coracle kill "$id" KILL
	ended 137
	left_nothing
}

@test "each device has a process, with memory, descriptors and root of its own" {
	need_kvm
	sleeper --isolation process
	(($(workers) == ${#devices[@]}))
	for device in "${devices[@]}"; do
		pid=$(worker "$device")
		[[ $(cat "/proc/$pid/comm") == "cor-$device" ]]
		[[ $(ps -o pgid= "$pid" | tr -d ' ') == "$vmm" ]]
		[[ $(cat "/proc/$pid/cgroup") == "$(cat "/proc/$vmm/cgroup")" ]]
		# nothing of KVM's, and no more of the guest's memory than the guest has
		run -1 grep -E 'kvm' "/proc/$pid/maps"
		(($(grep -c memfd:guest-memory "/proc/$pid/maps") == 1))
		(($(grep -c memfd:vdev_shared "/proc/$pid/maps") == 1))
		for task in "/proc/$pid/task"/*; do
			run -1 eval 'readlink '"$task"'/fd/* | grep -E "kvm|memfd:(spec|vdev_shared|worker_config)"'
			grep -qx $'Seccomp:\t2' "$task/status"
			grep -qx $'NoNewPrivs:\t1' "$task/status"
			[[ $device == fs ]] || grep -qx $'CapEff:\t0000000000000000' "$task/status"
			[[ $device == fs && ${task##*/} != "$pid" ]] || [[ ! $(ls -A "$task/root/") ]]
		done
		# the first thread: the streams' places and the log
		(($(find "/proc/$pid/fd" -mindepth 1 | wc -l) == 4))
	done
	(($(grep -c memfd:vdev_shared "/proc/$vmm/maps") == ${#devices[@]}))
	stop
}

@test "without it there are threads: the default, and --isolation thread" {
	need_kvm
	for option in "" "--isolation thread"; do
		# shellcheck disable=SC2086 # an option and its value
		sleeper $option
		(($(workers) == 0))
		grep -qx cor-fs.0 "/proc/$vmm/task"/*/comm
		stop
	done
}

@test "the annotation chooses, the option wins" {
	need_kvm
	annotate() { edit '.annotations["coracle.vm.isolation"] = $v' --arg v "$1"; }
	new_bundle sh -c 'echo up; exec sleep 1000'
	for case in "process::5" "thread:process:5" "process:thread:0"; do
		IFS=: read -r annotation option want <<<"$case"
		annotate "$annotation"
		# shellcheck disable=SC2086 # an option and its value
		coracle run --detach ${option:+--isolation $option} --bundle "$bundle" "$id" </dev/null >/dev/null 2>&1
		vmm=$(coracle state "$id" | jq .pid)
		(($(workers) == want))
		run -0 coracle delete --force "$id"
		left_nothing
	done
}

@test "a wrong value is an error that names the two" {
	new_bundle true
	for command in run create; do
		run coracle "$command" --isolation processes --bundle "$bundle" "$id"
		fails 1 "--isolation: expected 'thread' or 'process', got 'processes'"
	done
	edit '.annotations["coracle.vm.isolation"] = "vm"'
	run coracle run --bundle "$bundle" "$id"
	fails 1 "expected 'thread' or 'process', got 'vm'"
	left_nothing
}

@test "files, output, exec and the exit status are as with threads" {
	need_kvm
	new_bundle sh -c 'echo out; echo err >&2; dd if=/dev/zero bs=1M count=8 2>/dev/null | tee /file | wc -c; sync; exit 7'
	own_rootfs
	run_container --isolation process
	((status == 7))
	[[ $output == $'out\n8388608' && $stderr == err ]]
	(($(stat -c %s "$bundle/rootfs/file") == 8388608))
	left_nothing
	sleeper --isolation process
	run -3 coracle exec "$id" sh -c 'cat; exit 3' <<<"through exec"
	[[ $output == "through exec" ]]
	stop
}

@test "a worker that is killed ends the container, with a line that names the device" {
	need_kvm
	for device in "${devices[@]}"; do
		sleeper --isolation process
		kill -KILL "$(worker "$device")"
		ended 255
		cat "$BATS_TEST_TMPDIR/err" "$BATS_TEST_TMPDIR/log"
		grep -q "the worker of device '$device' was killed by signal 9" "$BATS_TEST_TMPDIR/log"
		left_nothing
		rm "$BATS_TEST_TMPDIR/log"
	done
}

@test "a worker that makes a forbidden call: its report, the line that names the device, status 159" {
	need_kvm
	local force_call=${CORACLE_BIN%/stage/usr/local/bin/coracle}/tests/guests/force_call
	[[ -x $force_call || ${REQUIRE_KVM-} ]] || skip "no build directory of tests/guests beside the stage"
	for device in fs vsock; do
		sleeper --isolation process
		pid=$(worker "$device")
		tid=$(find "/proc/$pid/task" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort -n | sed -n 2p)
		"$force_call" "$tid" 110 1 2 # getppid
		ended 159
		cat "$BATS_TEST_TMPDIR/err" "$BATS_TEST_TMPDIR/log"
		# The report and, after it, how the container ended.
		grep -nF "coracle-vmm: system call getppid (110) is not allowed in thread 'cor-$device.0' of kind $device, arguments 0x1 0x2 0x0 0x0 0x0 0x0; if it is legitimate, add to seccomp/$device.policy: getppid # who calls it, and why" \
			"$BATS_TEST_TMPDIR/log" >"$BATS_TEST_TMPDIR/report"
		grep -m 1 -nF "the worker of device '$device' was killed by signal 31" "$BATS_TEST_TMPDIR/log" >"$BATS_TEST_TMPDIR/end"
		(($(cut -d: -f1 "$BATS_TEST_TMPDIR/report") < $(cut -d: -f1 "$BATS_TEST_TMPDIR/end")))
		left_nothing
		rm "$BATS_TEST_TMPDIR/log"
	done
}

@test "pause and resume; what waits for a dead worker does not hang" {
	need_kvm
	sleeper --isolation process
	run -0 coracle pause "$id"
	[[ $(status_of "$id") == paused ]]
	run -0 coracle resume "$id"
	run -0 coracle exec "$id" echo again
	[[ $output == again ]]
	run -0 coracle pause "$id"
	kill -KILL "$(worker fs)"
	ended 255
	left_nothing
	# an exec whose vsock worker does not answer, and then is gone
	sleeper --isolation process
	kill -STOP "$(worker vsock)"
	fds() { find "/proc/$vmm/fd" -mindepth 1 | wc -l; }
	before=$(fds)
	coracle exec "$id" true >"$BATS_TEST_TMPDIR/exec" 2>&1 &
	exec=$!
	until_true 120 eval '(($(fds) > before))' # the VMM has taken it
	kill -KILL "$(worker vsock)"
	ended 255
	got=0
	wait "$exec" || got=$?
	((got == 255))
	left_nothing
}

@test "delete --force with a stopped worker, and the VMM's death, leave nothing" {
	need_kvm
	for device in "${devices[@]}"; do
		new_bundle sleep 1000
		coracle run --detach --isolation process --bundle "$bundle" "$id" </dev/null >/dev/null 2>&1
		vmm=$(coracle state "$id" | jq .pid)
		kill -STOP "$(worker "$device")"
		run -0 coracle delete --force "$id"
		left_nothing
	done
	coracle run --detach --isolation process --bundle "$bundle" "$id" </dev/null >/dev/null 2>&1
	vmm=$(coracle state "$id" | jq .pid)
	kill -KILL "$vmm"
	until_true 120 eval '[[ $(status_of "$id") == stopped ]]'
	run -0 coracle delete "$id"
	left_nothing
}

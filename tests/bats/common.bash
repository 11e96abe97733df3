# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016,SC2119,SC2120,SC2154
# What the bats files share. They run as root in the lab (tools/test lab), or on any machine with a real
# /dev/kvm given CORACLE_BIN (the program) and CORACLE_ROOTFS (a Debian root file system, see tools/rootfs).

# A test that needs KVM skips without one; REQUIRE_KVM=1 makes that a failure.
need_kvm() {
	[[ -c /dev/kvm && ! -d /sys/module/kvm_pvm ]] && return
	[[ ! ${REQUIRE_KVM-} ]] || { echo "REQUIRE_KVM is set and there is no real /dev/kvm" && return 1; }
	skip "no real /dev/kvm"
}

# Every test gets a state root, a bundle directory and an id of its own, and must leave nothing.
setup() {
	: "${CORACLE_BIN:?}" "${CORACLE_ROOTFS:?}"
	root=$BATS_TEST_TMPDIR/state
	bundle=$BATS_TEST_TMPDIR/bundle
	id=t$BATS_TEST_NUMBER-$$
	mkdir -p "$bundle"
}

teardown() {
	local left
	# Seen when the test has failed.
	echo "the last run: status ${status-none}, output: ${output:0:2000}, standard error: ${stderr:0:4000}"
	for left in "$root"/*; do
		[[ ! -e $left ]] || coracle delete --force "${left##*/}"
	done
	! mountpoint -q "$bundle/rootfs" || umount "$bundle/rootfs"
	! mountpoint -q "$BATS_TEST_TMPDIR/overlay" || umount "$BATS_TEST_TMPDIR/overlay"
	if vmms_left; then
		echo "a VMM was left behind"
		pkill -9 coracle-vmm
		return 1
	fi
}

# Says which VMMs there are, and which workers that are processes, whose names are cor-fs and so on. pgrep's pattern has
# 15 characters at most.
vmms_left() {
	local left
	left=$(pgrep -a coracle-vmm || true; pgrep -a '^cor-' || true)
	[[ $left ]] && echo "$left"
}

# separate: true when device workers are to be processes, as `tools/test lab-process` wants it.
separate() { [[ ${CORACLE_ISOLATION-} == process ]]; }

# sandbox_processes: how many a sandbox has on the host: the VMM, and a worker for each of the five devices.
sandbox_processes() {
	if separate; then echo 6; else echo 1; fi
}

# vmm_pids PID: a VMM and its workers that are processes; vmm_threads PID: their threads, as directories of /proc.
vmm_pids() {
	echo "$1"
	pgrep -P "$1" || true
}
vmm_threads() {
	local pid
	for pid in $(vmm_pids "$1"); do
		printf '%s\n' "/proc/$pid/task"/*
	done
}

coracle() { "$CORACLE_BIN" --root "$root" "$@"; }

# new_bundle CMD [ARG…]: a default spec that runs CMD as root on the Debian root file system (written to
# by no test that uses it so; see own_rootfs). With $CORACLE_ISOLATION, which `tools/test lab-process` sets, every VM has it.
new_bundle() {
	rm -f "$bundle/config.json"
	"$CORACLE_BIN" spec --bundle "$bundle"
	edit '.process.terminal = false | .root.path = $ENV.CORACLE_ROOTFS
		| .annotations["coracle.vm.vcpus"] = "1" | .annotations["coracle.vm.memory"] = "256M"'
	[[ ! ${CORACLE_ISOLATION-} ]] || edit '.annotations["coracle.vm.isolation"] = $ENV.CORACLE_ISOLATION'
	set_args "$@"
}

# own_rootfs: gives the bundle a writable root file system of its own, an overlay.
own_rootfs() {
	local over=$BATS_TEST_TMPDIR/overlay
	mkdir -p "$over" "$bundle/rootfs"
	mountpoint -q "$over" || mount -t tmpfs tmpfs "$over"
	mkdir -p "$over/upper" "$over/work"
	mount -t overlay -o "lowerdir=${1:-$CORACLE_ROOTFS},upperdir=$over/upper,workdir=$over/work" overlay "$bundle/rootfs"
	edit '.root.path = "rootfs" | .root.readonly = false'
}

# edit FILTER [JQ OPTION…]: changes the bundle's config.json.
edit() {
	local filter=$1
	shift
	jq "$@" "$filter" "$bundle/config.json" >"$bundle/config.tmp"
	mv "$bundle/config.tmp" "$bundle/config.json"
}

set_args() {
	jq '.process.args = $ARGS.positional' --args -- "$@" <"$bundle/config.json" >"$bundle/config.tmp"
	mv "$bundle/config.tmp" "$bundle/config.json"
}

# run_container [OPTION…]: bats' run of `coracle run`, standard error apart in $stderr.
run_container() {
	run --separate-stderr coracle run --bundle "$bundle" "$@" "$id"
}

# sh_in SCRIPT: a bundle that runs SCRIPT, run.
sh_in() {
	new_bundle /bin/sh -c "$1"
	run_container
}

status_of() { coracle state "$1" | jq -r .status; }

# until_true SECONDS COMMAND…: waits for a condition that nothing announces.
until_true() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		((SECONDS < end)) || return 1
		sleep 0.1
	done
}

# fails STATUS TEXT: what the last `run` must have said.
fails() {
	echo "status $status: $output ${stderr-}"
	((status == $1))
	[[ "$output${stderr-}" == *"$2"* ]]
}

# left_nothing: no state, no process, no mount of ours.
left_nothing() {
	# `! command` alone never fails a bats test: hence the ifs.
	if [[ -d $root && $(ls -A "$root") ]]; then
		ls -lR "$root"
		return 1
	fi
	if vmms_left || grep -F "$root" /proc/self/mountinfo; then
		return 1
	fi
}

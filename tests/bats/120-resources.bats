#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016,SC2119,SC2154
# Limits, as the container sees them and as the sandbox's cgroup on the host has them. cgroup v2.
bats_require_minimum_version 1.5.0
load common

cg=/sys/fs/cgroup

setup_file() {
	need_kvm
	[[ $(stat -fc %T $cg) == cgroup2fs ]] || skip "no cgroup v2 at $cg"
}

# The groups there are, for comparison.
groups() { find $cg -mindepth 1 -type d | sort; }

# create_box: `create`, with the streams that the VMM keeps in files.
create_box() {
	coracle create --bundle "$bundle" --pid-file "$BATS_TEST_TMPDIR/pid" "$id" \
		>"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" </dev/null ||
		{ cat "$BATS_TEST_TMPDIR/err" && return 1; }
}

# ends_within SECONDS: the container's program, and so the VMM.
ends_within() {
	until_true "$1" stopped && return
	echo "it did not end in $1 s"
	coracle state "$id"
	tail -n 5 "$BATS_TEST_TMPDIR/out" "$root/$id/vmm.log"
	return 1
}

stopped() { [[ $(status_of "$id") == stopped ]]; }

@test "linux.cgroupsPath: the VMM is in it, limited; the container sees limits of its own; delete removes it" {
	new_bundle sh -c 'cd /sys/fs/cgroup && cat memory.max memory.low pids.max cpu.max && cat /proc/self/cgroup && nproc'
	edit 'del(.annotations["coracle.vm.vcpus"], .annotations["coracle.vm.memory"]) | .linux.cgroupsPath = "/coracle-test/deep/../box" | .linux.resources += {
		memory: {limit: 67108864, reservation: 33554432},
		cpu: {quota: 150000, period: 100000, shares: 512, cpus: "0"}, pids: {limit: 50},
		unified: {"memory.high": "60000000"}}'
	groups >"$BATS_TEST_TMPDIR/before"
	create_box
	box=$cg/coracle-test/box
	grep -x "$(cat "$BATS_TEST_TMPDIR/pid")" $box/cgroup.procs
	(($(wc -l <$box/cgroup.procs) == $(sandbox_processes)))
	[[ $(sort $box/cgroup.procs) == "$(vmm_pids "$(cat "$BATS_TEST_TMPDIR/pid")" | sort)" ]]
	# 64 MiB and 48 and 1/32 for the kernel; 64 MiB and 1/8 of that for the VMM (docs/resources.md).
	ram=$(((64 + 48 + 2) << 20))
	[[ $(jq .memoryBytes "$root/$id/state.json") == "$ram" ]]
	[[ $(cat $box/memory.max) == $((ram + (64 << 20) + ram / 8 >> 12 << 12)) ]]
	[[ $(cat $box/memory.low) == 33554432 ]]
	[[ $(cat $box/memory.high) == max ]] # the guest's
	[[ $(cat $box/cpu.max) == "150000 100000" && $(cat $box/cpu.weight) == 20 ]]
	[[ $(cat $box/cpuset.cpus) == 0 && $(cat $box/pids.max) == max ]]
	coracle start "$id"
	ends_within 60
	cat "$BATS_TEST_TMPDIR/out"
	diff "$BATS_TEST_TMPDIR/out" - <<-END
		67108864
		33554432
		50
		150000 100000
		0::/
		1
	END
	coracle delete "$id"
	[[ ! -e $box && -d $cg/coracle-test ]] # what was made above it may be others' by now
	rmdir $cg/coracle-test
	groups | diff "$BATS_TEST_TMPDIR/before" -
}

# A program that takes memory, a MiB a line, until it is killed. It is the kernel that touches the pages: a program that does so
# itself has its own text taken away and read again, page by page, for as long as the last MiB takes (as in any cgroup).
filler='open Z, "/dev/zero"; $| = 1; for (1 .. 500) { sysread(Z, $a, 1 << 20, length $a) or die; print "$_\n" }'

# fill LIMIT: a container that runs it.
fill() {
	new_bundle perl -e "$filler"
	edit 'del(.annotations["coracle.vm.memory"]) | .linux.resources.memory.limit = ($mib | tonumber) * 1048576' --arg mib "$1"
	create_box
	coracle start "$id"
}

@test "memory: the program gets what the limit says, then the guest's OOM killer takes it: 137; never the host's" {
	for mib in 64 200; do
		fill $mib
		ends_within 240
		got=$(tail -n 1 "$BATS_TEST_TMPDIR/out")
		echo "$mib MiB: $got; $(cat $cg/"$id"/memory.events $cg/"$id"/memory.peak | tr '\n' ' ')"
		((got >= mib - 10 && got < mib)) # perl itself, page tables, libraries
		grep -x 'oom 0' $cg/"$id"/memory.events
		grep -x 'oom_kill 0' $cg/"$id"/memory.events
		(($(cat $cg/"$id"/memory.peak) > mib << 20))
		coracle delete "$id"
		[[ ! -e $cg/$id ]]
	done
}

@test "memory: the exit status of what the guest's OOM killer takes is 137" {
	new_bundle perl -e "$filler"
	edit 'del(.annotations["coracle.vm.memory"]) | .linux.resources.memory.limit = 33554432'
	run_container
	((status == 137))
	left_nothing
	[[ ! -e $cg/$id ]]
}

@test "cpu quota: a twentieth of a processor, from when the container is created; the VM's boot is not slowed" {
	new_bundle true
	edit '.linux.resources.cpu = {quota: 5000, period: 100000}'
	create_box
	cat $cg/"$id"/cpu.stat
	[[ $(cat $cg/"$id"/cpu.max) == "5000 100000" ]]
	used=$(awk '/^usage_usec/ { print $2 }' $cg/"$id"/cpu.stat)
	waited=$(awk '/^throttled_usec/ { print $2 }' $cg/"$id"/cpu.stat)
	((waited < used)) # a boot under it would have waited nineteen times as long as it ran
	coracle start "$id"
	ends_within 240
	coracle delete "$id"
}

@test "pids: the limit is the container's processes', not the VMM's threads" {
	sh_in 'true' # the VMM itself runs with a pids limit of 5 below
	new_bundle perl -e 'for (1 .. 20) { $p = fork; defined $p or last; if (!$p) { sleep 100; exit } $n++ } print "$n\n"; kill 9, -1'
	edit '.linux.resources.pids.limit = 5'
	run_container
	[[ ${lines[0]} == 4 ]]
}

@test "without linux.cgroupsPath, and with a relative one, it is beside the caller's group, as in runc" {
	mkdir -p $cg/engine/caller
	for path in "" rel/x; do
		new_bundle true
		edit '.linux.cgroupsPath = $p | .hooks.prestart = [{path: "/bin/sh", args: ["sh", "-c", "cat /proc/$(jq .pid)/cgroup >$0", $log], env: [$env]}]' \
			--arg p "$path" --arg log "$BATS_TEST_TMPDIR/where" --arg env "PATH=$PATH"
		(echo $BASHPID >$cg/engine/caller/cgroup.procs && coracle run --bundle "$bundle" "$id")
		[[ $(cat "$BATS_TEST_TMPDIR/where") == "0::/engine/${path:-$id}" ]]
	done
	rmdir $cg/engine/rel $cg/engine/caller $cg/engine
}

@test "a group that holds processes is refused, and they live on" {
	mkdir $cg/taken
	sleep 300 &
	echo $! >$cg/taken/cgroup.procs
	new_bundle true
	edit '.linux.cgroupsPath = "/taken"'
	run_container
	fails 1 "container's cgroup is not empty: 1 process(es) found"
	left_nothing
	kill -0 $!
	kill $!
	wait $! || true
	run -0 coracle delete --force "$id"
	rmdir $cg/taken
}

@test "a frozen group, the root group and impossible values are refused, and leave nothing" {
	groups >"$BATS_TEST_TMPDIR/before"
	mkdir $cg/cold
	echo 1 >$cg/cold/cgroup.freeze
	new_bundle true
	edit '.linux.cgroupsPath = "/cold"'
	run_container
	fails 1 "container's cgroup unexpectedly frozen"
	rmdir $cg/cold
	edit '.linux.cgroupsPath = "/.."'
	run_container
	fails 1 "is the root cgroup"
	edit '.linux.cgroupsPath = "/new/one" | .linux.resources.cpu.cpus = "4000"'
	run_container
	fails 1 "unable to apply cgroup configuration: cannot write '4000' to '$cg/new/one/cpuset.cpus'"
	edit 'del(.linux.resources.cpu) | .linux.resources.unified["io.nonsense"] = "1"'
	run_container
	fails 1 "controller io is not available"
	left_nothing
	groups | diff "$BATS_TEST_TMPDIR/before" -
}

@test "block I/O limits are the host's: its devices, its file server" {
	truncate -s 8M "$BATS_TEST_TMPDIR/disk"
	loop=$(losetup -f --show "$BATS_TEST_TMPDIR/disk") || skip "no loop devices"
	major=$((0x$(stat -c %t "$loop"))) minor=$((0x$(stat -c %T "$loop")))
	new_bundle true
	edit '.linux.resources.blockIO = {weight: 500, throttleReadBpsDevice: [{major: $a, minor: $b, rate: 1048576}],
		throttleWriteIOPSDevice: [{major: $a, minor: $b, rate: 100}]}' --argjson a $major --argjson b $minor
	create_box
	grep -x "$major:$minor rbps=1048576 wbps=max riops=max wiops=100" $cg/"$id"/io.max
	if [[ -e $cg/$id/io.bfq.weight ]]; then grep -x 'default 500' $cg/"$id"/io.bfq.weight; else grep -x 'default 4950' $cg/"$id"/io.weight; fi
	coracle delete --force "$id"
	losetup -d "$loop"
}

@test "huge pages and the weight of block I/O are in both groups, and follow an update" {
	new_bundle sleep 1000
	edit '.linux.cgroupsPath = "/coracle-test/box" | .linux.resources += {blockIO: {weight: 750},
		hugepageLimits: [{pageSize: "1GB", limit: 0}, {pageSize: "2MB", limit: 4194304}]}'
	create_box
	box=$cg/coracle-test/box
	[[ $(cat $box/hugetlb.2MB.max) == 4194304 && $(cat $box/hugetlb.2MB.rsvd.max) == 4194304 ]]
	coracle start "$id"
	inside() { coracle exec "$id" sh -c 'cd /sys/fs/cgroup && cat io.weight hugetlb.2MB.max hugetlb.2MB.rsvd.max'; }
	inside | diff - <(printf 'default 7475\n4194304\n4194304\n')
	coracle update -r - "$id" <<<'{"blockIO": {"weight": 1000}, "hugepageLimits": [{"pageSize": "2MB", "limit": 2097152}]}'
	inside | diff - <(printf 'default 10000\n2097152\n2097152\n')
	[[ $(cat $box/hugetlb.2MB.max) == 2097152 ]]
	coracle delete --force "$id"
	rmdir $cg/coracle-test
}

@test "delete --force removes the group of a VMM that was killed, and what is below it" {
	new_bundle sleep 1000
	edit '.linux.cgroupsPath = "/killed"'
	create_box
	mkdir $cg/killed/below
	kill -9 "$(cat "$BATS_TEST_TMPDIR/pid")"
	coracle delete --force "$id"
	[[ ! -e $cg/killed ]]
	left_nothing
}

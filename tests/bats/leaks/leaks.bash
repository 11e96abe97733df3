# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016,SC2154
# What the files about leaks share: counting everything that a container could leave.

# The group above the containers' is ours: a runtime leaves what others may have put theirs into.
setup_file() {
	need_kvm
	mkdir -p /sys/fs/cgroup/coracle-leaks
}

teardown_file() { [[ ! -d /sys/fs/cgroup/coracle-leaks ]] || rmdir /sys/fs/cgroup/coracle-leaks; }

# The VMM keeps the streams that it is given, and bats waits for its own to end.
quietly() { coracle "$@" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1; }

# bundle_of ARG…: a bundle with a cgroup on the host and the least memory.
bundle_of() {
	new_bundle "$@"
	edit '.annotations["coracle.vm.memory"] = "64M" | .linux.cgroupsPath = "/coracle-leaks/one"'
}

# All that a container could leave on this machine, a line a thing: programs that run (kernel threads come and go) with their
# open descriptors, memfds and where they are mapped, namespaces, mounts, cgroups, bound sockets, files.
# The list of processes is made before anything is forked that would be in it.
inventory() {
	local pids=(/proc/[0-9]*) pid exe
	for pid in "${pids[@]}"; do
		exe=$(readlink -q "$pid/exe") || continue
		echo "process ${pid#/proc/} $exe: $(find "$pid/fd" -mindepth 1 2>/dev/null | wc -l) descriptors"
	done
	find "${pids[@]/%//fd}" -lname '/memfd:*' -printf 'memfd %p %l\n' 2>/dev/null
	grep -s /memfd: "${pids[@]/%//maps}" | sed 's/ .*memfd/ memfd/; s/^/mapped /'
	find "${pids[@]/%//ns}" -type l -printf 'namespace %l\n' 2>/dev/null | sort -u
	cut -d' ' -f3- /proc/self/mountinfo | sed 's/^/mount /'
	find /sys/fs/cgroup -type d -printf 'cgroup %p\n'
	awk 'NF > 7 { print "socket", $8 }' /proc/net/unix
	find /run /dev/shm /tmp /var/tmp -xdev -path "$BATS_RUN_TMPDIR" -prune -o -printf 'file %p\n'
	[[ ! -d $root ]] || find "$root" -mindepth 1 -printf 'file %p\n'
}

note_before() {
	inventory >"$BATS_TEST_TMPDIR/before"
	cut -d' ' -f1 "$BATS_TEST_TMPDIR/before" | sort | uniq -c
	grep -q "^process $BASHPID .*bash: [1-9]" "$BATS_TEST_TMPDIR/before" # it sees what is there
}

same_as_before() {
	inventory >"$BATS_TEST_TMPDIR/after"
	diff <(sort "$BATS_TEST_TMPDIR/before") <(sort "$BATS_TEST_TMPDIR/after") >"$BATS_TEST_TMPDIR/diff"
}

# leaks_nothing: as it was. What was killed is waited for: the kernel takes its time to end a VM.
leaks_nothing() {
	until_true 60 same_as_before || {
		cat "$BATS_TEST_TMPDIR/diff"
		return 1
	}
}

running() { quietly run --detach --pid-file "$BATS_TEST_TMPDIR/pid" --bundle "$bundle" "$id"; }

#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016,SC2119,SC2154
# --systemd-cgroup, with a real systemd: process 1 of a pid namespace, in a cgroup namespace of its own.
bats_require_minimum_version 1.5.0
load common

cg=/sys/fs/cgroup

# boot_systemd [OPTION…]: systemd up to its bus, in $cg/sd; $systemd is its pid. The options are unshare's.
boot_systemd() {
	mkdir -p $cg/sd
	unshare "$@" --fork --pid --mount --mount-proc --kill-child bash -c "echo 0 >$cg/sd/cgroup.procs
		exec unshare --cgroup bash -c 'umount $cg || mount -t tmpfs tmpfs $cg # in a user namespace it is locked, and twice is once too often
			mount -t cgroup2 cgroup2 $cg; mount -t tmpfs -o mode=755 tmpfs /run
			mkdir -p /run/lock /run/systemd/system # and keep it from emptying /tmp:
			ln -s /dev/null /run/systemd/system/systemd-tmpfiles-setup.service
			exec env -i container=lab PATH=$PATH /lib/systemd/systemd --system --unit=dbus.service'" \
		>"$BATS_TEST_TMPDIR/systemd" 2>&1 </dev/null 3>&- &
	until_true 180 bus_is_up $! || { tail "$BATS_TEST_TMPDIR/systemd"; return 1; }
	# Whoever asks systemd to adopt a process must be in what it manages.
	mkdir -p $cg/sd/caller
}

bus_is_up() {
	systemd=$(pgrep -P "$1") && nsenter -t "$systemd" -m test -S /run/dbus/system_bus_socket
}

# beside SCRIPT: runs it in systemd's namespaces.
beside() {
	bash -c "echo \$\$ >$cg/sd/caller/cgroup.procs; exec nsenter -t $systemd ${userns-} -m -p -C bash -euxc \"\$0\"" \
		"c() { '$CORACLE_BIN' --root '$root' \"\$@\"; }; cd '$bundle'; $1" </dev/null 3>&-
}

teardown() {
	[[ ! ${systemd-} ]] || kill -9 "$systemd"
	! pgrep -a coracle-vmm || return 1
}

setup_file() {
	need_kvm
	[[ $(stat -fc %T $cg) == cgroup2fs && -x /lib/systemd/systemd && -x /usr/bin/dbus-daemon ]] || skip "no systemd to try it with"
	[[ -x ${CORACLE_BIN%/bin/*}/libexec/coracle/coracle-scope ]] || skip "built without libsystemd"
}

@test "--systemd-cgroup: a scope in its slice, limited, kept over a reload, gone after delete" {
	new_bundle sleep 1000
	edit 'del(.annotations["coracle.vm.memory"]) | .linux.cgroupsPath = "system.slice:try:one" | .linux.resources += {
		memory: {limit: 67108864}, cpu: {quota: 150000, period: 100000, shares: 512}}'
	boot_systemd
	beside 'c --systemd-cgroup create --pid-file pid one >out 2>err || { cat err; exit 1; }
		grep -x 0::/system.slice/try-one.scope /proc/$(cat pid)/cgroup
		g=/sys/fs/cgroup/system.slice/try-one.scope
		max=$(cat $g/memory.max); ((max > 64 << 20)); [[ $(cat $g/cpu.max) == "150000 100000" && $(cat $g/cpu.weight) == 20 ]]
		systemctl show try-one.scope -p Slice -p ActiveState -p Delegate >show
		diff <(sort show) <(printf "ActiveState=active\nDelegate=yes\nSlice=system.slice\n")
		systemctl daemon-reload
		[[ $(cat $g/memory.max) == "$max" && $(cat $g/cpu.max) == "150000 100000" ]]
		c start one
		# what update sets stays, too, and what it takes away stays away
		c update --cpu-quota 50000 --cpu-period 75000 --cpu-share 1024 --memory-reservation 16m --cpuset-cpus 0 one
		now() { grep . $g/cpu.max $g/cpu.weight $g/memory.low $g/memory.max $g/cpuset.cpus; }
		now >before; cat before; [[ $(cat $g/cpu.max) == "50000 75000" && $(cat $g/cpu.weight) == 39 ]]
		[[ $(cat $g/memory.low) == 16777216 && $(cat $g/cpuset.cpus) == 0 ]]
		systemctl daemon-reload
		now | sed "s/:50250 75000/:50000 75000/" >after # whole per cents are all that systemd knows
		diff before after
		c update --cpu-quota -1 --memory -1 one; systemctl daemon-reload
		[[ $(cat $g/cpu.max) == "max "* && $(cat $g/memory.max) == max ]]
		c delete --force one
		[[ ! -e $g && $(systemctl show try-one.scope -p LoadState) == LoadState=not-found ]]'
	left_nothing
}

@test "--systemd-cgroup in a user namespace that has a systemd: its root may, as in a system container" {
	new_bundle sleep 1000
	[[ ${CORACLE_LAB-} ]] || skip "changes /etc/subuid: in the lab only"
	echo root:0:65536 | tee /etc/subuid >/etc/subgid
	boot_systemd --user --map-users=0,0,65536 --map-groups=0,0,65536
	userns=-U
	beside '[[ $(cat /proc/self/uid_map) != *4294967295* ]]
		c --systemd-cgroup create --pid-file pid three >out 2>err || { cat err; exit 1; }
		grep -x 0::/system.slice/coracle-three.scope /proc/$(cat pid)/cgroup
		c delete --force three
		[[ ! -e /sys/fs/cgroup/system.slice/coracle-three.scope ]]'
	left_nothing
}

@test "--systemd-cgroup: a create that fails leaves no unit" {
	new_bundle true
	edit '.hooks.prestart = [{path: "/bin/false"}]'
	boot_systemd
	beside '! c --systemd-cgroup create two >out 2>err || exit 1
		grep "error running prestart hook" err
		[[ ! -e /sys/fs/cgroup/system.slice/coracle-two.scope ]]
		[[ $(systemctl show coracle-two.scope -p LoadState) == LoadState=not-found ]]'
	left_nothing
}

@test "--systemd-cgroup without systemd, or with another form of path, is an error" {
	new_bundle true
	run coracle --systemd-cgroup run --bundle "$bundle" "$id"
	fails 1 "--systemd-cgroup: systemd is not running on this host"
	edit '.linux.cgroupsPath = "/a/b"'
	run coracle --systemd-cgroup run --bundle "$bundle" "$id"
	fails 1 'expected cgroupsPath to be of format "slice:prefix:name" for systemd cgroups, got "/a/b" instead'
	left_nothing
}

#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# User namespaces: container root is 100000 on the host. Id-mapped mounts.
bats_require_minimum_version 1.5.0
load common

all_caps='["CAP_CHOWN","CAP_DAC_OVERRIDE","CAP_FOWNER","CAP_FSETID","CAP_KILL","CAP_MKNOD","CAP_SETGID","CAP_SETUID",
	"CAP_SYS_ADMIN","CAP_NET_ADMIN"]'

# userns_bundle CMD [ARG…]: a user namespace, root with capabilities, a root file system whose top and /tmp are its.
userns_bundle() {
	new_bundle "$@"
	own_rootfs
	chown 100000:100000 "$bundle/rootfs" "$bundle/rootfs/tmp"
	edit '.linux.namespaces += [{type: "user"}]
		| .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}]
		| .linux.gidMappings = .linux.uidMappings
		| .process.capabilities = {bounding: $c, effective: $c, permitted: $c}
		| (.mounts[] | select(.destination == "/sys/fs/cgroup").options) |= map(select(. != "ro"))' --argjson c "$all_caps"
}

bind() { edit '.mounts += [{destination: $d, source: $s, type: "bind", options: ($o | split(","))}]' --arg s "$1" --arg d "$2" --arg o "$3"; }

# volume DIR: a file system that can be id-mapped, mounted there.
volume() {
	mkdir -p "$1"
	truncate -s 16M "$1.img"
	mkfs.ext4 -q "$1.img"
	mount -o loop "$1.img" "$1"
}

@test "userns: ids inside, and files made inside are the mapped ids' outside" {
	need_kvm
	userns_bundle sh -c 'tr -s " " </proc/self/uid_map; id -u; stat -c "%u %g" / /usr; echo x >/tmp/f; mkdir /tmp/d; chown 7:8 /tmp/d; ln -s f /tmp/l'
	run_container
	echo "$status $output $stderr"
	[[ $status == 0 && $output == $' 0 100000 65536\n0\n0 0\n65534 65534' ]]
	[[ $(stat -c '%u %g' "$bundle"/rootfs/tmp/{f,d,l}) == $'100000 100000\n100007 100008\n100000 100000' ]]
}

@test "userns: what the host gave to mapped ids is owned right inside" {
	need_kvm
	mkdir "$BATS_TEST_TMPDIR/own"
	echo one >"$BATS_TEST_TMPDIR/own/file"
	echo root >"$BATS_TEST_TMPDIR/own/roots"
	chown 101234:104321 "$BATS_TEST_TMPDIR/own/file"
	chmod 600 "$BATS_TEST_TMPDIR"/own/*
	userns_bundle sh -c 'stat -c "%u %g" /m/file /m/roots; cat /m/file; cat /m/roots; chown 0 /m/roots'
	bind "$BATS_TEST_TMPDIR/own" /m bind,rw
	run_container
	echo "$status $output $stderr"
	[[ $output == $'1234 4321\n65534 65534\none' ]]
	[[ $stderr == *"/m/roots: Permission denied"* && $stderr == *"Operation not permitted"* ]]
	[[ $(stat -c %u "$BATS_TEST_TMPDIR/own/roots") == 0 ]]
}

@test "userns: container root has its capabilities over its own namespaces, and over nothing else" {
	need_kvm
	userns_bundle sh -c 'hostname mine && hostname; mount -t tmpfs t /mnt && stat -f -c %T /mnt
		ip link set lo down 2>/dev/null; mknod /tmp/n c 1 3 2>/dev/null || echo no node
		truncate -s 1M /tmp/img; mount -t ext4 /tmp/img /mnt 2>/dev/null || echo no device
		echo 1 2>/dev/null >/proc/sys/kernel/panic || echo no sysctl'
	run_container
	echo "$status $output $stderr"
	[[ $output == $'mine\ntmpfs\nno node\nno device\nno sysctl' ]]
}

@test "userns: /dev, its nodes and those asked for; mounts and closed paths as ever" {
	need_kvm
	userns_bundle sh -c 'cd /dev; echo x >null; head -c 5 zero | wc -c; head -c 4 urandom | wc -c; stat -c "%F %a %u" null mine; readlink fd ptmx
		wc -c </proc/version; echo 1 2>/dev/null >/proc/sys/net/ipv4/ip_forward || echo read-only; ls mqueue shm; cat /sys/class/net/lo/operstate'
	edit '.linux.devices = [{type: "c", path: "/dev/mine", major: 1, minor: 5, fileMode: 416, uid: 3, gid: 0}] | .linux.maskedPaths = ["/proc/version"]'
	run_container
	echo "$status $output $stderr"
	[[ $output == $'5\n4\ncharacter special file 666 0\ncharacter special file 640 3\n/proc/self/fd\npts/ptmx\n0\nread-only\nmqueue:\n\nshm:\nunknown' ]]
}

@test "userns: a terminal and /dev/console" {
	need_kvm
	userns_bundle sh -c 'tty; stat -c "%F %u" /dev/console; echo hello >/dev/console; test -t 1 && echo yes'
	edit '.process.terminal = true'
	run script -qefc "$CORACLE_BIN --root $root run --bundle $bundle $id" /dev/null
	echo "$status $output"
	[[ $status == 0 && $output == *"/dev/pts/0"*"character special file 0"*hello*yes* ]]
}

@test "userns: the cgroup is container root's to divide" {
	need_kvm
	userns_bundle sh -c 'cd /sys/fs/cgroup; stat -c "%u %g" . cgroup.procs; mkdir a; echo $$ >a/cgroup.procs; cat /proc/self/cgroup; echo 1 2>/dev/null >pids.max || echo no; cat pids.max'
	edit '.linux.resources.pids.limit = 77'
	run_container
	echo "$status $output $stderr"
	[[ $output == $'0 0\n0 0\n0::/a\nno\n77' ]]
}

@test "userns: limits above the guest's own, OOM score, sysctls" {
	need_kvm
	userns_bundle sh -c 'ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_forward /proc/sys/vm/swappiness'
	edit '.process.rlimits = [{type: "RLIMIT_NOFILE", soft: 5000, hard: 100000}] | .process.oomScoreAdj = -500
		| .linux.sysctl = {"kernel.msgmax": "9000", "net.ipv4.ip_forward": "1", "vm.swappiness": "7"}'
	run_container
	echo "$status $output $stderr"
	[[ $output == $'5000\n100000\n-500\n9000\n1\n7' ]]
}

@test "userns: exec as root and as a user; ps and stats; one that is not mapped is refused" {
	need_kvm
	userns_bundle sleep 1000
	coracle run --detach --bundle "$bundle" "$id" >/dev/null 2>&1 </dev/null
	run coracle exec "$id" sh -c 'id -u; touch /tmp/e; stat -c %u /tmp/e; readlink /proc/self/ns/user /proc/1/ns/user | sort -u | wc -l; echo hi >/dev/stdout'
	echo "$status $output"
	[[ $status == 0 && $output == $'0\n0\n1\nhi' ]]
	[[ $(stat -c %u "$bundle/rootfs/tmp/e") == 100000 ]]
	run coracle exec --user 1000:1000 "$id" sh -c 'id -u; id -g; echo hi >/dev/stdout'
	[[ $status == 0 && $output == $'1000\n1000\nhi' ]]
	run coracle exec --user 70000 "$id" id
	fails 255 "cannot set uid to unmapped user in user namespace"
	run coracle ps "$id"
	[[ $status == 0 && $output == *sleep* ]]
	run coracle events --stats "$id"
	[[ $status == 0 && $(jq '.data.pids.current' <<<"$output") == 1 ]]
	coracle kill "$id" KILL
}

@test "userns: a user that is not mapped, and mappings that make no sense, are refused" {
	need_kvm
	userns_bundle id
	edit '.process.user.uid = 70000'
	run_container
	fails 1 "cannot set uid to unmapped user in user namespace"
	edit '.process.user.uid = 0 | .linux.gidMappings += [{containerID: 5, hostID: 5, size: 1}]'
	run_container
	fails 1 "linux.gidMappings[1]: containerID: overlaps that of element 0"
	edit '.linux.gidMappings = []'
	run_container
	fails 1 "gidMappings: user namespaces enabled, but no mapping found"
	left_nothing
}

@test "userns: the container's hook runs as its user; a time namespace goes along" {
	need_kvm
	userns_bundle sh -c 'cat /tmp/hook; cut -d. -f1 /proc/uptime'
	edit '.hooks.startContainer = [{path: "/bin/sh", args: ["sh", "-c", "id -u >/tmp/hook; jq . >/dev/null 2>&1 || cat >/dev/null"]}]
		| .linux.namespaces += [{type: "time"}] | .linux.timeOffsets = {boottime: {secs: 1000000}}'
	run_container
	echo "$status $output $stderr"
	((status == 0 && lines[0] == 0 && lines[1] >= 1000000))
}

@test "idmap: a volume with the container's mappings, both ways" {
	need_kvm
	local vol=$BATS_TEST_TMPDIR/vol
	volume "$vol"
	echo mine >"$vol/zero"
	echo other >"$vol/five"
	chown 5:6 "$vol/five"
	chmod 600 "$vol"/*
	userns_bundle sh -c 'cd /v; cat zero five; stat -c "%u %g" . zero five; echo new >new; mkdir dir; ln -s x link; mkfifo fifo; echo u >u; chown 9:10 u; chmod 4755 u; mv zero moved; setfacl -m u:11:rw moved 2>/dev/null; stat -c "%u %g %a" new dir u'
	bind "$vol" /v bind,rw,idmap
	run_container
	stat -c '%n %u %g' "$vol"/*
	local owners
	owners=$(cd "$vol" && stat -c '%n %u %g' new dir link fifo u moved five)
	umount "$vol"
	echo "$status $output $stderr"
	[[ $status == 0 && $output == $'mine\nother\n0 0\n0 0\n5 6\n0 0 644\n0 0 755\n9 10 4755' ]]
	[[ $owners == $'new 0 0\ndir 0 0\nlink 0 0\nfifo 0 0\nu 9 10\nmoved 0 0\nfive 5 6' ]]
}

@test "idmap: a mount with mappings of its own, without a user namespace" {
	need_kvm
	local vol=$BATS_TEST_TMPDIR/vol
	volume "$vol"
	echo text >"$vol/file"
	chown 1000:1000 "$vol" "$vol/file"
	new_bundle sh -c 'cd /v; stat -c "%u %g" file lost+found; echo new >new; stat -c "%u %g" new; chown 5 new || echo refused'
	edit '.process.capabilities |= map_values(. + ["CAP_CHOWN"])
		| .mounts += [{destination: "/v", source: $s, type: "bind", options: ["rbind", "rw"],
			uidMappings: [{containerID: 1000, hostID: 0, size: 1}], gidMappings: [{containerID: 1000, hostID: 0, size: 1}]}]' --arg s "$vol"
	run_container
	local owner
	owner=$(stat -c '%u %g' "$vol/new")
	umount "$vol"
	echo "$status $output $stderr"
	[[ $output == $'0 0\n65534 65534\n0 0\nrefused' && $owner == "1000 1000" ]]
}

@test "idmap: a file system that cannot is an error" {
	need_kvm
	userns_bundle true
	mkdir "$BATS_TEST_TMPDIR/overlay/upper/vol"
	bind "$bundle/rootfs" /mnt bind,rw,idmap
	run_container
	fails 1 "cannot id-map"
	left_nothing
}

#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016,SC2119,SC2154,SC2317
# Containers of an ordinary user (docs/rootless.md). The tests make users, change /etc/subuid and the mode of /dev/kvm:
# in the lab only, where all of it is lost with the machine.
bats_require_minimum_version 1.5.0
load common
eval "common_$(declare -f teardown)"

setup_file() {
	[[ ${CORACLE_LAB-} ]] || return 0
	useradd -m -u 4242 rower
	useradd -m -u 4243 other
	groupadd -f kvm
	chgrp kvm /dev/kvm
}

setup() {
	: "${CORACLE_BIN:?}" "${CORACLE_ROOTFS:?}"
	[[ ${CORACLE_LAB-} ]] || skip "changes the machine's users: in the lab only"
	need_kvm
	id=t$BATS_TEST_NUMBER-$$
	home=$(mktemp -d /tmp/rower.XXXXXX) # bats' own directories are closed to others
	bundle=$home/bundle root=$home/run/coracle
	mkdir -m 0700 "$home/run"
	mkdir "$bundle" "$home/m"
	chown -R rower:rower "$home"
	chmod 0666 /dev/kvm
	ranges
}

teardown() {
	[[ ${home-} ]] || return 0
	ranges
	common_teardown
	! mountpoint -q "$home/m" || umount -R "$home/m"
	rm -rf "$home"
}

# ranges [LINE]: the two files have this line and no other; default: 65536 ids from 100000 on.
ranges() {
	echo "${1-rower:100000:65536}" >/etc/subuid
	echo "${1-rower:100000:65536}" >/etc/subgid
}

as_user() { runuser -u "${user-rower}" -- env "XDG_RUNTIME_DIR=$home/run" "$@"; }
coracle() { as_user "$CORACLE_BIN" "$@"; }

# box SCRIPT: a bundle that runs SCRIPT as root with a few capabilities, with the user's directory m at /mnt.
box() {
	new_bundle /bin/sh -c "$1"
	edit '.mounts += [{destination: "/mnt", source: $m, type: "bind", options: ["bind", "rw"]}]
		| .process.capabilities |= map_values(. + ["CAP_CHOWN", "CAP_MKNOD", "CAP_DAC_OVERRIDE", "CAP_FOWNER"])' --arg m "$home/m"
}

# created: the box's container, in the background; its VMM is $vmm.
created() {
	coracle create --bundle "$bundle" --pid-file "$home/run/pid" "$id" </dev/null >"$home/run/out" 2>&1
	vmm=$(cat "$home/run/pid")
}

owner() { stat -c '%u:%g' "$home/m/$1"; }

# delegated: a group of the user's, with a leaf for who enters it; as systemd delegates.
delegated() {
	group=/sys/fs/cgroup/rower-$BATS_TEST_NUMBER
	mkdir "$group" "$group/leaf"
	chown rower "$group" "$group/leaf" "$group"/{,leaf/}cgroup.{procs,subtree_control,threads}
}

undelegated() {
	rmdir "$group/leaf" "$group"
}

# in_leaf COMMAND…: in the leaf.
in_leaf() { (echo 0 >"$group/leaf/cgroup.procs" && "$@"); }

@test "run: streams, exit status, and nothing is left" {
	box 'cat; echo err >&2; id -u; exit 7'
	run --separate-stderr coracle run --bundle "$bundle" "$id" <<<in
	[[ $status == 7 && $output == $'in\n0' && $stderr == err ]]
	left_nothing
	[[ -d $root && $(stat -c '%a %u' "$root") == "700 4242" ]]
	run --separate-stderr coracle run --isolation process --bundle "$bundle" "$id" <<<in # workers as processes
	[[ $status == 7 && $output == $'in\n0' && $stderr == err ]]
	left_nothing
}

@test "ids: the caller is root inside, its ranges are the others; what belongs to others stays theirs" {
	echo secret >"$home/m/roots"
	chown 0:0 "$home/m/roots"
	box 'cd /mnt; echo x >f; echo y >g; chown 1000:1001 g; mkdir d; chown 65536:65536 d; chmod 4755 g; ln -s f l; chown -h 7:7 l
		stat -c "%n %u:%g" f g d l roots; chown 0 roots 2>&1; mknod n c 1 3 2>&1; mknod w c 0 0 && stat -c %F w; chown 65537 f 2>&1; rm w; id -G'
	run_container
	echo "$output"
	[[ $status == 0 && $stderr == "" ]]
	[[ $output == *$'f 0:0\ng 1000:1001\nd 65536:65536\nl 7:7\nroots 65534:65534\n'* ]]
	[[ $output == *"'roots': Operation not permitted"*"mknod: n: Operation not permitted"*"character special file"*"'f': Invalid argument"* ]]
	[[ ${lines[-1]} == 0 ]] # none of the caller's groups
	[[ "$(owner f) $(owner g) $(owner d) $(owner l) $(owner roots)" == "4242:4242 100999:101000 165535:165535 100006:100006 0:0" ]]
	[[ $(stat -c %a "$home/m/g") == 4755 && ! -e $home/m/n ]]
	left_nothing
}

@test "create, start, state, list, pause, kill, delete; the VMM is the user's, and its threads see no files" {
	box 'sleep 1000'
	edit '.hooks = {poststop: [{path: "/bin/sh", args: ["sh", "-c", "id -u >\($o)"]}]}' --arg o "$home/run/poststop"
	created
	[[ $(status_of "$id") == created ]]
	[[ $(stat -c %u "/proc/$vmm") == 4242 || $(awk '/^Uid/ { print $2 $3 $4 $5 }' "/proc/$vmm/status") == 4242424242424242 ]]
	[[ $(readlink "/proc/$vmm/ns/user") != "$(readlink /proc/self/ns/user)" ]]
	[[ $(tr -s ' ' <"/proc/$vmm/uid_map") == $' 0 4242 1\n 1 100000 65536' ]]
	for task in $(vmm_threads "$vmm"); do
		name=$(cat "$task/comm")
		[[ $name != cor-fs.0 ]] || fs=$task
		ls "$task/root/"
		[[ $name == @(coracle-vmm|cor-fs.*) || ! $(ls -A "$task/root/") ]]
		[[ $name == cor-fs.* || $(grep CapEff "$task/status") == *$'\t0000000000000000' ]]
	done
	[[ $(ls "$fs/root") == $'m0\nrootfs' ]]
	run -0 coracle start "$id"
	[[ $(status_of "$id") == running ]]
	run -0 coracle list
	[[ ${lines[1]} == "$id "*" running "*" rower"* ]]
	run -0 coracle pause "$id"
	[[ $(status_of "$id") == paused ]]
	run -0 coracle resume "$id"
	run -0 coracle kill "$id" KILL
	until_true 60 eval '[[ $(status_of "$id") == stopped ]]'
	run -0 coracle delete "$id"
	[[ $(cat "$home/run/poststop") == 4242 ]] # not of the namespace, which is gone
	left_nothing
}

@test "exec: streams, status, ids; ps; update and events" {
	box 'sleep 1000'
	created
	coracle start "$id"
	run --separate-stderr coracle exec "$id" sh -c 'cat; id -u; echo e >&2; exit 5' <<<hello
	[[ $status == 5 && $output == $'hello\n0' && $stderr == e ]]
	chmod 0777 "$home/m"
	run -0 coracle exec --user 1000:1001 "$id" sh -c 'id -u; echo x >/mnt/mine'
	[[ $output == 1000 && $(owner mine) == 100999:101000 ]]
	run -0 coracle ps "$id"
	[[ $output == *"sleep 1000"* ]]
	run -0 coracle update --pids-limit 50 "$id" # the guest's own: there is no group on the host
	[[ $(coracle exec "$id" cat /sys/fs/cgroup/pids.max) == 50 ]]
	run -0 coracle events --stats "$id"
	[[ $output == *'"type":"stats"'* ]]
	run -0 coracle delete --force "$id"
	left_nothing
}

@test "one id only, without ranges or without the programs: root inside is the caller, and there is nobody else" {
	ranges "else:100000:65536"
	box 'echo x >/mnt/f; chown 1 /mnt/f 2>&1; stat -c %u /mnt/f'
	run --separate-stderr coracle --debug run --bundle "$bundle" "$id"
	echo "$output $stderr"
	[[ $status == 0 && $output == *"Invalid argument"*0 && $(owner f) == 4242:4242 ]]
	[[ $stderr == *"only uid 4242 and gid 4242 are mapped: /etc/subuid has no range for this user"* ]]
	ranges
	run --separate-stderr as_user env PATH=/nowhere:.:bin: "$CORACLE_BIN" --debug run --bundle "$bundle" "$id"
	[[ $status == 0 && $output == *"Invalid argument"*0 && $stderr == *"only uid 4242 and gid 4242 are mapped: there is no newuidmap in \$PATH"* ]]
	ranges ""
	edit '.process.user = {uid: 5, gid: 0}'
	run coracle run --bundle "$bundle" "$id"
	fails 1 "process.user.uid: 5 is not in the user namespace, which has one id only: ranges in /etc/subuid"
	left_nothing
}

@test "without access to /dev/kvm: an error that names the group, and check does; a member of it may" {
	chmod 0660 /dev/kvm
	box true
	run coracle run --bundle "$bundle" "$id"
	fails 1 "no right to use /dev/kvm: be root or join the group that owns it, kvm"
	run coracle check
	fails 1 "Permission denied; it belongs to the group kvm"
	left_nothing
	usermod -aG kvm rower
	run_container
	gpasswd -d rower kvm
	[[ $status == 0 ]]
}

@test "cgroups: limits in a group that is the user's; an error, or no group, in one that is not" {
	box 'cat /sys/fs/cgroup/memory.max'
	edit '.linux.resources.memory = {limit: 67108864}'
	run coracle run --bundle "$bundle" "$id"
	fails 1 "rootless needs no limits + no cgrouppath when no permission is granted for cgroups"
	left_nothing
	delegated
	in_leaf coracle create --bundle "$bundle" "$id" </dev/null >"$home/run/out" 2>&1
	[[ -f $group/$id/memory.max && $(cat "$group/$id/memory.max") -gt 67108864 && $(cat "$group/$id/memory.max") -lt 999999999 ]]
	(($(wc -l <"$group/$id/cgroup.procs") == $(sandbox_processes)))
	[[ $(sort "$group/$id/cgroup.procs") == "$(vmm_pids "$(coracle state "$id" | jq .pid)" | sort)" ]]
	run -0 coracle delete --force "$id"
	[[ ! -e $group/$id ]]
	# it can be made, and not be entered
	chown 0 "$group/cgroup.procs"
	run in_leaf coracle run --bundle "$bundle" "$id"
	fails 1 "/$id' cannot be entered: Permission denied"
	[[ ! -e $group/$id ]]
	edit 'del(.linux.resources.memory)'
	run in_leaf coracle run --bundle "$bundle" "$id"
	[[ $status == 0 && ! -e $group/$id ]]
	edit '.linux.cgroupsPath = $p' --arg p "${group#/sys/fs/cgroup}/given"
	run in_leaf coracle run --bundle "$bundle" "$id"
	fails 1 "/given' cannot be entered: Permission denied"
	[[ ! -e $group/given ]]
	undelegated
	edit 'del(.linux.cgroupsPath)'
	# one of that name is there, root's, and not even empty
	mkdir "/sys/fs/cgroup/$id"
	sleep 1000 3>&- &
	echo $! >"/sys/fs/cgroup/$id/cgroup.procs"
	run coracle run --bundle "$bundle" "$id"
	[[ $status == 0 ]]
	edit '.linux.resources.memory = {limit: 67108864}'
	run coracle run --bundle "$bundle" "$id"
	fails 1 "the cgroup '/sys/fs/cgroup/$id' is there already and cannot be entered: limits take another id, or a delegated cgroup"
	edit 'del(.linux.resources.memory)'
	kill $!
	wait $! || true
	until_true 30 rmdir "/sys/fs/cgroup/$id"
	run coracle --systemd-cgroup run --bundle "$bundle" "$id"
	fails 1 "--systemd-cgroup: only for root"
	run as_user unshare --map-root-user "$CORACLE_BIN" --systemd-cgroup run --bundle "$bundle" "$id" # nor who only looks like it
	fails 1 "--systemd-cgroup: only for root"
	left_nothing
}

@test "newuidmap that does nothing, fails, talks or hangs: a clear error; it is not looked for in the working directory" {
	box true
	mkdir "$home/bin"
	# fake SCRIPT: what is found as newuidmap
	fake() {
		printf '#!/bin/sh\n%s\n' "$1" >"$home/bin/newuidmap"
		chmod 0755 "$home/bin/newuidmap"
		run timeout -s KILL 200 runuser -u rower -- env -C "$home/bin" "XDG_RUNTIME_DIR=$home/run" "PATH=${2-$home/bin}:$PATH" \
			"$CORACLE_BIN" run --bundle "$bundle" "$id"
		echo "$1: $status ${output:0:1500}"
	}
	fake 'exit 0'
	fails 1 "'$home/bin/newuidmap' says that it has mapped the user's ids, and has not"
	fake 'echo no such luck >&2; exit 3'
	fails 1 "cannot map the user's ids: '$home/bin/newuidmap' fails with status 3; it says: no such luck"
	fake 'head -c 1000000 /dev/zero | tr "\0" x >&2; exit 3'
	fails 1 "fails with status 3; it says: xxxx"
	((${#output} < 1000 && ${#lines[@]} == 1))
	fake 'exec sleep 1000'
	fails 1 "'$home/bin/newuidmap' has not ended within 30 s"
	run pgrep -u rower
	[[ $status == 1 ]]
	fake 'touch executed; exit 1' ".:bin:"
	[[ $status == 0 && ! -e $home/bin/executed ]]
	left_nothing
}

@test "a signal while newuidmap hangs ends the command, and newuidmap" {
	box true
	mkdir "$home/bin"
	printf '#!/bin/sh\necho $$ >%s\nexec sleep 1000\n' "$home/run/began" >"$home/bin/newuidmap"
	chmod 0755 "$home/bin/newuidmap"
	runuser -u rower -- env "XDG_RUNTIME_DIR=$home/run" "PATH=$home/bin:$PATH" "$CORACLE_BIN" create --bundle "$bundle" "$id" >"$home/run/out" 2>&1 3>&- &
	until_true 60 test -s "$home/run/began"
	pkill -TERM -u rower -x coracle
	wait $! || status=$?
	cat "$home/run/out"
	[[ $status == 143 && $(cat "$home/run/out") == *"interrupted by SIGTERM"* ]]
	until_true 30 eval '! pgrep -u rower'
	left_nothing
}

@test "another group than the one of /etc/passwd, by sg: it works, with one id and a warning" {
	groupadd -f oars
	usermod -aG oars rower
	box 'echo x >/mnt/f; id -g; stat -c "%u:%g" /mnt/f'
	run --separate-stderr as_user sg oars "$CORACLE_BIN run --bundle $bundle $id"
	gpasswd -d rower oars
	echo "$output $stderr"
	[[ $status == 0 && $output == $'0\n0:0' && $stderr == *"warning: only uid 4242 and gid "*" are mapped: "*"newuidmap' fails with status "* ]]
	[[ $(owner f) == "4242:$(getent group oars | cut -d: -f3)" ]]
	left_nothing
}

@test "check says what a user has, and what is missing" {
	run -0 coracle check
	[[ $output == *"ok       privilege          uid 4242, root of a user namespace"* ]]
	[[ $output == *"ok       ids                65537 uids, 65537 gids, by /"*"/newuidmap"* ]]
	[[ $output == *"ok       state directory    $root"* ]]
	[[ $output == *"absent   cgroup delegation  /sys/fs/cgroup is not ours to make groups in"* ]]
	ranges ""
	run -0 coracle check
	[[ $output == *"absent   ids                only uid 4242 and gid 4242 are mapped: /etc/subuid has no range for this user"*"-> install newuidmap"* ]]
	ranges
	delegated
	run -0 in_leaf coracle check
	undelegated
	[[ $output == *"ok       cgroup delegation  $group is ours"* ]]
	before=$(cat /proc/sys/user/max_user_namespaces)
	echo 0 >/proc/sys/user/max_user_namespaces
	run coracle check
	echo "$before" >/proc/sys/user/max_user_namespaces
	fails 1 "missing  privilege          cannot make a user namespace (the sysctl user.max_user_namespaces is 0)"
	run runuser -u rower -- env -u XDG_RUNTIME_DIR "$CORACLE_BIN" check
	fails 1 "missing  state directory    XDG_RUNTIME_DIR is not set"
	user=other run coracle check # after su, which keeps the variable
	fails 1 "missing  state directory    XDG_RUNTIME_DIR is '$home/run', which is not a directory of this user's alone"
	[[ $output == *"-> set XDG_RUNTIME_DIR, as a login by systemd does, or use --root DIR"*"No container can start here." ]]
}

@test "what cannot be made leaves nothing: no user namespaces, no XDG_RUNTIME_DIR, a bad kernel, a foreign network namespace" {
	box true
	before=$(cat /proc/sys/user/max_user_namespaces)
	echo 0 >/proc/sys/user/max_user_namespaces
	run coracle run --bundle "$bundle" "$id"
	echo "$before" >/proc/sys/user/max_user_namespaces
	fails 1 "cannot make a user namespace (the sysctl user.max_user_namespaces is 0): No space left on device"
	for command in "run --bundle $bundle $id" "state $id" list "delete --force $id"; do
		# shellcheck disable=SC2086
		run runuser -u rower -- env -u XDG_RUNTIME_DIR "$CORACLE_BIN" $command
		fails 1 "XDG_RUNTIME_DIR is not set: containers are kept below it (--root DIR names another place)"
	done
	run runuser -u rower -- env -u XDG_RUNTIME_DIR "$CORACLE_BIN" run --help
	[[ $status == 0 ]]
	run -0 runuser -u rower -- env -u XDG_RUNTIME_DIR "$CORACLE_BIN" --root "$home/run/else" run --bundle "$bundle" "$id"
	edit '.annotations["coracle.vm.kernel"] = "/etc/passwd"'
	run coracle run --bundle "$bundle" "$id"
	fails 1 "ELF"
	box true
	edit '(.linux.namespaces[] | select(.type == "network")).path = "/proc/1/ns/net"'
	run coracle run --bundle "$bundle" "$id"
	[[ $status == 1 && $output == *"network namespace"* ]]
	box true
	run as_user unshare --map-root-user sh -c 'echo 0 >/proc/sys/user/max_net_namespaces; exec "$@"' sh "$CORACLE_BIN" run --bundle "$bundle" "$id"
	fails 1 "cannot make the sandbox's namespaces (the sysctls user.max_*_namespaces are the limits): No space left on device"
	left_nothing
}

@test "mounts: what is locked stays, and the rest is an error that says why" {
	mount -t tmpfs -o ro,nosuid tmpfs "$home/m"
	box 'echo x >/mnt/f'
	run_container
	[[ $status == 2 && $stderr == *"Read-only file system"* ]]
	umount "$home/m"
	mkdir "$home/m/sub"
	mount -t tmpfs tmpfs "$home/m/sub"
	touch "$home/m/sub/there"
	run coracle run --bundle "$bundle" "$id"
	fails 1 "cannot bind '$home/m': if mounts lie below it, an ordinary user can only have them too (rbind)"
	box 'ls /mnt/sub'
	edit '.mounts[-1].options = ["rbind", "rw"]'
	run_container
	[[ $status == 0 && $output == there ]]
	umount "$home/m/sub"
	edit '.mounts[-1] += {uidMappings: [{containerID: 0, hostID: 0, size: 10}], gidMappings: [{containerID: 0, hostID: 0, size: 10}]}'
	run coracle run --bundle "$bundle" "$id"
	fails 1 "cannot id-map '$home/m'"
	left_nothing
}

@test "many more files than descriptors: walked, read twice, renamed, kept open; the VMM keeps to its limit" {
	mkdir "$home/m/tree" "$home/m/tree/d"{1..40}
	for d in {1..40}; do
		for f in {1..100}; do echo "$d/$f" >"$home/m/tree/d$d/f$f"; done
	done
	chown -R rower:rower "$home/m/tree"
	sum=$(cd "$home/m/tree" && find . -type f | sort | xargs cat | md5sum)
	box 'set -e
		cd /mnt/tree/d1; exec 3<f1
		sum() { (cd /mnt/tree && find . -type f | sort | xargs cat | md5sum); }
		sum; sum
		cat <&3; cat f2; echo new >f3; mv f4 g4; cat f3 g4; pwd; ls | wc -l
		mv /mnt/tree/d2 /mnt/tree/e2; mv /mnt/tree/d3/f5 /mnt/tree/e2/g5; cat /mnt/tree/e2/g5 /mnt/tree/e2/f6
		exec sleep 1000'
	as_user prlimit --nofile=512:512 "$CORACLE_BIN" create --bundle "$bundle" --pid-file "$home/run/pid" "$id" </dev/null >"$home/run/out" 2>&1
	vmm=$(cat "$home/run/pid")
	cat "/proc/$vmm/limits"
	[[ $(awk '/^Max open files/ { print $5 }' "/proc/$vmm/limits") == 512 ]]
	coracle start "$id"
	until_true 300 eval '(($(wc -l <"$home/run/out") == 10)) || [[ $(status_of "$id") == stopped ]]'
	cat "$home/run/out"
	most=0
	for task in $(vmm_threads "$vmm"); do
		n=$(find "$task/fd" -type l | wc -l)
		((n <= most)) || most=$n
	done
	echo "at most $most descriptors in a thread"
	[[ $(cat "$home/run/out") == "$sum"$'\n'"$sum"$'\n1/1\n1/2\nnew\n1/4\n/mnt/tree/d1\n100\n3/5\n2/6' ]]
	# The kernel allows no more than 512, so this says only that there was room left. The real test is what was read, above: with
	# a descriptor per file most of the files could not have been.
	((most < 512))
	run -0 coracle delete --force "$id"
	left_nothing
}

@test "mappings of the bundle are the caller's ids" {
	box 'tr -s " " </proc/self/uid_map; echo x >/mnt/f; echo y >/mnt/g; chown 1:1 /mnt/g; stat -c "%u:%g" /mnt/f /mnt/g'
	edit '.linux.namespaces += [{type: "user"}] | .linux.uidMappings = [{containerID: 0, hostID: 4242, size: 1}, {containerID: 1, hostID: 100010, size: 5}]
		| .linux.gidMappings = .linux.uidMappings'
	run_container
	echo "$output $stderr"
	[[ $status == 0 && $output == $' 0 0 1\n 1 11 5\n0:0\n1:1' ]]
	[[ "$(owner f) $(owner g)" == "4242:4242 100010:100010" ]]
	edit '.linux.uidMappings[1].hostID = 4243'
	run coracle run --bundle "$bundle" "$id"
	fails 1 "linux.uidMappings: hostID 4243 is neither the caller's own nor in his ranges"
	left_nothing
}

@test "root of a user namespace that somebody else made: no second one, with and without a mount namespace of its own" {
	box 'echo x >/mnt/f; chown 3 /mnt/f; stat -c %u /mnt/f'
	for options in --map-root-user "--map-root-user --mount" "--map-root-user --map-auto --mount"; do
		rm -f "$home/m/f"
		# shellcheck disable=SC2086
		run --separate-stderr as_user unshare $options "$CORACLE_BIN" run --bundle "$bundle" "$id"
		echo "$options: $status $output $stderr"
		if [[ $options == *auto* ]]; then
			[[ $status == 0 && $output == 3 && $(owner f) == 100002:4242 ]]
		else
			[[ $status == 0 && $output == 0 && $stderr == *"Invalid argument"* && $(owner f) == 4242:4242 ]]
		fi
	done
	box 'sleep 1000'
	as_user unshare --map-root-user "$CORACLE_BIN" create --bundle "$bundle" --pid-file "$home/run/pid" "$id" </dev/null >"$home/run/out" 2>&1
	# the user himself, outside of it
	run -0 coracle start "$id"
	[[ $(coracle exec "$id" echo hello) == hello ]]
	run -0 coracle delete --force "$id"
	left_nothing
}

@test "another user's commands are refused, however open the way; so are those of the user's own ranges" {
	control=${BATS_TEST_FILENAME%/*}/control.py
	box 'sleep 1000'
	created
	coracle start "$id"
	sock=$root/$id/control.sock
	for command in "state $id" "kill $id KILL" "delete --force $id" "exec $id true" list; do
		# shellcheck disable=SC2086
		user=other run as_user "$CORACLE_BIN" --root "$root" $command
		fails "$([[ $command == exec* ]] && echo 255 || echo 1)" "Permission denied"
	done
	chmod 0755 "$home" "$home/run" "$root" "$root/$id"
	chmod 0777 "$sock"
	for command in "state $id" "kill $id KILL" "delete --force $id" "exec $id true"; do
		# shellcheck disable=SC2086
		user=other run as_user "$CORACLE_BIN" --root "$root" $command
		fails "$([[ $command == exec* ]] && echo 255 || echo 1)" "the state directory '$root' belongs to uid 4242"
	done
	# root of the host is nobody in the VMM's user namespace
	for uid in 4243 100000 100999 65534 0; do
		run -0 "$control" --uid "$uid" "$sock" ask:type=1 ask:type=3,arg=9
		[[ $output == $'closed\nclosed' ]]
	done
	run -0 "$control" --uid 4242 "$sock" ask:type=1
	[[ ${lines[0]} == "0 " && $(status_of "$id") == running ]]
	run -0 coracle delete --force "$id"
	left_nothing
}

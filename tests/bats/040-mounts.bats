#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Mounts: binds, guest file systems, the root file system.
bats_require_minimum_version 1.5.0
load common

bind() { edit '.mounts += [{destination: $d, source: $s, type: "bind", options: ($o | split(","))}]' --arg s "$1" --arg d "$2" --arg o "$3"; }

setup_files() {
	own=$BATS_TEST_TMPDIR/own
	mkdir -p "$own/sub"
	echo one >"$own/file"
	echo two >"$own/sibling"
}

@test "bind: read-write both ways, by owner and mode" {
	need_kvm
	setup_files
	chown 1234:4321 "$own/file"
	new_bundle sh -c 'cat /m/file; stat -c "%u %g" /m/file; echo three >/m/new; mkdir /m/dir; chown 7:8 /m/new; chmod 0604 /m/new'
	edit '.process.capabilities |= map_values(. + ["CAP_CHOWN", "CAP_FOWNER"])'
	bind "$own" /m bind,rw
	run_container
	((status == 0))
	[[ $output == $'one\n1234 4321' ]]
	[[ $(cat "$own/new") == three && $(stat -c '%u %g %a' "$own/new") == "7 8 604" && -d $own/dir ]]
}

@test "bind ro: refused in the guest, and by the host for a guest that remounts" {
	need_kvm
	setup_files
	new_bundle sh -c 'echo x >/m/file; mount -o remount,rw /m; mount -o remount,rw,bind /m; echo x >/m/file; rm -f /m/file; cat /m/file'
	edit '.process.capabilities |= (.bounding += ["CAP_SYS_ADMIN"] | .effective += ["CAP_SYS_ADMIN"] | .permitted += ["CAP_SYS_ADMIN"])'
	bind "$own" /m bind,ro
	run_container
	[[ $output == *one && $(cat "$own/file") == one ]]
	[[ $stderr == *"Read-only file system"* ]]
}

@test "bind of one file shows that file and not its siblings" {
	need_kvm
	setup_files
	new_bundle sh -c 'cat /mnt/here; ls /mnt; echo changed >/mnt/here'
	own_rootfs
	bind "$own/file" /mnt/here bind,rw
	run_container
	((status == 0))
	[[ $output == $'one\nhere' && $(cat "$own/file") == changed ]]
}

@test "rbind takes the mounts below along, bind does not" {
	need_kvm
	setup_files
	mount -t tmpfs tmpfs "$own/sub"
	echo below >"$own/sub/file"
	new_bundle sh -c 'cat /r/sub/file; ls /b/sub | wc -l'
	bind "$own" /r rbind,rw
	bind "$own" /b bind,rw
	run_container
	umount "$own/sub"
	((status == 0))
	[[ $output == $'below\n0' ]]
}

@test "a bind over a directory of the rootfs, and a mount point that has to be made" {
	need_kvm
	setup_files
	new_bundle sh -c 'cat /usr/share/file; cat /made/new/point/file'
	own_rootfs
	bind "$own" /usr/share bind,ro
	bind "$own" /made/new/point bind,ro
	run_container
	((status == 0))
	[[ $output == $'one\none' ]]
}

@test "a mount destination behind a hostile link stays in the rootfs" {
	need_kvm
	setup_files
	mkdir -p "$BATS_TEST_TMPDIR/outside"
	new_bundle sh -c 'cat /evil/x/file'
	own_rootfs
	ln -s "$BATS_TEST_TMPDIR/outside" "$bundle/rootfs/evil"
	bind "$own" /evil/x bind,ro
	run_container
	[[ ! -e $BATS_TEST_TMPDIR/outside/x ]]
	((status == 0))
	[[ $output == one ]]
}

@test "mountinfo: a bind's root ends as its source does" {
	need_kvm
	setup_files
	mkdir "$own/sub/in"
	mount -t tmpfs tmpfs "$own/sub/in"
	# "in/.": stat(2) does not enter a mount that nobody has entered.
	new_bundle sh -c 'while read -r _ _ dev root at _; do case $at in /x*) echo "$root $at";; esac; done </proc/self/mountinfo; stat -c %d /x1 /x1/in/. /x1/..; cat /x2; umount /x3; ls /x3'
	edit '.process.capabilities |= (.bounding += ["CAP_SYS_ADMIN"] | .effective += ["CAP_SYS_ADMIN"] | .permitted += ["CAP_SYS_ADMIN"])'
	own_rootfs
	mkdir "$bundle/rootfs/x3"
	touch "$bundle/rootfs/x3/below"
	bind "$own/sub/" /x1 rbind
	bind "$own/file" /x2 bind
	bind "$own/../own" /x3 bind,ro
	run_container
	umount "$own/sub/in"
	((status == 0))
	[[ ${lines[0]} == "/sub /x1" && ${lines[1]} == "/file /x2" && ${lines[2]} == "/own /x3" ]]
	[[ ${lines[3]} != "${lines[4]}" && ${lines[3]} != "${lines[5]}" && ${lines[4]} != "${lines[5]}" ]]
	[[ ${lines[6]} == one && ${lines[7]} == below ]]
}

@test "a recursive bind of the root comes off with one umount, in every propagation" {
	need_kvm
	local mode
	for mode in shared slave private; do
		new_bundle sh -c 'mkdir /1 /2 /3; touch /3/f; mount -o rbind / /1; mount -o bind /3 /2; ls /1/2; umount -l /2; umount -l /1; rmdir /1 && ls /3'
		own_rootfs
		edit '.linux.rootfsPropagation = $m | .process.capabilities |= (.bounding += ["CAP_SYS_ADMIN"] | .effective += ["CAP_SYS_ADMIN"] | .permitted += ["CAP_SYS_ADMIN"])' --arg m "$mode"
		run_container
		umount "$bundle/rootfs" "$BATS_TEST_TMPDIR/overlay" # the next begins with a fresh one
		echo "$mode: $output $stderr"
		((status == 0))
		if [[ $mode == shared ]]; then [[ $output == $'f\nf' ]]; else [[ $output == f ]]; fi
	done
}

@test "remount: a bind's flags, a file system's options" {
	need_kvm
	setup_files
	new_bundle sh -c 'touch /m/x 2>/dev/null || echo ro; grep -E " /(m|dev/shm) " /proc/self/mounts | cut -d" " -f2,4 | sort'
	own_rootfs
	bind "$own" /m bind,rw
	edit '.mounts += [{destination: "/m", type: "bind", source: "none", options: ["bind", "remount", "ro", "noexec"]},
		{destination: "/dev/shm", type: "tmpfs", source: "shm", options: ["remount", "exec", "size=128k"]}]'
	run_container
	((status == 0))
	[[ ${lines[0]} == ro && ${lines[1]} == "/dev/shm rw,nosuid,nodev,relatime,size=128k" && ${lines[2]} == "/m ro,noexec,"* ]]
	[[ ! -e $own/x ]]
	edit '.mounts += [{destination: "/etc", type: "bind", options: ["bind", "remount", "ro"]}]'
	run_container
	fails 1 "remount: invalid argument"
}

@test "tmpfs: size, mode, options" {
	need_kvm
	new_bundle sh -c 'stat -f -c "%T %b*%S" /t; stat -c %a /t; grep " /t " /proc/self/mountinfo; cp /bin/true /t/; /t/true || echo noexec; head -c 2M /dev/zero >/t/big || echo full'
	edit '.mounts += [{destination: "/t", type: "tmpfs", source: "tmpfs", options: ["nosuid", "noexec", "nodev", "size=1m", "mode=1750"]}]'
	own_rootfs
	run_container
	[[ ${lines[0]} == "tmpfs 256*4096" && ${lines[1]} == 1750 ]]
	[[ ${lines[2]} == *nosuid,nodev,noexec* && $output == *noexec* && $output == *full* ]]
}

@test "tmpcopyup fills the tmpfs with what it hides" {
	need_kvm
	new_bundle sh -c 'cat /etc/debian_version >/dev/null && stat -f -c %T /etc && echo x >/etc/new'
	edit '.mounts += [{destination: "/etc", type: "tmpfs", source: "tmpfs", options: ["tmpcopyup"]}]'
	run_container
	((status == 0))
	[[ $output == tmpfs && ! -e $CORACLE_ROOTFS/etc/new ]]
}

@test "the default mounts: proc, sysfs, devpts, mqueue, shm, cgroup2" {
	need_kvm
	new_bundle sh -c 'awk "{ print \$2, \$3 }" /proc/mounts | sort; cat /sys/fs/cgroup/cgroup.controllers; ls -l /dev/ptmx /dev/fd; test -c /dev/pts/ptmx && echo pts'
	run_container
	((status == 0))
	for want in "/dev tmpfs" "/dev/mqueue mqueue" "/dev/pts devpts" "/dev/shm tmpfs" "/proc proc" "/sys sysfs" "/sys/fs/cgroup cgroup2"; do
		[[ $output == *"$want"* ]]
	done
	[[ $output == *memory* && $output == *pts* ]]
}

@test "root read-only: refused in the guest, and by the host for a guest that remounts" {
	need_kvm
	new_bundle sh -c 'touch /x; mount -o remount,rw /; touch /x; test ! -e /x && echo clean'
	edit '.root.readonly = true | .process.capabilities |= (.bounding += ["CAP_SYS_ADMIN"] | .effective += ["CAP_SYS_ADMIN"] | .permitted += ["CAP_SYS_ADMIN"])'
	run_container
	[[ $output == clean && $stderr == *"Read-only file system"* ]]
}

@test "root read-only with a mount point that is not there yet" {
	need_kvm
	setup_files
	new_bundle sh -c 'cat /fresh/dir/file /fresh/file'
	own_rootfs
	edit '.root.readonly = true'
	bind "$own" /fresh/dir bind,ro
	bind "$own/file" /fresh/file bind,ro
	run_container
	((status == 0))
	[[ $output == $'one\none' ]]
}

@test "mounts that fail say which and why" {
	need_kvm
	new_bundle true
	edit '.mounts += [{destination: "/t", type: "nosuchfs", source: "none"}]'
	run_container
	echo "$stderr"
	((status == 1))
	[[ $stderr == */t*nosuchfs* ]]
	left_nothing
}

@test "tmpfs in a read-only root: on a new directory it is everybody's, on an old one it has its mode" {
	need_kvm
	new_bundle sh -c 'stat -c %a /new /opt; touch /new/file'
	own_rootfs
	edit '.root.readonly = true | .process.user = {uid: 1234, gid: 99} | .mounts += [
		{destination: "/new", type: "tmpfs", source: "tmpfs", options: ["size=8m"]},
		{destination: "/opt", type: "tmpfs", source: "tmpfs"}]'
	run_container
	echo "$status $output $stderr"
	[[ $status == 0 && $output == $'1777\n755' ]]
}

@test "who joins the mount namespace by the container's pid finds its root file system, not the host's" {
	need_kvm
	new_bundle sleep 1000
	own_rootfs
	echo inside >"$bundle/rootfs/etc/which"
	coracle run --detach --pid-file "$BATS_TEST_TMPDIR/pid" --bundle "$bundle" "$id" </dev/null >/dev/null 2>&1
	# 308 is setns, 0x20000 CLONE_NEWNS: what podman cp does. Programs of the host are out of reach from then on.
	run perl -e 'open my $ns, "<", "/proc/$ARGV[0]/ns/mnt" or die; syscall(308, fileno $ns, 0x20000) == 0 or die "setns: $!";
		print -e $ARGV[1] ? "the host\n" : "not the host\n"; open my $f, "<", "/../etc/which" or die "no file"; print <$f>;
		open $f, ">", "/etc/copied"; print $f "in"; close $f' "$(cat "$BATS_TEST_TMPDIR/pid")" "$BATS_TEST_TMPDIR/pid"
	echo "$output"
	[[ $output == $'not the host\ninside' ]]
	[[ $(coracle exec "$id" cat /etc/copied) == in ]]
	coracle delete --force "$id"
	left_nothing
}

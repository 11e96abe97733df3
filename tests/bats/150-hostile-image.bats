#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016,SC2119,SC2154
# Images and bundles that attack the runtime, after what has worked against other runtimes. docs/threat-model.md has
# the table of them.
bats_require_minimum_version 1.5.0
load common

# image COMMAND…: a bundle whose root file system may be prepared, in $rootfs (the one there is, if there is one); and
# what is to stay as it is, in $outside.
image() {
	rootfs=$bundle/rootfs
	new_bundle "$@"
	if mountpoint -q "$rootfs"; then edit '.root.path = "rootfs" | .root.readonly = false'; else own_rootfs; fi
	outside=$BATS_TEST_TMPDIR/outside
	mkdir -p "$outside/dir"
	echo precious >"$outside/file"
	outside >"$BATS_TEST_TMPDIR/before"
}

# outside: everything about it that can be seen. untouched: it is as it was.
outside() {
	find "$outside" -printf '%p %y %m %U %G %n %s %T@ %C@\n' | sort
	cat "$outside/file"
}
untouched() { outside | diff "$BATS_TEST_TMPDIR/before" -; }

# swap A B: somebody who exchanges two names all the time; its pid in $swapper, until stop_swapping. 316 is renameat2, 2
# RENAME_EXCHANGE.
swap() {
	perl -e 'while (1) { syscall(316, -100, $ARGV[0], -100, $ARGV[1], 2) == 0 or die $!; }' "$@" >"$BATS_TEST_TMPDIR/swap" 2>&1 3>&- &
	swapper=$!
}
stop_swapping() {
	cat "$BATS_TEST_TMPDIR/swap"
	kill "$swapper" # it fails if there was nobody
	wait "$swapper" || true
}

# refused TEXT: create refuses the bundle so before there is a VM, in time, and leaves nothing.
refused() {
	run timeout 60 "$CORACLE_BIN" --root "$root" create --bundle "$bundle" "$id" </dev/null
	fails 1 "$1"
	left_nothing
}

@test "CVE-2021-30465 on the host: where a read-only root's mount points are made, directories turn into links" {
	image true
	mkdir "$rootfs/x"
	ln -s "$(printf '../%.0s' {1..20})$outside/dir" "$rootfs/y"
	swap "$rootfs/x" "$rootfs/y"
	# all mount points are made before the kernel is missed: many tries, and no VM
	for n in {1..5}; do
		new_bundle true
		edit '.root.path = "rootfs" | .annotations["coracle.vm.kernel"] = "/nowhere"
			| .mounts += [range(60) | {destination: "/x/\($n)-\(.)/deep", type: "tmpfs", source: "tmpfs"}]' --arg n "$n"
		run timeout 100 "$CORACLE_BIN" --root "$root" create --bundle "$bundle" "$id"
		((status == 1))
		left_nothing
		untouched
	done
	stop_swapping
	untouched
}

@test "sources that are magic links, or nothing that can be mounted, are refused" {
	new_bundle true
	for path in /proc/self/cwd /proc/self/root /proc/self/fd/0 /proc/1/root /proc/1/cwd/etc /dev/zero; do
		edit '.root.path = $p' --arg p "$path"
		refused "root.path: cannot open '$path'"
		[[ $path != /dev/zero ]] || continue
		new_bundle true
		edit '.mounts += [{destination: "/x", source: $p, type: "bind", options: ["rbind"]}]' --arg p "$path"
		refused "source: cannot open '$path'"
		new_bundle true
	done
}

@test "config.json is a fifo, a device, a socket, a link out of the bundle" {
	new_bundle true
	mv "$bundle/config.json" "$BATS_TEST_TMPDIR/good.json"
	mkfifo "$bundle/config.json"
	refused "config.json: not a regular file"
	rm "$bundle/config.json"
	mknod "$bundle/config.json" c 1 5
	refused "config.json: " # not a regular file; where the mount is nodev, permission denied
	rm "$bundle/config.json"
	(cd "$bundle" && perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0) && bind(S, pack_sockaddr_un("config.json")) or die $!')
	refused "config.json: cannot open"
	for target in "$BATS_TEST_TMPDIR/good.json" ../good.json /dev/zero /proc/self/fd/0 /dev/stdin; do
		ln -sfn "$target" "$bundle/config.json"
		refused "config.json"
	done
}

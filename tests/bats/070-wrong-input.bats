#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Wrong input: one clear message, a non-zero status, nothing left behind. No VM is booted by most of these.
bats_require_minimum_version 1.5.0
load common

# refuse STATUS TEXT: both create and run must refuse the bundle so, and leave nothing.
refuse() {
	run --separate-stderr coracle create --bundle "$bundle" --pid-file "$BATS_TEST_TMPDIR/pid" "$id"
	fails "$1" "$2"
	[[ ! -e $BATS_TEST_TMPDIR/pid ]]
	left_nothing
	run --separate-stderr coracle --log "$BATS_TEST_TMPDIR/log" --log-format json run --bundle "$bundle" "$id"
	fails "$1" "$2"
	left_nothing
	tail -n 1 "$BATS_TEST_TMPDIR/log" | jq -e --arg text "$2" '.level == "error" and (.msg | contains($text))'
}

@test "bundle missing" {
	bundle=/nowhere
	refuse 1 "cannot open the bundle '/nowhere'"
	bundle=/etc/passwd
	refuse 1 "cannot open the bundle '/etc/passwd'"
}

@test "config.json absent, a directory, a dangling link" {
	refuse 1 "config.json"
	mkdir "$bundle/config.json"
	refuse 1 "config.json"
	rmdir "$bundle/config.json"
	ln -s nowhere "$bundle/config.json"
	refuse 1 "config.json"
}

@test "config.json malformed: line and column" {
	printf '{\n  "ociVersion": "1.0.2",\n  oops\n}\n' >"$bundle/config.json"
	refuse 1 "config.json:3:"
	printf '{"ociVersion": "1.0.2"' >"$bundle/config.json"
	refuse 1 "config.json:1:"
	: >"$bundle/config.json"
	refuse 1 "config.json:"
	printf '{"a":1,"a":2}' >"$bundle/config.json"
	refuse 1 "duplicate key 'a'"
}

@test "config.json of absurd size or depth" {
	head -c 9000000 /dev/zero | tr '\0' ' ' >"$bundle/config.json"
	refuse 1 "config.json"
	printf '{"a":%s}' "$(printf '[%.0s' {1..5000})" >"$bundle/config.json"
	refuse 1 "config.json:"
}

@test "unknown version" {
	new_bundle true
	edit '.ociVersion = "3.0.0"'
	refuse 1 "3.0.0"
	edit '.ociVersion = "one"'
	refuse 1 "one"
	edit 'del(.ociVersion)'
	refuse 1 "ociVersion"
}

@test "wrong types and ranges name the field" {
	new_bundle true
	edit '.process.user.uid = "root"'
	refuse 1 "process.user.uid: expected an integer"
	new_bundle true
	edit '.process.user.uid = -1'
	refuse 1 "process.user.uid"
	new_bundle true
	edit '.process.args = "true"'
	refuse 1 "process.args: expected"
	new_bundle true
	edit '.process.args = []'
	refuse 1 "process.args"
	new_bundle true
	edit '.process.cwd = "tmp"'
	refuse 1 "process.cwd"
}

@test "fields that are not supported are refused by name; --lenient warns" {
	new_bundle true
	edit '.linux.intelRdt = {"closID": "x"}'
	refuse 1 "linux.intelRdt"
	need_kvm
	run --separate-stderr coracle --lenient run --bundle "$bundle" "$id"
	((status == 0))
	[[ $stderr == *"warning"*"linux.intelRdt"* ]]
}

@test "a bundle whose path is not UTF-8, a root whose path is too long when joined: refused at once" {
	new_bundle true
	odd=$BATS_TEST_TMPDIR/$'odd\xff'
	cp -r "$bundle" "$odd"
	run coracle create --bundle "$odd" "$id"
	fails 1 "cannot keep the container's state: state.json"
	left_nothing
	mkdir -p "$bundle/rootfs"
	edit '.root.path = "./" * 2040 + "rootfs"' # a path, until it stands behind the bundle's
	run coracle create --bundle "$bundle" "$id"
	fails 1 "cannot keep the container's state: state.json: rootfs:"
	left_nothing
}

@test "root file system missing, or a file" {
	new_bundle true
	edit '.root.path = "nowhere"'
	refuse 1 "nowhere"
	edit '.root.path = "/etc/passwd"'
	refuse 1 "/etc/passwd"
}

@test "bind source missing" {
	new_bundle true
	edit '.mounts += [{destination: "/x", source: "/nowhere", type: "bind", options: ["bind"]}]'
	refuse 1 "/nowhere"
}

@test "guest kernel missing, a directory, empty, no ELF, truncated, a bzImage" {
	new_bundle true
	edit '.annotations["coracle.vm.kernel"] = "/nowhere/vmlinux"'
	refuse 1 "guest kernel '/nowhere/vmlinux'"
	edit '.annotations["coracle.vm.kernel"] = "/etc"'
	refuse 1 "'/etc' is not a regular file"
	need_kvm
	: >"$BATS_TEST_TMPDIR/k"
	edit '.annotations["coracle.vm.kernel"] = $k' --arg k "$BATS_TEST_TMPDIR/k"
	refuse 1 "ELF"
	echo "#!/bin/sh" >"$BATS_TEST_TMPDIR/k"
	refuse 1 "ELF"
	head -c 100000 "${CORACLE_BIN%/bin/*}/libexec/coracle/vmlinux" >"$BATS_TEST_TMPDIR/k"
	refuse 1 "kernel"
	{
		head -c 514 /dev/zero
		printf 'HdrS'
		head -c 4096 /dev/zero
	} >"$BATS_TEST_TMPDIR/k"
	refuse 1 "bzImage"
}

@test "no /dev/kvm, a software one, no right to it" {
	new_bundle true
	need_kvm
	run unshare --mount sh -c 'mount -t tmpfs tmpfs /dev && "$@"' sh \
		"$CORACLE_BIN" --root "$root" run --bundle "$bundle" "$id"
	fails 1 "no /dev/kvm"
	left_nothing
	run unshare --mount sh -c 'mount -t tmpfs tmpfs /dev && "$@"' sh "$CORACLE_BIN" check
	((status == 1))
	[[ $output == *missing*"/dev/kvm"* && $output == *"No container can start here."* ]]
	mkdir "$BATS_TEST_TMPDIR/module" "$BATS_TEST_TMPDIR/module/kvm_pvm"
	run unshare --mount sh -c 'mount --bind "$1" /sys/module && shift && "$@"' sh "$BATS_TEST_TMPDIR/module" \
		"$CORACLE_BIN" --root "$root" run --bundle "$bundle" "$id"
	fails 1 "software one (kvm_pvm)"
	left_nothing
	chmod 0600 /dev/kvm
	user=$(mktemp -d /tmp/user.XXXXXX) # bats' own directories are closed to others
	cp -r "$bundle" "$user/bundle"
	chown -R 65534 "$user"
	run setpriv --reuid 65534 --regid 65534 --clear-groups "$CORACLE_BIN" --root "$user/state" \
		run --bundle "$user/bundle" "$id"
	rm -rf "$user"
	((status == 1))
	[[ $output == *"no right to use /dev/kvm"*  ]]
}

@test "id taken" {
	need_kvm
	new_bundle sleep 100
	coracle create --bundle "$bundle" "$id" </dev/null >/dev/null 2>&1
	run coracle create --bundle "$bundle" "$id"
	fails 1 "already exists"
	run coracle run --bundle "$bundle" "$id"
	fails 1 "already exists"
	[[ $(status_of "$id") == created ]]
	run -0 coracle delete --force "$id"
	left_nothing
}

@test "program not found: 127" {
	need_kvm
	new_bundle no-such-program
	refuse 127 'exec: "no-such-program": executable file not found in $PATH'
	new_bundle /no/such/program
	refuse 127 "no such file or directory"
}

@test "program not executable: 126" {
	need_kvm
	new_bundle /etc/passwd
	refuse 126 "permission denied"
	new_bundle /etc
	refuse 126 'exec: "/etc"'
}

@test "options that make no sense here" {
	new_bundle true
	run coracle create --bundle "$bundle" --console-socket /tmp/x "$id"
	fails 1 "cannot use console socket if coracle will not detach or allocate tty"
	run coracle create --bundle "$bundle" --preserve-fds 2 "$id"
	fails 1 "--preserve-fds"
	run coracle create --bundle "$bundle" --preserve-fds x "$id"
	fails 1 "'x' is not a number"
	left_nothing
}

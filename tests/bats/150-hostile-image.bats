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

bind() { edit '.mounts += [{destination: $d, source: $s, type: "bind", options: ["bind", $o]}]' --arg s "$1" --arg d "$2" --arg o "${3:-ro}"; }

with_caps() {
	local cap
	for cap; do
		edit '.process.capabilities |= (.bounding += [$c] | .effective += [$c] | .permitted += [$c])' --arg c "$cap"
	done
}

ran() {
	run_container
	echo "status $status: $output $stderr"
}

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

# background: the bundle's container, created in the background.
background() { coracle create --bundle "$bundle" --pid-file "$BATS_TEST_TMPDIR/pid" "$id" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1; }

stopped() { [[ $(status_of "$id") == stopped ]]; }

# programs: what the host runs for a container, by content.
programs() { sha256sum "$CORACLE_BIN" "${CORACLE_BIN%/bin/*}"/libexec/coracle/*; }

# refused TEXT: create refuses the bundle so before there is a VM, in time, and leaves nothing.
refused() {
	run timeout -s KILL 60 "$CORACLE_BIN" --root "$root" create --bundle "$bundle" "$id" </dev/null
	fails 1 "$1"
	left_nothing
}

@test "CVE-2019-5736: an entry point that is the runtime's own program, and a container that writes to it" {
	need_kvm
	programs >"$BATS_TEST_TMPDIR/programs"
	image /entry
	printf '#!/proc/self/exe\n' >"$rootfs/entry"
	chmod 755 "$rootfs/entry"
	ln -s /proc/self/exe "$rootfs/link"
	run timeout -s KILL 200 "$CORACLE_BIN" --root "$root" run --bundle "$bundle" "$id" </dev/null
	echo "$status $output"
	((status != 0 && status != 137))
	left_nothing
	# Whoever enters shows its program in /proc/PID/exe until it executes the container's: it is opened, and written
	# to once it is no longer executed. What it can be is the guest's init.
	set_args perl -e '$| = 1; my (%seen, @open); print "ready\n"; while (1) {
		for my $p (glob "/proc/[0-9]*") {
			my $exe = readlink "$p/exe" or next;
			next if $exe =~ m,^/usr/, or not open my $f, "<", "$p/exe";
			# It may have become a program of its own image since.
			push @open, $f if readlink("/proc/self/fd/" . fileno $f) !~ m,^/usr/,;
			print "saw $exe\n" if not $seen{$exe}++;
		}
		for my $f (@open) { open my $w, "+<", "/proc/self/fd/" . fileno $f or next; print $w "owned"; print "wrote\n"; close $w }
		splice @open, 0, -20;
	}'
	with_caps CAP_SYS_PTRACE CAP_DAC_OVERRIDE
	background
	coracle start "$id"
	until_true 120 grep -q ready "$BATS_TEST_TMPDIR/out"
	for target in /entry /link /entry /link; do
		run timeout -s KILL 200 "$CORACLE_BIN" --root "$root" exec "$id" "$target" </dev/null
		echo "$target: $status $output"
		((status != 0 && status != 137))
	done
	run -0 coracle exec "$id" echo works
	[[ $output == works ]]
	cat "$BATS_TEST_TMPDIR/out"
	[[ $(cat "$BATS_TEST_TMPDIR/out") != *wrote* ]]
	coracle delete --force "$id"
	# The guest's init itself, for as long as one likes: without a pid namespace it is seen.
	set_args perl -e 'print readlink "/proc/1/exe"; open my $r, "<", "/proc/1/exe" or die $!;
		open my $w, "+<", "/proc/self/fd/" . fileno $r and print " written"; print " $!\n"'
	edit '.linux.namespaces |= map(select(.type != "pid"))'
	ran
	[[ $output == "/init Text file busy" ]]
	programs | diff "$BATS_TEST_TMPDIR/programs" -
	set_args echo works
	ran
	[[ $status == 0 && $output == works ]]
}

@test "CVE-2019-5736, by libraries: the image's linker, libraries and preload list are never the host's" {
	need_kvm
	image true
	echo /no/such/evil.so >"$rootfs/etc/ld.so.preload"
	# every program that reads the list says so: it is the container's, once, and none of the host's
	edit '.hooks.createContainer = [{path: "/bin/sh", args: ["sh", "-c", "true"], env: [$env]}]' --arg env "PATH=$PATH"
	ran
	[[ $status == 0 && $(grep -c "ld.so: object '/no/such/evil.so'" <<<"$stderr") == 1 ]]
	for lib in $(ldd "${CORACLE_BIN%/bin/*}/libexec/coracle/coracle-vmm" | grep -o '/[^ ]*'); do
		mkdir -p "$rootfs/${lib%/*}"
		rm -f "$rootfs/$lib"
		echo garbage >"$rootfs/$lib"
		chmod 755 "$rootfs/$lib"
	done
	edit 'del(.hooks)'
	ran # the VM comes up, and finds that the container's program cannot be executed
	[[ $status != 0 && $stderr == *"true"* ]]
	left_nothing
}

@test "CVE-2019-16884, 2019-19921, 2023-27561, 2023-28642: /proc or /sys of the image is a link" {
	need_kvm
	for dir in proc sys; do
		image true
		mkdir -p "$rootfs/tmp/fake/self/attr"
		rmdir "$rootfs/$dir"
		ln -s tmp/fake "$rootfs/$dir"
		ran
		((status == 1))
		[[ $stderr == *'must be mounted on ordinary directory'* ]]
		left_nothing
		umount "$rootfs" "$BATS_TEST_TMPDIR/overlay"
	done
}

@test "CVE-2019-16884, 2025-52881: a volume over /proc, or in it, takes no confinement away and gets nothing written" {
	need_kvm
	image sh -c 'grep -E "NoNewPrivs|Seccomp:|CapEff" /p/self/status; cat /p/sys/kernel/msgmax; cat /p/self/oom_score_adj; mkdir /tmp/x || echo denied; id -u'
	fake=$outside/dir
	mkdir -p "$fake/self/attr/apparmor" "$fake/self/fd" "$fake/sys/kernel" "$fake/1/attr"
	for file in self/attr/exec self/attr/apparmor/exec self/oom_score_adj self/status self/uid_map sys/kernel/msgmax sysrq-trigger; do
		echo untouched >"$fake/$file"
	done
	ln -s ../../sysrq-trigger "$fake/1/attr/exec"
	outside >"$BATS_TEST_TMPDIR/before"
	bind "$fake" /proc rw
	edit '.mounts += [{destination: "/p", type: "proc", source: "proc"}] | .process.noNewPrivileges = true | .process.oomScoreAdj = 300
		| .linux.sysctl = {"kernel.msgmax": "9000"} | .process.user = {uid: 1234, gid: 1234} | del(.process.capabilities)
		| .linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_X86_64"], syscalls: [{names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO"}]}'
	ran
	untouched
	if ((status == 0)); then
		diff <(echo "$output") - <<-END
			CapEff:	0000000000000000
			NoNewPrivs:	1
			Seccomp:	2
			9000
			300
			denied
			1234
		END
	fi
	for dest in /proc/self /proc/sys/kernel /x/../proc/sys; do
		image true
		bind "$fake" "$dest" rw
		ran
		((status == 1))
		[[ $stderr == *"cannot be mounted because it is inside /proc"* ]]
		untouched
	done
}

@test "CVE-2021-30465: a mount destination is swapped for a link while containers with it are made" {
	need_kvm
	image sh -c 'cat /vol/x/made/file; exec cat /proc/self/mountinfo'
	vol=$BATS_TEST_TMPDIR/vol
	mkdir -p "$vol/x/made" "$BATS_TEST_TMPDIR/own"
	ln -s / "$vol/y"
	echo own >"$BATS_TEST_TMPDIR/own/file"
	find / -maxdepth 1 | sort >"$BATS_TEST_TMPDIR/root"
	cut -d" " -f4- /proc/self/mountinfo >"$BATS_TEST_TMPDIR/mounts"
	swap "$vol/x" "$vol/y" # on the host, faster than any container could
	bind "$vol" /vol rw
	bind "$BATS_TEST_TMPDIR/own" /vol/x/made
	edit '.mounts += [{destination: "/vol/x/new/deep", type: "tmpfs", source: "tmpfs"}]'
	for _ in 1 2 3; do
		ran # it may work or fail, as it happens: but within the container
		left_nothing
	done
	stop_swapping
	find / -maxdepth 1 | sort | diff "$BATS_TEST_TMPDIR/root" -
	cut -d" " -f4- /proc/self/mountinfo | diff "$BATS_TEST_TMPDIR/mounts" -
	untouched
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

@test "CVE-2024-21626: a working directory by a descriptor, in run, exec and by the image's links; what hooks and exec'd processes hold" {
	need_kvm
	for cwd in /proc/self/fd/3 /proc/self/fd/7 /w; do
		image sh -c 'echo escaped; ls'
		ln -sfn /proc/self/fd/8/../.. "$rootfs/w"
		edit '.process.cwd = $c' --arg c "$cwd"
		exec 7</ 8</
		ran
		exec 7<&- 8<&-
		[[ $status != 0 && $output != *escaped* ]]
		left_nothing
	done
	image sleep 1000
	edit '.hooks.startContainer = [{path: "/bin/sh", args: ["sh", "-c", "ls /proc/self/fd >/tmp/fds"]}]
		| .mounts += [{destination: "/tmp", type: "tmpfs", source: "tmpfs"}]'
	background
	coracle start "$id"
	[[ $(coracle exec "$id" cat /tmp/fds) == $'0\n1\n2\n3' ]] # 3 is ls's own
	exec 7</ 8</
	for n in {3..20}; do
		run timeout -s KILL 100 "$CORACLE_BIN" --root "$root" exec --cwd "/proc/self/fd/$n" "$id" sh -c 'echo escaped; ls' </dev/null
		echo "$n: $status $output"
		[[ $status != 0 && $output != *escaped* ]]
	done
	[[ $(coracle exec "$id" ls /proc/self/fd </dev/null) == $'0\n1\n2\n3' ]]
	exec 7<&- 8<&-
	coracle delete --force "$id"
	left_nothing
}

@test "CVE-2024-45310: mount destinations behind links of the image, to files and directories of the host" {
	need_kvm
	for readonly in true false; do
		image sh -c 'cat /abs/a/file /rel/a/file /dangling/file /linked-file /chain/b'
		up=$(printf '../%.0s' {1..20})
		ln -s "$outside/dir" "$rootfs/abs"
		ln -s "$up$outside/dir" "$rootfs/rel"
		ln -s "$outside/new-dir" "$rootfs/dangling"
		ln -s "$up$outside/new-file" "$rootfs/linked-file"
		ln -s rel "$rootfs/chain"
		mkdir -p "$BATS_TEST_TMPDIR/own"
		echo own >"$BATS_TEST_TMPDIR/own/file"
		bind "$BATS_TEST_TMPDIR/own" /abs/a
		bind "$BATS_TEST_TMPDIR/own" /rel/a
		bind "$BATS_TEST_TMPDIR/own" /dangling
		bind "$BATS_TEST_TMPDIR/own/file" /linked-file
		bind "$BATS_TEST_TMPDIR/own/file" /chain/b
		edit '.root.readonly = $r | .mounts += [{destination: "/rel/t/t", type: "tmpfs", source: "tmpfs"}]' --argjson r $readonly
		ran
		untouched
		[[ $status == 0 && ${lines[*]} == "own own own own own" ]]
		umount "$rootfs" "$BATS_TEST_TMPDIR/overlay"
	done
}

@test "CVE-2025-31133, 2025-52565: /dev/null and /dev/console of the image are links: what is masked stays masked" {
	need_kvm
	image sh -c 'wc -c </etc/masked; wc -c </proc/version; ls -A /masked-dir | wc -l; echo x >/etc/ro && echo written; cat /etc/secret'
	# an engine that mounts nothing on /dev: then the image's counts
	edit 'del(.mounts[] | select(.destination | startswith("/dev"))) | .root.readonly = false
		| .linux.maskedPaths = ["/etc/masked", "/proc/version", "/masked-dir"] | .linux.readonlyPaths = ["/etc/ro"]'
	rm -rf "${rootfs:?}/dev"
	mkdir "$rootfs/dev" "$rootfs/masked-dir"
	touch "$rootfs/masked-dir/file"
	for file in masked ro; do echo "$file, and to be seen by nobody" >"$rootfs/etc/$file"; done
	echo secret >"$rootfs/etc/secret"
	ln -s /etc/secret "$rootfs/dev/null"
	ln -s /proc/sysrq-trigger "$rootfs/dev/console"
	ran
	[[ ${lines[*]} == "0 0 0 secret" && $(cat "$rootfs/etc/secret") == secret ]]
	[[ $(cat "$rootfs/etc/masked") == masked,* && $(cat "$rootfs/etc/ro") == ro,* ]]
	untouched
	# with a terminal, which is shown at /dev/console
	ln -sfn /etc/ro "$rootfs/dev/console"
	set_args sh -c 'echo to-console >/dev/console; wc -c </etc/masked'
	edit '.process.terminal = true | .mounts += [{destination: "/dev/pts", type: "devpts", source: "devpts", options: ["newinstance", "ptmxmode=0666"]}]'
	run "${BATS_TEST_FILENAME%/*}/terminal.py" -- "$CORACLE_BIN" --root "$root" run --bundle "$bundle" "$id"
	echo "$status $output"
	[[ $status == 0 && $output == *to-console*0* ]]
	[[ $(cat "$rootfs/etc/masked") == masked,* && $(cat "$rootfs/etc/ro") == ro,* && $(cat "$rootfs/etc/secret") == secret ]]
}

@test "the root file system is a link, and links lead to it; it and a bind's source are swapped between create and start" {
	need_kvm
	image cat /which /m/which
	base=$BATS_TEST_TMPDIR/base
	mkdir "$base" "$base/src" "$base/other"
	ln -s "$bundle" "$base/hop"
	ln -s hop/rootfs "$base/link"
	ln -s src "$base/src-link"
	echo first >"$rootfs/which"
	echo first >"$base/src/which"
	mkdir "$base/evil"
	for dir in evil other; do echo second >"$base/$dir/which"; done
	bind "$base/src-link" /m
	edit '.root.path = $r' --arg r "$base/link"
	background
	ln -sfn "$base/evil" "$base/link"
	ln -sfn other "$base/src-link"
	mv "$base/src" "$base/gone"
	mv "$base/other" "$base/src"
	coracle start "$id"
	until_true 120 stopped
	cat "$BATS_TEST_TMPDIR/out"
	[[ $(cat "$BATS_TEST_TMPDIR/out") == $'first\nfirst' ]]
	coracle delete "$id"
	left_nothing
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

@test "Kata CVE-2020-2024, 2020-2026: mount points that the container turns into links lead teardown nowhere" {
	need_kvm
	image sh -c 'umount /m; rmdir /m && ln -s "$0" /m; umount -l /proc/sys 2>/dev/null; rm -rf /opt && ln -s "$0" /opt; ls -ld /m /opt; mount -t tmpfs none /mnt && echo mounted; sleep 1000' "$outside/dir"
	mkdir "$BATS_TEST_TMPDIR/own"
	bind "$BATS_TEST_TMPDIR/own" /m rw
	mount -t tmpfs precious "$outside/dir"
	echo precious >"$outside/dir/file"
	outside >"$BATS_TEST_TMPDIR/before"
	with_caps CAP_SYS_ADMIN CAP_DAC_OVERRIDE
	background
	coracle start "$id"
	until_true 120 grep -q mounted "$BATS_TEST_TMPDIR/out"
	cat "$BATS_TEST_TMPDIR/out"
	[[ -L $rootfs/m && -L $rootfs/opt ]]
	coracle delete --force "$id"
	run -0 untouched
	mountpoint "$outside/dir"
	umount "$outside/dir"
	left_nothing
}

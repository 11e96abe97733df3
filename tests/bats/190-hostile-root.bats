#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016,SC2119,SC2154
# Root in a container, with every capability and nothing masked, against the VM it is in. Each time the commands still
# work, the host keeps its processes, memory and disk, and another container notices nothing.
bats_require_minimum_version 1.5.0
load common

every_cap='["CAP_CHOWN","CAP_DAC_OVERRIDE","CAP_DAC_READ_SEARCH","CAP_FOWNER","CAP_FSETID","CAP_KILL","CAP_SETGID",
	"CAP_SETUID","CAP_SETPCAP","CAP_LINUX_IMMUTABLE","CAP_NET_BIND_SERVICE","CAP_NET_BROADCAST","CAP_NET_ADMIN",
	"CAP_NET_RAW","CAP_IPC_LOCK","CAP_IPC_OWNER","CAP_SYS_MODULE","CAP_SYS_RAWIO","CAP_SYS_CHROOT","CAP_SYS_PTRACE",
	"CAP_SYS_PACCT","CAP_SYS_ADMIN","CAP_SYS_BOOT","CAP_SYS_NICE","CAP_SYS_RESOURCE","CAP_SYS_TIME",
	"CAP_SYS_TTY_CONFIG","CAP_MKNOD","CAP_LEASE","CAP_AUDIT_WRITE","CAP_AUDIT_CONTROL","CAP_SETFCAP",
	"CAP_MAC_OVERRIDE","CAP_MAC_ADMIN","CAP_SYSLOG","CAP_WAKE_ALARM","CAP_BLOCK_SUSPEND","CAP_AUDIT_READ",
	"CAP_PERFMON","CAP_BPF","CAP_CHECKPOINT_RESTORE"]'

# privileged CMD [ARG…]: a bundle in which root may do everything, in a VM of 256 MiB.
privileged() {
	new_bundle "$@"
	own_rootfs
	edit '.process.capabilities |= map_values($caps) | .process.noNewPrivileges = false
		| .linux.maskedPaths = [] | .linux.readonlyPaths = [] | .linux.resources.devices = [{allow: true, access: "rwm"}]
		| .mounts |= map(if .options then .options -= ["ro"] else . end)' --argjson caps "$every_cap"
}

# let_go [GLOBAL OPTION…]: the bundle's container, running, once it has written "ready" to its output.
let_go() {
	coracle "$@" run --detach --pid-file "$BATS_TEST_TMPDIR/pid" --bundle "$bundle" "$id" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1
	vmm=$(cat "$BATS_TEST_TMPDIR/pid")
	until_true 120 grep -q ready "$BATS_TEST_TMPDIR/out" || { cat "$BATS_TEST_TMPDIR/out" && return 1; }
}

# neighbour: another container. unharmed: it still works.
neighbour() {
	mkdir "$BATS_TEST_TMPDIR/neighbour"
	new_bundle sh -c 'echo I am here; sleep 1000'
	mv "$bundle/config.json" "$BATS_TEST_TMPDIR/neighbour"
	coracle run --detach --bundle "$BATS_TEST_TMPDIR/neighbour" "$id-n" </dev/null >"$BATS_TEST_TMPDIR/neighbour/out" 2>&1
}
unharmed() {
	[[ $(timeout -s KILL 100 "$CORACLE_BIN" --root "$root" exec "$id-n" cat /proc/1/comm </dev/null) == sh ]]
	grep -qx 'I am here' "$BATS_TEST_TMPDIR/neighbour/out"
	coracle delete --force "$id-n"
}

# bounded: of its own the VMM uses 16 MiB at most, with the guest's memory 24 more than that, or it has ended. So does each of
# its workers that are processes.
bounded() {
	local pid own all
	for pid in $(vmm_pids "$vmm"); do
		own=$(awk '/^RssAnon/ { print $2 }' "/proc/$pid/status" || true)
		all=$(awk '/^VmRSS/ { print $2 }' "/proc/$pid/status" || true)
		echo "${pid/#$vmm/the VMM} uses ${own:-nothing} KiB of its own, ${all:-nothing} KiB in all, $(cat /proc/"$pid"/task/*/fdinfo/* 2>/dev/null | grep -c ^pos) descriptors"
		if [[ $own && $all ]]; then
			((own <= 16 * 1024 && all <= (256 + 24) * 1024))
		else
			# Workers end before their VMM does.
			[[ $pid == "$vmm" ]] || until_true 60 eval '[[ $(status_of "$id") == stopped ]]'
			[[ $(status_of "$id") == stopped ]]
		fi
	done
}

# programs: how many the host runs.
programs() { grep -l . /proc/[0-9]*/cmdline 2>/dev/null | wc -l; }

# gone: killed, if it has not ended by itself, and deleted as any other.
gone() {
	if [[ $(status_of "$id") != stopped ]]; then
		run timeout -s KILL 60 "$CORACLE_BIN" --root "$root" kill "$id" KILL
		echo "kill: $status $output"
		[[ $status == 0 || $(status_of "$id") == stopped ]]
	fi
	until_true 60 eval '[[ $(status_of "$id") == stopped ]]'
	run -0 coracle delete "$id"
	[[ ! -e /proc/$vmm ]]
}

@test "hostile root: a fork bomb without a limit stays in its VM" {
	need_kvm
	neighbour
	local before
	before=$(programs)
	privileged perl -e '$| = 1; print "ready\n"; while (1) { fork }'
	let_go
	for _ in 1 2 3; do
		run timeout -s KILL 10 "$CORACLE_BIN" --root "$root" exec "$id" true </dev/null # whatever comes of it
		bounded
	done
	(($(programs) <= before + $(sandbox_processes)))
	unharmed
	gone
	left_nothing
}

@test "hostile root: a fork bomb within a limit of processes leaves the container usable" {
	need_kvm
	privileged perl -e '$| = 1; while (1) { my $pid = fork; if (!defined $pid) { print "ready\n"; sleep } }'
	edit '.linux.resources.pids.limit = 40'
	let_go
	coracle ps "$id" >"$BATS_TEST_TMPDIR/ps"
	(($(grep -c perl "$BATS_TEST_TMPDIR/ps") == 40))
	run timeout -s KILL 100 "$CORACLE_BIN" --root "$root" exec "$id" true </dev/null
	echo "exec: $status $output"
	((status != 137))
	coracle update --pids-limit 60 "$id"
	bounded
	gone
	left_nothing
}

@test "hostile root: all memory, and more, is the guest's to miss" {
	need_kvm
	neighbour
	privileged perl -e '$| = 1; print "ready\n"; my @a; push @a, "x" x 1048576 while 1'
	let_go
	while [[ $(status_of "$id") == running ]]; do
		bounded
	done
	unharmed
	coracle delete "$id"
	left_nothing
}

@test "hostile root: a disk that is full, of bytes and of files, is an error in the container and nowhere else" {
	need_kvm
	mkdir "$BATS_TEST_TMPDIR/small"
	mount -t tmpfs -o size=4M,nr_inodes=100 small "$BATS_TEST_TMPDIR/small"
	privileged sh -c 'cat /dev/zero >/m/full; echo "$?"; rm /m/full
		n=0; while echo 2>/dev/null >/m/$n; do n=$((n + 1)); done; echo $n; rm /m/[0-9]*
		dd if=/dev/zero of=/m/map bs=1M count=64 conv=notrunc oflag=seek_bytes 2>/dev/null; rm /m/map; echo still >/m/here; cat /m/here'
	edit '.mounts += [{destination: "/m", source: $s, type: "bind", options: ["bind", "rw"]}]' --arg s "$BATS_TEST_TMPDIR/small"
	run_container
	echo "$status $output $stderr"
	[[ $status == 0 && ${lines[0]} == 1 && ${lines[2]} == still ]]
	((lines[1] > 50 && lines[1] < 100))
	[[ $stderr == *"No space left on device"* && $(cat "$BATS_TEST_TMPDIR/small/here") == still ]]
	umount "$BATS_TEST_TMPDIR/small"
	left_nothing
}

@test "hostile root: output that nobody reads fills no memory of the host" {
	need_kvm
	mkfifo "$BATS_TEST_TMPDIR/unread"
	privileged perl -e '$| = 1; fork; open F, ">", "/ready"; close F; my $x = "x" x 65536; while (1) { print $x; print STDERR $x }'
	# shellcheck disable=SC2094 # nobody is to read it
	coracle run --detach --pid-file "$BATS_TEST_TMPDIR/pid" --bundle "$bundle" "$id" \
		</dev/null 3<>"$BATS_TEST_TMPDIR/unread" >"$BATS_TEST_TMPDIR/unread" 2>&1
	vmm=$(cat "$BATS_TEST_TMPDIR/pid")
	until_true 120 test -e "$bundle/rootfs/ready"
	[[ $(coracle exec "$id" echo works) == works ]]
	bounded
	gone
	left_nothing
}

@test "hostile root: a flood of the kernel's log is a bounded one of the runtime's" {
	need_kvm
	local begun=$SECONDS bytes
	privileged perl -e '$| = 1; my $p = "/kmsg"; syscall(133, $p, 020600, 267) == 0 or die $!; open my $k, ">", "/kmsg" or die $!;
		for (1 .. 200) { syswrite $k, "<1>" . "y" x 900 } print "ready\n"; while (1) { syswrite $k, "<1>" . "y" x 900 or die $! }'
	let_go --debug --log "$BATS_TEST_TMPDIR/log"
	[[ $(coracle exec "$id" echo works) == works ]]
	bounded
	bytes=$(stat -c %s "$BATS_TEST_TMPDIR/log")
	echo "$bytes bytes of log in $((SECONDS - begun)) s"
	grep -q yyyyy "$BATS_TEST_TMPDIR/log"
	((bytes < 1024 * 1024 + 65536 * (SECONDS - begun + 1))) # vmm/log.h
	gone
	left_nothing
}

@test "hostile root: thousands of vsock connections to the host end in refusals" {
	need_kvm
	privileged perl -e '$| = 1; my ($in, @s) = 0;
		for my $port (0 .. 3000, map { int rand 4294967295 } 1 .. 1000) {
			socket my $s, 40, 1, 0 or next;
			$in++, push @s, $s if connect $s, pack "SSLLx4", 40, 0, $port, 2;
		}
		print "connected $in\n";
		for (1 .. 3000) { socket my $s, 40, 1 | 04000, 0 or last; connect $s, pack "SSLLx4", 40, 0, $_, 2; push @s, $s }
		print "ready ", scalar @s, "\n"; sleep 1000'
	edit '.process.rlimits = [{type: "RLIMIT_NOFILE", soft: 8192, hard: 8192}]'
	let_go
	cat "$BATS_TEST_TMPDIR/out"
	grep -qx 'connected 0' "$BATS_TEST_TMPDIR/out"
	[[ $(coracle exec "$id" echo works) == works ]]
	bounded
	gone
	left_nothing
}

@test "hostile root: everything in the guest is killed, guest's init and all: it lives, or the VM ends" {
	need_kvm
	neighbour
	privileged perl -e '$| = 1; kill 9, -1; kill $_, 1 for 1 .. 64; syscall(62, 1, 9); print "ready\n"; sleep 1000'
	edit '.linux.namespaces |= map(select(.type != "pid"))'
	let_go
	[[ $(coracle exec "$id" echo works) == works ]]
	unharmed
	gone
	left_nothing
}

@test "hostile root: the guest's kernel is crashed, reset, halted: the container ends, with a report" {
	need_kvm
	neighbour
	for end in 'echo c >/proc/sysrq-trigger' 'echo b >/proc/sysrq-trigger' 'echo o >/proc/sysrq-trigger' \
		'perl -e "syscall(169, 0xfee1dead, 672274793, 0x01234567)"' 'perl -e "syscall(169, 0xfee1dead, 672274793, 0xcdef0123)"'; do
		privileged sh -c "$end; sleep 5; echo it goes on"
		edit '.linux.namespaces |= map(select(.type != "pid"))'
		run --separate-stderr timeout -s KILL 120 "$CORACLE_BIN" --root "$root" run --bundle "$bundle" "$id" </dev/null
		echo "$end: $status $output $stderr"
		# A machine without ACPI knows no power to switch off: then it goes on, or halts.
		[[ $status != 137 && ($status != 0 || $output == "it goes on") ]]
		if ((status)); then [[ $stderr == *"coracle: "* ]]; fi
		[[ ! -e $root/$id ]]
		umount "$bundle/rootfs"
	done
	unharmed
	left_nothing
}

@test "hostile root: all vCPUs spin, with real-time priority: kill ends them" {
	need_kvm
	neighbour
	privileged perl -e '$| = 1; print "ready\n"; fork; fork; syscall(144, 0, 1, pack "l", 99) == 0 or die $!; 1 while 1'
	edit '.annotations["coracle.vm.vcpus"] = "2"'
	let_go
	unharmed
	bounded
	gone
	left_nothing
}

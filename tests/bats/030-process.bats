#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Every field of `process` that is supported, as the program in the container sees it.
bats_require_minimum_version 1.5.0
load common

# shows EXPECTED SCRIPT…: edits were made; runs SCRIPT and compares its whole output.
shows() {
	set_args /bin/sh -c "$2"
	run_container
	echo "got: $output; $stderr"
	((status == 0))
	[[ $output == "$1" ]]
}

@test "user, group, additional groups" {
	need_kvm
	new_bundle
	edit '.process.user = {uid: 1234, gid: 4321, additionalGids: [5, 33, 70000]}'
	shows $'1234 4321\nGroups:\t5 33 70000 ' 'echo $(id -u) $(id -g); grep Groups: /proc/self/status'
}

@test "umask: given, and 0022 when not" {
	need_kvm
	new_bundle
	shows 0022 umask
	edit '.process.user.umask = 63'
	shows 0077 umask
}

@test "the environment is exactly the spec's, HOME added from /etc/passwd" {
	need_kvm
	new_bundle
	edit '.process.env = ["PATH=/usr/bin:/bin", "A=1", "B=two words", "C="]'
	set_args /usr/bin/env
	run_container
	((status == 0))
	[[ $(sort <<<"$output") == $'A=1\nB=two words\nC=\nHOME=/root\nPATH=/usr/bin:/bin' ]]
}

@test "arguments arrive as they are" {
	need_kvm
	new_bundle printf '<%s>' a '' 'b c' $'d\ne' '"' "\\" 'ü'
	run_container
	[[ $output == $'<a><><b c><d\ne><"><\\><ü>' ]]
}

@test "cwd: given, made when missing, refused when a file" {
	need_kvm
	new_bundle
	edit '.process.cwd = "/usr/share"'
	shows /usr/share pwd
	own_rootfs
	edit '.process.cwd = "/made/for/me"'
	shows /made/for/me pwd
	edit '.process.cwd = "/etc/passwd"'
	run_container
	((status != 0))
	[[ $stderr == *"/etc/passwd"* ]]
}

@test "hostname and domainname" {
	need_kvm
	new_bundle
	edit '.hostname = "boat" | .domainname = "example.org"'
	shows $'boat\nexample.org' 'uname -n; cat /proc/sys/kernel/domainname'
}

caps_of() { grep -E "^Cap" /proc/self/status; }

@test "capabilities: all five sets" {
	need_kvm
	new_bundle
	edit '.process.user = {uid: 1000, gid: 1000} | .process.capabilities = {
		bounding: ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"], permitted: ["CAP_CHOWN", "CAP_KILL"],
		effective: ["CAP_KILL"], inheritable: ["CAP_CHOWN"], ambient: ["CAP_CHOWN"]}'
	# After execve as uid 1000 only ambient capabilities are left in permitted and effective.
	shows $'CapInh:\t0000000000000001\nCapPrm:\t0000000000000001\nCapEff:\t0000000000000001\nCapBnd:\t0000000000002021\nCapAmb:\t0000000000000001' \
		'grep ^Cap /proc/self/status'
}

@test "no capabilities in the spec: none for root either" {
	need_kvm
	new_bundle
	edit 'del(.process.capabilities)'
	shows $'CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000' \
		'grep -E "^Cap(Prm|Eff|Bnd)" /proc/self/status'
}

@test "rlimits" {
	need_kvm
	new_bundle
	edit '.process.rlimits = [{type: "RLIMIT_NOFILE", soft: 123, hard: 456}, {type: "RLIMIT_CORE", soft: 0, hard: 0}]'
	shows '123 456 0' 'echo $(ulimit -Sn) $(ulimit -Hn) $(ulimit -c)'
	edit '.process.rlimits = [{type: "RLIMIT_NOFILE", soft: 9, hard: 5}]'
	run_container
	((status != 0))
	edit '.process.rlimits = [{type: "RLIMIT_NONSENSE", soft: 1, hard: 1}]'
	run_container
	((status != 0))
	[[ $stderr == *RLIMIT_NONSENSE* ]]
}

@test "rlimits: all there are" {
	need_kvm
	new_bundle
	edit '.process.rlimits = [{CPU: [1000, 2000], FSIZE: [1000000, 2000000], DATA: [1000000000, 2000000000], STACK: [8000000, 16000000],
		CORE: [1, 2], RSS: [3, 4], NPROC: [77, 88], NOFILE: [123, 456], MEMLOCK: [65536, 131072], AS: [4000000000, 5000000000],
		LOCKS: [5, 6], SIGPENDING: [99, 111], MSGQUEUE: [7000, 8000], NICE: [9, 10], RTPRIO: [11, 12], RTTIME: [13000000, 14000000]}
		| to_entries[] | {type: "RLIMIT_\(.key)", soft: .value[0], hard: .value[1]}]'
	shows 'cpu time 1000 2000
file size 1000000 2000000
data size 1000000000 2000000000
stack size 8000000 16000000
core file size 1 2
resident set 3 4
processes 77 88
open files 123 456
locked memory 65536 131072
address space 4000000000 5000000000
file locks 5 6
pending signals 99 111
msgqueue size 7000 8000
nice priority 9 10
realtime priority 11 12
realtime timeout 13000000 14000000' 'sed -nE "s/^Max (.*[a-z])  +([0-9a-z]+)  +([0-9a-z]+) .*/\1 \2 \3/p" /proc/self/limits'
}

@test "noNewPrivileges: on and off" {
	need_kvm
	new_bundle
	edit '.process.noNewPrivileges = true'
	shows $'NoNewPrivs:\t1' 'grep NoNewPrivs: /proc/self/status'
	edit '.process.noNewPrivileges = false'
	shows $'NoNewPrivs:\t0' 'grep NoNewPrivs: /proc/self/status'
}

@test "oomScoreAdj" {
	need_kvm
	new_bundle
	edit '.process.oomScoreAdj = 321'
	shows 321 'cat /proc/self/oom_score_adj'
}

@test "namespaces: pid, mount, uts, ipc and cgroup of its own" {
	need_kvm
	new_bundle
	shows $'1\n0::/' 'ps -e -o pid= | head -1 | tr -d " "; cat /proc/self/cgroup'
}

@test "orphans are reaped: no zombies" {
	need_kvm
	# Orphans of the container go to its first process, which is the shell here and reaps them itself.
	new_bundle
	shows 0 'for i in 1 2 3 4 5; do (sh -c "sleep 0.1 &" &); done; sleep 1; ps -e -o stat= | grep -c ^Z || true'
}

@test "the time of day is the host's" {
	local before got
	new_bundle date +%s%N
	coracle create --bundle "$bundle" "$id" >"$BATS_TEST_TMPDIR/out" 2>&1 </dev/null
	before=$(date +%s%N)
	coracle start "$id"
	until_true 60 test -s "$BATS_TEST_TMPDIR/out"
	got=$(cat "$BATS_TEST_TMPDIR/out")
	echo "$((got - before)) ns later"
	((got >= before && got <= $(date +%s%N)))
	until_true 60 eval '[[ $(status_of "$id") == stopped ]]'
	coracle delete "$id"
	left_nothing
}

@test "sysctl" {
	need_kvm
	new_bundle
	edit '.linux.sysctl = {"net.ipv4.ip_forward": "1", "kernel.msgmax": "4096"}'
	shows $'1\n4096' 'cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax'
	edit '.linux.sysctl = {"no.such.key": "1"}'
	run_container
	((status != 0))
	[[ $stderr == *no*such*key* ]]
}

@test "masked paths cannot be read, read-only paths not written" {
	need_kvm
	new_bundle
	edit '.linux.maskedPaths = ["/etc/passwd", "/usr/share", "/nonexistent"] | .linux.readonlyPaths = ["/proc/sys", "/nonexistent2"]'
	shows $'0\n0\nread-only' 'wc -c </etc/passwd; ls /usr/share | wc -l; echo x 2>/dev/null >/proc/sys/kernel/hostname || echo read-only'
}

@test "the program starts with no descriptors but the streams, and default signals" {
	need_kvm
	new_bundle
	shows $'0 1 2 3\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000' \
		'ls /proc/self/fd | tr "\n" " " | sed "s/ $//"; echo; grep -E "^Sig(Blk|Ign)" /proc/self/status'
}

@test "device access: the default nodes work, others are refused" {
	need_kvm
	new_bundle
	edit '.process.capabilities |= (.bounding += ["CAP_MKNOD"] | .effective += ["CAP_MKNOD"] | .permitted += ["CAP_MKNOD"])'
	own_rootfs
	shows $'5\nzero ok\nfull\nrefused' 'head -c 5 /dev/urandom | wc -c; head -c 3 /dev/zero | od -An -tx1 | grep -q "00 00 00" && echo zero ok
		echo x 2>/dev/null >/dev/full || echo full
		mknod /tmp/kmsg c 1 11; cat /tmp/kmsg >/dev/null 2>&1 || echo refused'
}

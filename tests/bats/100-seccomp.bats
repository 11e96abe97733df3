#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# linux.seccomp, and what else is set for all processes of a container: as they find it.
bats_require_minimum_version 1.5.0
load common

# shows EXPECTED SCRIPT: runs SCRIPT with the edits made and compares its whole output.
shows() {
	set_args /bin/sh -c "$2"
	run_container
	echo "status $status, got: $output; $stderr"
	((status == 0))
	[[ $output == "$1" ]]
}

# rule NAMES ACTION [ARGS]: a profile that allows all but this.
rule() {
	edit '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_X86", "SCMP_ARCH_X32"],
		syscalls: [{names: ($names / " "), action: $action, args: $args}]}' \
		--arg names "$1" --arg action "$2" --argjson args "${3-[]}"
}

try_mkdir='mkdir /tmp/x 2>&1; grep -E "^(NoNewPrivs|Seccomp):" /proc/self/status | tr -d "\t\n"; echo'
denied="mkdir: cannot create directory '/tmp/x': Operation not permitted"

@test "ERRNO: a call is denied, with and without noNewPrivileges, for root and a user" {
	need_kvm
	new_bundle
	own_rootfs
	rule "mkdir mkdirat" SCMP_ACT_ERRNO
	edit '.process.noNewPrivileges = true'
	shows "$denied"$'\nNoNewPrivs:1Seccomp:2' "$try_mkdir"
	edit '.process.noNewPrivileges = false | .process.user = {uid: 1000, gid: 1000}'
	shows "$denied"$'\nNoNewPrivs:0Seccomp:2' "$try_mkdir"
	edit '.linux.seccomp.syscalls[0].errnoRet = 28'
	shows "${denied/Operation not permitted/No space left on device}"$'\nNoNewPrivs:0Seccomp:2' "$try_mkdir"
}

@test "conditions: one family of sockets" {
	need_kvm
	new_bundle
	rule socket SCMP_ACT_ERRNO '[{"index": 0, "value": 10, "op": "SCMP_CMP_EQ"}, {"index": 0, "value": 16, "op": "SCMP_CMP_EQ"}]'
	edit '.linux.seccomp.syscalls[0].errnoRet = 97'
	shows $'2 ok\n10 Address family not supported by protocol\n16 Address family not supported by protocol\n1 ok' \
		'perl -MSocket -e '\''for my $f (2, 10, 16, 1) { print "$f ", socket(my $s, $f, $f == 16 ? 3 : 1, 0) ? "ok" : "$!", "\n" }'\'
}

@test "KILL_PROCESS, KILL and TRAP end with SIGSYS: 159; LOG lets pass; TRACE without a tracer is ENOSYS" {
	need_kvm
	new_bundle
	own_rootfs
	for action in SCMP_ACT_KILL_PROCESS SCMP_ACT_KILL SCMP_ACT_TRAP; do
		rule "mkdir mkdirat" $action
		set_args mkdir /tmp/x
		run_container
		echo "$action: $status $stderr"
		((status == 159))
	done
	rule "mkdir mkdirat" SCMP_ACT_LOG
	shows 'made' 'mkdir /tmp/x && echo made'
	rule "mkdir mkdirat" SCMP_ACT_TRACE
	shows "mkdir: cannot create directory '/tmp/y': Function not implemented" 'mkdir /tmp/y 2>&1; true'
}

@test "a profile of every call libseccomp knows, as engines send them; exec'd processes have it too" {
	need_kvm
	new_bundle sleep 1000
	own_rootfs
	python3 - >"$BATS_TEST_TMPDIR/names" <<-'END'
		import ctypes
		lib = ctypes.CDLL("libseccomp.so.2")
		lib.seccomp_syscall_resolve_num_arch.restype = ctypes.c_char_p
		for number in range(500):
		    name = lib.seccomp_syscall_resolve_num_arch(ctypes.c_uint32(0xc000003e), number)
		    if name and name not in (b"mount", b"unshare", b"swapon", b"reboot", b"clone3"):
		        print(name.decode())
	END
	(($(wc -l <"$BATS_TEST_TMPDIR/names") > 340))
	edit '.linux.seccomp = {defaultAction: "SCMP_ACT_ERRNO", defaultErrnoRet: 1,
		architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
		syscalls: ([$names | split("\n")[] | select(. != "" and . != "personality") | {names: [.], action: "SCMP_ACT_ALLOW"}] +
			[{names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: 38}] +
			[0, 8, 131072, 131080, 4294967295 | {names: ["personality"], action: "SCMP_ACT_ALLOW",
				args: [{index: 0, value: ., op: "SCMP_CMP_EQ"}]}])}' --rawfile names "$BATS_TEST_TMPDIR/names"
	coracle run --detach --bundle "$bundle" "$id" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1
	run --separate-stderr coracle exec "$id" sh -c 'perl -e "print 6 * 7, qq(\n)"; ls -R /usr/share | sort | tail -1 | wc -l
		unshare -m true 2>&1 | grep -c "Operation not permitted"; setarch i686 uname -m; grep Seccomp: /proc/self/status'
	echo "$status $output $stderr"
	[[ $output == $'42\n1\n1\ni686\nSeccomp:\t2' ]]
	run --separate-stderr coracle exec --no-new-privs "$id" sh -c 'mount -t tmpfs x /mnt 2>&1 | grep -c "permission denied"; grep Seccomp: /proc/self/status'
	echo "$status $output $stderr"
	[[ $output == $'1\nSeccomp:\t2' ]]
	coracle delete --force "$id"
}

@test "calls newer than the profile are ENOSYS, not its default" {
	need_kvm
	new_bundle
	rule "mkdir" SCMP_ACT_ALLOW
	# 462 is mseal, in the guest's kernel; mount has a number below the largest one named.
	edit '.linux.seccomp.defaultAction = "SCMP_ACT_ERRNO" | .linux.seccomp.syscalls = [
		{names: ($names / " "), action: "SCMP_ACT_ALLOW"}]' --arg names "$(sed -n 's/^#define __NR_\([a-z0-9_]*\) .*/\1/p' \
		/usr/include/x86_64-linux-gnu/asm/unistd_64.h | grep -vx mount | tr '\n' ' ' | sed 's/ $//')"
	shows $'Function not implemented\nOperation not permitted' \
		'perl -e '\''for my $n (462, 165) { syscall($n, 0, 0, 0, 0, 0); print "$!\n" }'\'
}

@test "a profile older than faccessat2: the program is found in PATH, and runs" {
	need_kvm
	new_bundle
	python3 - >"$BATS_TEST_TMPDIR/names" <<-'END'
		import ctypes
		lib = ctypes.CDLL("libseccomp.so.2")
		lib.seccomp_syscall_resolve_num_arch.restype = ctypes.c_char_p
		for number in range(435): # up to pidfd_open; clone3, openat2, faccessat2 came later
		    name = lib.seccomp_syscall_resolve_num_arch(ctypes.c_uint32(0xc000003e), number)
		    if name:
		        print(name.decode())
	END
	edit '.linux.seccomp = {defaultAction: "SCMP_ACT_ERRNO", architectures: ["SCMP_ARCH_X86_64"],
		syscalls: [{names: [$names | split("\n")[] | select(. != "")], action: "SCMP_ACT_ALLOW"}]}' --rawfile names "$BATS_TEST_TMPDIR/names"
	set_args sh -c 'perl -e "my \$root = q(/); syscall(439, -100, \$root, 0, 0); print qq(\$!\n)"; echo found'
	for privs in true false; do
		edit ".process.noNewPrivileges = $privs"
		run_container
		echo "$privs: status $status, got: $output; $stderr"
		((status == 0))
		[[ $output == $'Function not implemented\nfound' ]]
	done
}

@test "what is not supported is refused by name, before a VM starts" {
	need_kvm
	new_bundle true
	rule mkdir SCMP_ACT_NOTIFY
	run_container
	fails 1 "linux.seccomp.syscalls[0].action: SCMP_ACT_NOTIFY is not supported yet"
	rule mkdir SCMP_ACT_NONSENSE
	run_container
	fails 1 "linux.seccomp.syscalls[0].action: unknown action 'SCMP_ACT_NONSENSE'"
	edit 'del(.linux.seccomp) | .process.apparmorProfile = "mine"'
	run_container
	fails 1 "process.apparmorProfile: 'mine' is not supported: the guest kernel has no AppArmor"
	edit '.process.apparmorProfile = "docker-default"'
	run_container
	echo "$stderr"
	((status == 0))
	[[ -z $stderr ]] # which is the container's
	left_nothing
}

@test "scheduler, ioPriority, personality" {
	need_kvm
	new_bundle
	edit '.process.scheduler = {policy: "SCHED_BATCH", nice: 5} | .process.ioPriority = {class: "IOPRIO_CLASS_BE", priority: 6}
		| .linux.personality = {domain: "LINUX32"} | .process.user = {uid: 1000, gid: 1000}'
	shows $'5 3\nbest-effort: prio 6\ni686' 'cut -d" " -f19,41 /proc/self/stat; ionice -p $$; uname -m'
	edit '.process.scheduler = {policy: "SCHED_RR", priority: 9}'
	shows '9 2' 'cut -d" " -f40,41 /proc/self/stat'
}

@test "a time namespace, and CPUs of exec'd processes" {
	need_kvm
	new_bundle sleep 1000
	edit '.linux.namespaces += [{type: "time"}] | .linux.timeOffsets = {boottime: {secs: 1000000}, monotonic: {secs: 500000}}
		| .process.execCPUAffinity = {final: "1"} | .annotations["coracle.vm.vcpus"] = "2"'
	coracle run --detach --bundle "$bundle" "$id" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1
	run --separate-stderr coracle exec "$id" sh -c 'test $(cut -d. -f1 /proc/uptime) -ge 1000000 && echo old
		grep Cpus_allowed_list: /proc/self/status /proc/1/status'
	echo "$status $output $stderr"
	[[ $output == $'old\n/proc/self/status:Cpus_allowed_list:\t1\n/proc/1/status:Cpus_allowed_list:\t0-1' ]]
	coracle delete --force "$id"
}

@test "mount options in r-form hold for what is mounted below" {
	need_kvm
	new_bundle
	local top=$BATS_TEST_TMPDIR/top got=()
	mkdir -p "$top/sub"
	mount -t tmpfs tmpfs "$top/sub"
	touch "$top/sub/file"
	own_rootfs
	edit '.mounts += [{destination: "/b", source: $s, options: ["rbind", "rro", "rnoexec"]}]' --arg s "$top"
	set_args /bin/sh -c 'for f in /b/x /b/sub/file; do touch $f 2>/dev/null && echo yes || echo no; done
		grep " /b/sub " /proc/self/mounts | cut -d" " -f4 | cut -d, -f1-2'
	run_container
	got+=("$output")
	mount -o remount,bind,ro "$top/sub"
	edit '.mounts[-1].options = ["rbind", "rw"]'
	run_container
	got+=("${output%$'\n'*}")
	edit '.mounts[-1].options = ["rbind", "rrw"]'
	run_container
	got+=("${output%$'\n'*}")
	umount "$top/sub" # before anything can fail
	printf '%s\n' "${got[@]}" "$stderr"
	[[ ${got[0]} == $'no\nno\nro,noexec' ]]
	[[ ${got[1]} == $'yes\nno' ]]
	[[ ${got[2]} == $'yes\nyes' ]]
}

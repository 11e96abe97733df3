#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The machine around the container: size, failures of the guest, what the host sees.
bats_require_minimum_version 1.5.0
load common

# Returns when state.json is there: it is written while the VMM's process begins, long before READY.
has_begun() {
	local end=$((SECONDS + 60))
	until [[ -s $root/$id/state.json ]]; do
		((SECONDS < end)) || return 1
	done
}

no_vmm() { ! pgrep -x coracle-vmm >/dev/null; }

@test "memory by annotation" {
	need_kvm
	for megabytes in 64 128 1024; do
		new_bundle sh -c 'awk "/MemTotal/ { print int(\$2 / 1024) }" /proc/meminfo'
		edit '.annotations["coracle.vm.memory"] = $m' --arg m "${megabytes}M"
		run_container
		((status == 0 && output <= megabytes && output > megabytes * 6 / 10))
	done
}

@test "vCPUs by annotation: 1, 2, 4 and 16" {
	need_kvm
	for n in 1 2 4 16; do
		new_bundle nproc
		edit '.annotations["coracle.vm.vcpus"] = $n' --arg n "$n"
		run_container
		((status == 0 && output == n))
	done
}

@test "sizes that make no sense are refused" {
	new_bundle true
	for bad in 0 -1 17 many; do
		edit '.annotations["coracle.vm.vcpus"] = $n' --arg n "$bad"
		run_container
		((status == 1))
		[[ $stderr == *coracle.vm.vcpus* ]]
	done
	new_bundle true
	for bad in 0 1M many 99999999T; do
		edit '.annotations["coracle.vm.memory"] = $n' --arg n "$bad"
		run_container
		((status == 1))
		[[ $stderr == *coracle.vm.memory* ]]
	done
	left_nothing
}

@test "a guest kernel that panics: an error with its last words, nothing left" {
	need_kvm
	new_bundle sh -c 'echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger; sleep 10'
	edit '.linux.readonlyPaths = [] | .linux.maskedPaths = []'
	run_container
	((status != 0))
	echo "$stderr"
	[[ $stderr == *panic* ]]
	left_nothing
}

# The pid file is the one thing that is renamed by its path: the tracer kills create there.
@test "create killed before it has written the pid file: no VMM is left" {
	need_kvm
	local got=0
	new_bundle sleep 1000
	strace -qq -o "$BATS_TEST_TMPDIR/trace" -e trace=rename -e inject=rename:error=EIO:signal=KILL \
		"$CORACLE_BIN" --root "$root" create --bundle "$bundle" --pid-file "$BATS_TEST_TMPDIR/pid" "$id" \
		</dev/null >/dev/null 2>&1 || got=$?
	cat "$BATS_TEST_TMPDIR/trace"
	((got == 137))
	grep -q '^rename(.*/pid' "$BATS_TEST_TMPDIR/trace"
	[[ ! -e $BATS_TEST_TMPDIR/pid ]]
	until_true 60 no_vmm
	coracle delete --force "$id"
	left_nothing
}

@test "run killed while the guest boots: no VMM is left" {
	need_kvm
	new_bundle sleep 1000
	"$CORACLE_BIN" --root "$root" run --bundle "$bundle" "$id" </dev/null >/dev/null 2>&1 &
	runner=$!
	has_begun
	kill -KILL $runner
	until_true 60 no_vmm
	coracle delete --force "$id"
	left_nothing
}

@test "run killed while the container runs: the container goes on" {
	need_kvm
	new_bundle sleep 1000
	"$CORACLE_BIN" --root "$root" run --bundle "$bundle" "$id" </dev/null >/dev/null 2>&1 &
	runner=$!
	is_running() { [[ $(status_of "$id") == running ]]; }
	until_true 300 is_running
	kill -KILL $runner
	wait $runner || true
	[[ $(status_of "$id") == running ]]
	coracle delete --force "$id"
	left_nothing
}

@test "resident memory follows use: what the guest frees comes back" {
	need_kvm
	own=$BATS_TEST_TMPDIR/own
	mkdir "$own"
	new_bundle perl -e 'sub say_ { open my $f, ">", "/own/$_[0]"; close $f; while (!-e "/own/$_[0]-seen") { select undef, undef, undef, 0.05 } }
		my $n = 120 << 20; my $x = "x" x $n; # a constant would be kept for ever
		say_("full"); undef $x; say_("empty"); select undef, undef, undef, 0.1 while !-e "/own/end"'
	edit '.annotations["coracle.vm.memory"] = "512M" | .mounts += [{destination: "/own", source: $s, type: "bind", options: ["bind"]}]' --arg s "$own"
	coracle run --detach --pid-file "$BATS_TEST_TMPDIR/pid" --bundle "$bundle" "$id" </dev/null >/dev/null 2>&1
	pid=$(cat "$BATS_TEST_TMPDIR/pid")
	rss() { awk '/^RssShmem/ { print int($2 / 1024) }' "/proc/$pid/status"; }
	until_true 60 test -e "$own/full"
	full=$(rss)
	: >"$own/full-seen"
	until_true 60 test -e "$own/empty"
	: >"$own/empty-seen"
	until_true 60 eval '(($(rss) < full - 80))'
	echo "full: $full MiB, after: $(rss) MiB"
	coracle delete --force "$id"
}

@test "oomScoreAdj is the process's in the guest, and the VMM's on the host" {
	need_kvm
	new_bundle sleep 1000
	edit '.process.oomScoreAdj = 321'
	coracle run --detach --pid-file "$BATS_TEST_TMPDIR/pid" --bundle "$bundle" "$id" </dev/null >/dev/null 2>&1
	vmm=$(cat "$BATS_TEST_TMPDIR/pid")
	(($(vmm_pids "$vmm" | wc -l) == $(sandbox_processes)))
	for pid in $(vmm_pids "$vmm"); do
		[[ $(cat "/proc/$pid/oom_score_adj") == 321 ]]
	done
	coracle exec "$id" cat /proc/1/oom_score_adj >"$BATS_TEST_TMPDIR/inside"
	[[ $(cat "$BATS_TEST_TMPDIR/inside") == 321 ]]
	coracle delete --force "$id"
}

# fds TASK: what its descriptors lead to, without numbers, each kind once.
fds() {
	find "$1/fd" -type l -printf '%l\n' | sed -E 's/:\[[0-9]+\]$//; s/ \(deleted\)$//; s,^.*/vmm\.log$,log,' | sort -u | tr '\n' ' '
}

# The threads by name, and what each kind may have. fs has the files that the guest knows. The first thread of a worker
# that is a process (lab-process) has the device's name without a number, and waits for the others.
@test "each thread of the VMM is in its jail: descriptors, root, capabilities, filter" {
	need_kvm
	new_bundle sleep 1000
	edit '.annotations["coracle.vm.vcpus"] = "2"'
	coracle create --pid-file "$BATS_TEST_TMPDIR/pid" --bundle "$bundle" "$id" </dev/null >/dev/null 2>&1
	vmm=$(cat "$BATS_TEST_TMPDIR/pid")
	for limit in 'core file size' 'locked memory' 'msgqueue size'; do
		for pid in $(vmm_pids "$vmm"); do
			grep -qE "^Max $limit +0 +0 " "/proc/$pid/limits"
		done
	done
	names=(coracle-vmm vcpu0 vcpu1 cor-fs.0 cor-fs.1 cor-vsock.0 cor-rng.0 cor-balloon.0 cor-console.0)
	if separate; then
		names+=(cor-fs cor-vsock cor-rng cor-balloon cor-console)
		run -1 grep -h '^cor-' "/proc/$vmm/task"/*/comm # none of the workers' threads is the VMM's
	fi
	seen=''
	for task in $(vmm_threads "$vmm"); do
		name=$(cat "$task/comm")
		seen+=" $name"
		echo "$name: $(fds "$task"); $(wc -l <"$task/mountinfo") mounts; $(grep -E '^(Cap|Seccomp:|NoNewPrivs)' "$task/status" | tr '\n\t' '  ')"
		grep -qx 'Seccomp:	2' "$task/status"
		grep -qx 'NoNewPrivs:	1' "$task/status"
		caps=$(awk '/^Cap(Inh|Prm|Eff)/ { print $2 }' "$task/status" | sort -u | tr '\n' ' ')
		case $name in
		cor-fs.*) [[ $caps == "0000000000000000 000000008800001f " ]] ;;
		*) [[ $caps == "0000000000000000 " ]] ;;
		esac
		case $name in
		coracle-vmm) ;;
		cor-fs.*) # the share, its root file system, nothing that is the host's
			[[ $(awk '{ print $5 }' "$task/mountinfo") == $'/\n/rootfs'* ]]
			[[ ! $(awk '$5 != "/" && $5 !~ "^/(rootfs|m[0-9]+)(/|$)"' "$task/mountinfo") ]]
			;;
		*)
			[[ $(awk '{ print $4, $5, $8 }' "$task/mountinfo") == "/ / tmpfs" ]]
			[[ ! $(find "$task/root/" -mindepth 1) ]]
			grep -q ' ro,' <(awk '{ print " " $6 }' "$task/mountinfo")
			;;
		esac
		[[ $name == coracle-vmm || $(fds "$task") != *"log "* ]] # which no other has
		case $name in
		cor-rng.0) [[ $(fds "$task") == "anon_inode:[eventfd] anon_inode:[eventpoll] pipe socket " ]] ;;
		cor-vsock.0) # the container's streams, too
			[[ $(fds "$task") == "/dev/null anon_inode:[eventfd] anon_inode:[eventpoll] pipe socket " ]] ;;
		cor-balloon.0) [[ $(fds "$task") == "/memfd:"*" anon_inode:[eventfd] anon_inode:[eventpoll] pipe socket " ]] ;;
		cor-fs | cor-vsock | cor-rng | cor-balloon | cor-console) [[ $(fds "$task") == "pipe socket " ]] ;;
		cor-console.0) [[ $(fds "$task") == "anon_inode:[eventfd] anon_inode:[eventpoll] pipe socket " ]] ;;
		vcpu*) [[ $(fds "$task") == "anon_inode:[eventfd] anon_inode:kvm-vcpu:${name#vcpu} pipe socket " ]] ;;
		cor-fs.*) [[ " $(fds "$task")" != *" log "* ]] ;;
		coracle-vmm) # the log; nothing of the workers' or the vCPUs'
			[[ " $(fds "$task")" == *" log "* ]]
			[[ $(fds "$task") != *@(memfd|kvm-vcpu)* ]]
			(($(find "$task/fd" -lname 'anon_inode:\[eventpoll\]' | wc -l) == 1))
			(($(find "$task/fd" -lname 'anon_inode:\[eventfd\]' | wc -l) == 2)) # of the vCPUs' and the devices' failures
			;;
		esac
	done
	for name in "${names[@]}"; do
		[[ "$seen " == *" $name "* ]]
	done
	coracle delete --force "$id"
}

@test "two containers at once do not see each other" {
	need_kvm
	new_bundle sh -c 'hostname; ps -e -o args= | grep -c [s]leep; sleep 1'
	coracle run --bundle "$bundle" "$id-a" >"$BATS_TEST_TMPDIR/a" &
	first=$!
	coracle run --bundle "$bundle" "$id-b" >"$BATS_TEST_TMPDIR/b"
	wait $first
	diff "$BATS_TEST_TMPDIR/a" "$BATS_TEST_TMPDIR/b"
	left_nothing
}

@test "the timing file has every phase of the start, and draws" {
	need_kvm
	new_bundle true
	run_container --timing "$BATS_TEST_TMPDIR/t"
	((status == 0))
	jq -e '[.phases[].name] == ["spec", "namespaces", "vmm", "kvm", "memory", "devices", "enter", "kernel",
		"init", "rootfs", "prepare", "start", "exec", "run", "end"]' "$BATS_TEST_TMPDIR/t"
	jq -e '.total == ([.phases[].duration] | add) and .total > 0' "$BATS_TEST_TMPDIR/t"
	run -0 coracle timeline "$BATS_TEST_TMPDIR/t"
	[[ ${lines[0]} == spec* && ${lines[-1]} == total* && $output == *"#"* ]]
	run -0 coracle timeline --svg "$BATS_TEST_TMPDIR/t"
	[[ $output == "<svg "*"</svg>" ]]
	echo '{"version":1,"total":5,"phases":[{"name":"<x>","start":0,"duration":1}]}' >"$BATS_TEST_TMPDIR/t"
	run coracle timeline "$BATS_TEST_TMPDIR/t"
	fails 1 "a phase's name"
}

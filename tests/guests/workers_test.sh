#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# workers_test.sh RUN_VMM CORACLE_VMM GUESTS: device workers that are processes (--isolation process): what each can see,
# and how the VM ends when one of them does. TAP.
# shellcheck source-path=SCRIPTDIR source=common.bash
source "$(dirname "$0")/common.bash"

devices=(console vsock fs rng balloon)
# The file server's (vmm/virtio/fs/device.c), as bits
seven=$(printf '%016x' $((1 << 0 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 27 | 1 << 31)))

until_true() # command...: within a minute
{
	local end=$((SECONDS + 60))

	until "$@"; do
		((SECONDS < end)) || return 1
		sleep 0.02
	done
}

# shellcheck disable=SC2317 # until_true calls it
vmm_filtered()
{
	vmm_pid=$(sed -n 's/^vmm pid //p' "$work/out")
	# the child of run_vmm, a child of timeout
	[[ ${how[*]} == *--measure* ]] || vmm_pid=$(pgrep -P "$(pgrep -P "$job")" coracle-vmm)
	[[ $vmm_pid ]] && grep -qx $'Seccomp:\t2' "/proc/$vmm_pid/status" 2>/dev/null
}

# start GUEST [OPTION...]: in the background, as $job; $vmm_pid is the VMM, which has jailed itself, as all others have.
how=(--measure --isolation process)
start()
{
	local guest=$1

	shift
	rm -f "$work/log"
	: >"$work/out"
	timeout -k 5 100 "$run_vmm" --vmm "$vmm" --kernel "$guests/$guest" --init /proc/self/exe --share "$work" \
		--timeout 60000 "${how[@]}" --log "$work/log" "$@" -- /bin/true \
		>"$work/out" 2>&1 </dev/null &
	job=$!
	until_true vmm_filtered
	check "$guest $*: the VMM runs" $?
}

worker() # device: its pid
{
	pgrep -P "$vmm_pid" -f "^coracle-vmm --worker $1 "
}

# Sets $got, and $ms that it took.
await_end()
{
	local before=${EPOCHREALTIME/[.,]/}

	wait "$job"
	got=$?
	ms=$(((${EPOCHREALTIME/[.,]/} - before) / 1000))
}

no_worker() # pids
{
	local pid

	for pid in "$@"; do
		if [[ -e /proc/$pid ]]; then
			return 1
		fi
	done
}

pages() # pid: inodes of the shared pages it has mapped, one or several
{
	awk '/memfd:vdev_shared/ { print $5 }' "/proc/$1/maps" | paste -sd' '
}

fds() # directory: what they lead to, without numbers
{
	find "$1" -mindepth 1 -printf '%l\n' 2>/dev/null | sed 's/:\[.*//' | sort | uniq -c |
		sed 's/^ *//' | paste -sd,
}

# What the worker's own thread has of two devices: the streams' places, the way to the log, the control socket; epoll, an eventfd to
# be woken, the interrupt, "device failed", a doorbell per queue; the console its pipe.
declare -A own=(
	[console]="6 anon_inode,4 pipe,2 socket"
	[rng]="5 anon_inode,3 pipe,2 socket"
)
same() # device, fds
{
	[[ $(tr , '\n' <<<"$2" | sort) == "$(tr , '\n' <<<"${own[$1]}" | sort)" ]]
}

sees() # device
{
	local device=$1 pid tid task caps none=0000000000000000

	pid=$(worker "$device")
	check "$device: has a process" $?
	tid=$(find "/proc/$pid/task" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort -n | sed -n 2p)
	grep -qx "cor-$device" "/proc/$pid/comm"
	check "$device: that is called so" $?
	[[ $(ps -o pgid= -o sid= "$pid" | xargs) == "$vmm_pid $vmm_pid" ]]
	check "$device: in the VMM's session and group" $?
	# nothing of the VMM's memory but what is meant to be
	[[ $(grep -c memfd:guest-memory "/proc/$pid/maps") == 1 && $(grep -c memfd:vdev_shared "/proc/$pid/maps") == 1 ]]
	check "$device: guest memory and one shared page are mapped" $?
	! grep -E 'memfd|kvm' "/proc/$pid/maps" | grep -qvE 'memfd:(guest-memory|vdev_shared)'
	check "$device: and nothing else of the VMM's, or of KVM's" $?
	[[ " $(pages "$vmm_pid") " == *" $(pages "$pid") "* ]]
	check "$device: the page is the one that the VMM has for it" $?
	[[ $(fds "/proc/$pid/fd") == "3 pipe,1 socket" ]]
	check "$device: the first thread has the way to the log and no other descriptor" $?
	for task in "/proc/$pid/task"/*; do
		fds "$task/fd"
	done >"$work/out"
	! grep -qF "$work/log" "$work/out"
	check "$device: no thread has the log" $?
	fds "/proc/$pid/task/$tid/fd" | grep -q anon_inode
	check "$device: the others have descriptors" $?
	! fds "/proc/$pid/task/$tid/fd" | grep -qE 'kvm|memfd:(spec|vm_config|worker_config|vdev_shared)'
	check "$device: the others none of the VMM's" $?
	if [[ $device != balloon ]]; then
		! fds "/proc/$pid/task/$tid/fd" | grep -q memfd
		check "$device: nor guest memory's" $?
	fi
	if [[ ${own[$device]-} ]]; then
		same "$device" "$(fds "/proc/$pid/task/$tid/fd" | tee "$work/out")"
		check "$device: but exactly what ARCHITECTURE.md says" $?
	fi
	caps=$none
	[[ $device == fs ]] && caps=$seven
	grep -qx $'CapEff:\t'"$caps" "/proc/$pid/task/$tid/status" && grep -qx $'CapEff:\t'$none "/proc/$pid/status"
	check "$device: has no capability that it does not need" $?
	! grep -L $'^Seccomp:\t2$' "/proc/$pid"/task/*/status | grep -q . &&
		! grep -L $'^NoNewPrivs:\t1$' "/proc/$pid"/task/*/status | grep -q .
	check "$device: a filter in each thread, no_new_privs" $?
	[[ $(readlink "/proc/$pid/ns/mnt") != "$(readlink "/proc/$vmm_pid/ns/mnt")" ]]
	check "$device: the first thread's mount namespace is not the VMM's" $?
	[[ ! $(ls -A "/proc/$pid/root/") ]]
	check "$device: its root is empty" $?
	grep -q '^Max core file size  *0 ' "/proc/$pid/limits"
	check "$device: no core file" $?
	setpriv --bounding-set=-sys_boot readlink "/proc/$pid/fd/0" >/dev/null
	check "$device: who may trace anything looks in" $?
	! setpriv --bounding-set=-sys_ptrace readlink "/proc/$pid/fd/0" >/dev/null 2>&1
	check "$device: and nobody else" $?
}

start spin
for device in "${devices[@]}"; do
	sees "$device"
done
[[ $(for device in "${devices[@]}"; do pages "$(worker "$device")"; done | sort -u | wc -l) == "${#devices[@]}" ]]
check "no two have the same page" $?
mapfile -t pids < <(pgrep -P "$vmm_pid")
check "no other process" $((${#pids[@]} != ${#devices[@]}))
kill -KILL "$vmm_pid"
await_end
until_true no_worker "${pids[@]}"
check "a VMM that is killed takes them along" $?

# dies DEVICE SIGNAL...: the last one ends it
dies()
{
	local device=$1 signal

	shift
	start storms --cmdline forever
	mapfile -t pids < <(pgrep -P "$vmm_pid")
	for signal in "$@"; do
		kill -"$signal" "$(worker "$device")"
	done
	await_end
	check "$device, $*: the VM ends with status 1" $((got != 1))
	check "$device, $*: in $ms ms, at most 30000" $((ms > 30000))
	grep -qxF "failed 1: the worker of device '$device' was killed by signal 9" "$work/out"
	check "$device, $*: says which" $?
	no_worker "${pids[@]}"
	check "$device, $*: no other is left" $?
}

for device in "${devices[@]}"; do
	dies "$device" KILL
	dies "$device" STOP KILL
done

# forbidden DEVICE THREAD KIND CALL LINE NUMBER [ARG...]: a thread of a worker (0: the first one) makes the call, which its
# policy does not allow. The VM ends, and names the worker; the log says what was called by whom, and the policy's line.
forbidden()
{
	local device=$1 thread=$2 kind=$3 call=$4 line=$5 pid tid name want

	shift 5
	start spin
	pid=$(worker "$device")
	mapfile -t pids < <(pgrep -P "$vmm_pid")
	tid=$(find "/proc/$pid/task" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort -n | sed -n "$((thread + 1))p")
	name=$(cat "/proc/$pid/task/$tid/comm")
	"${run_vmm%/*}/force_call" "$tid" "$@" >>"$work/out" 2>&1
	check "$device, $name: $call is called" $?
	await_end
	check "$device, $name: the VM ends with status 1" $((got != 1))
	grep -qxF "failed 1: the worker of device '$device' was killed by signal 31" "$work/out"
	check "$device, $name: says which" $?
	want="coracle-vmm: system call $call ($1) is not allowed in thread '$name' of kind $kind, arguments$(printf ' 0x%x' \
		"${2-0}" "${3-0}" "${4-0}" "${5-0}" "${6-0}" "${7-0}"); if it is legitimate, add to seccomp/$kind.policy: $line"
	cp "$work/log" "$work/out"
	[[ $(grep -cF "level=error msg=\"$want # who calls it, and why\"" "$work/log") == 1 && $(wc -l <"$work/log") == 1 ]]
	check "$device, $name: the log has the report, and nothing else" $?
	no_worker "${pids[@]}"
	check "$device, $name: no worker is left" $?
}

forbidden console 1 console getppid getppid 110
forbidden vsock 1 vsock socket "socket int0 == 0x1, int1 == 0x2" 41 1 2
forbidden fs 1 fs openat "openat int2 == 0x0" 257 0xffffff9c 0x7fff12345678
forbidden fs 2 fs linkat "linkat int4 == 0x1000" 265 1 2 3 4 0x1000
forbidden rng 1 rng getrandom "getrandom int2 == 0x4" 318 0x1000 8 4
forbidden balloon 1 balloon fallocate "fallocate int1 == 0x1" 285 5 1 0 0x1000
forbidden rng 0 waiter socket "socket int0 == 0x1, int1 == 0x2" 41 1 2

# The same in a VMM whose workers are threads, which ends with the one that calls: by then the line is in the log. Each
# thread but main has a socket for it, and not the log.
how=(--isolation thread)
for comm in cor-{console.0,vsock.0,fs.0,fs.1,rng.0,balloon.0} vcpu0; do
	start spin
	kind=${comm#cor-} kind=${kind%[.0]*} kind=${kind%.}
	tid=$(basename "$(dirname "$(grep -lx "$comm" "/proc/$vmm_pid/task"/*/comm)")")
	fds "/proc/$vmm_pid/task/$tid/fd" >"$work/out"
	grep -q '[0-9] socket' "$work/out" && ! grep -qF "$work/log" "$work/out"
	check "thread $comm: has sockets, and not the log" $?
	"${run_vmm%/*}/force_call" "$tid" 110 1 2 >>"$work/out" 2>&1
	check "thread $comm: getppid is called" $?
	await_end
	check "thread $comm: the VMM ends by SIGSYS" $((got != 159))
	cp "$work/log" "$work/out"
	[[ $(grep -cF "getppid (110) is not allowed in thread '$comm' of kind $kind, arguments 0x1 0x2 0x0" \
		"$work/log") == 1 && $(wc -l <"$work/log") == 1 ]]
	check "thread $comm: the log has the report, and nothing else" $?
done

# early ISOLATION COMM STATUS: the first call a thread makes once it has its filter is a forbidden one. Main still starts the
# others then, or waits for it.
early()
{
	local isolation=$1 comm=$2 want=$3 kind=${2#cor-}

	kind=${kind%[.0]*} kind=${kind%.}
	rm -f "$work/log"
	# LeakSanitizer traces its own process, which has a tracer already.
	ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0 timeout -k 5 100 "${run_vmm%/*}/force_start" "$comm" 110 \
		"$run_vmm" --vmm "$vmm" --kernel "$guests/spin" --init /proc/self/exe --share "$work" \
		--timeout 60000 --isolation "$isolation" --log "$work/log" -- /bin/true >"$work/out" 2>&1 </dev/null
	got=$?
	check "early $isolation $comm: ends with status $want, got $got" $((got != want))
	! grep -qx ready "$work/out"
	check "early $isolation $comm: before it is ready" $?
	cat "$work/log" >>"$work/out"
	[[ $(grep -cF "getppid (110) is not allowed in thread '$comm' of kind $kind, arguments 0x1 0x2 0x0" \
		"$work/log") == 1 && $(wc -l <"$work/log") == 1 ]]
	check "early $isolation $comm: the log has the report, and nothing else" $?
}

for comm in cor-{console.0,vsock.0,fs.0,fs.1,rng.0,balloon.0} vcpu0; do
	early thread "$comm" 159
done
early process cor-rng.0 1
early process vcpu0 159
how=(--measure --isolation process)

# A worker that ends by itself cannot be had from here: tests/unit.
start spin
mapfile -t pids < <(pgrep -P "$vmm_pid")
check "all workers run" $((${#pids[@]} != ${#devices[@]}))
kill -TERM "$vmm_pid"
await_end
check "a VMM that ends in order" $((got != 143))
no_worker "${pids[@]}"
check "has waited for its workers" $?

finish

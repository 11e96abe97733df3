#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# hostile_test.sh RUN_VMM CORACLE_VMM GUESTS [thread|process]: guests that attack the VMM (docs/testing.md has the table). Each must
# end as it says here, and the VMM must not have used more than it may: processor time, memory, descriptors, log.
# The bounds are several times what was measured; they are there to find what grows without end. TAP.
# shellcheck source-path=SCRIPTDIR source=common.bash
source "$(dirname "$0")/common.bash"

# A sanitizer's own share.
slower=1 shadow_kib=0
if grep -qa __asan_init "$vmm"; then
	slower=4 shadow_kib=131072
fi
FDS=96 RSS_KIB=65536 CPU_MS=60000 LOG_BYTES=32768

isolation=${4-thread}
# Of the VMM itself: main and a vCPU, and without processes of their own, the workers'.
least_threads=8
[[ $isolation != process ]] || least_threads=2

# start GUEST [OPTION...]: in the foreground; its report is in $work/out, the container's input $stdin. ${wrap[@]}
# runs it.
stdin=/dev/null
wrap=()
start()
{
	local guest=$1

	shift
	rm -f "$work/log"
	"${wrap[@]}" timeout -k 5 250 "$run_vmm" --vmm "$vmm" --kernel "$guests/$guest" \
		--init /proc/self/exe --share "$work" --timeout 200000 --measure --log "$work/log" \
		--isolation "$isolation" "$@" -- /bin/true \
		>"$work/out" 2>&1 <"$stdin"
}

measured() # key
{
	sed -n "s/^measured: .*\b$1 \([0-9]*\).*/\1/p" "$work/out"
}

below() # what, key, bound
{
	local got

	got=$(measured "$2")
	check "$1: $2 ${got:-unknown}, at most $3" $((${got:-$3 + 1} > $3))
}

bounded() # what
{
	below "$1" cpu_ms $((CPU_MS * slower))
	below "$1" rss_kib $((RSS_KIB + shadow_kib))
	below "$1" fds $FDS
	below "$1" log_bytes $LOG_BYTES
	# main, six of the workers, a vCPU
	check "$1: descriptors of $(measured threads) threads" $(($(measured threads) < least_threads))
}

# hostile TEXT GUEST [OPTION...]: ends with status 1 and reports TEXT, and is bounded.
hostile()
{
	local text=$1 got

	shift
	start "$@"
	got=$?
	check "$*: exits with 1" $((got != 1))
	grep -qF -- "$text" "$work/out"
	check "$*: reports '$text'" $?
	bounded "$*"
}

PANIC="failed 1: the guest kernel died: Kernel panic - not syncing:"

hostile "$PANIC rings: 275 cases" rings
# What the guest says it did to each device is in the log, under its right name, at least so often.
sed -n 's/^.*at least \([0-9]*\): device \([a-z]*\) failed (\(.*\))$/\1 \2 \3/p' "$work/out" >"$work/want"
check "rings: the guest counts faults of each kind" $(($(wc -l <"$work/want") != 40))
while read -r n device reason; do
	told=$(awk -v d="device $device failed" -v r="($reason)" 'index($0, d) && index($0, r) {
		n += $NF == "times\"" ? $(NF - 1) : 1 } END { print n + 0 }' "$work/log")
	if ((told < n)); then
		check "rings: device $device: $reason: told of $told, expected $n" 1
	fi
done <"$work/want"

hostile "$PANIC crowd: 4448 answered" crowd
hostile "$PANIC regs: every register in 7 states" regs
hostile "$PANIC storms: all weathered" storms
hostile "$PANIC wild: 19 addresses" wild
hostile "$PANIC wild: 19 addresses" wild --memory 4096
hostile "$PANIC pages: all kept or given as they must be" pages
hostile "$PANIC pages: the guest gives itself away" pages --cmdline self
hostile "$PANIC requests: " requests
check "requests: leave nothing in the share" $(($(find "$work" -mindepth 2 | wc -l) != 0))

# The share that files.h wants, beside it what is not shared.
outside=$work/outside share=$work/outside/share
prepare_share()
{
	local root=$share/rootfs

	mkdir -p "$root/dir" "$root/scratch" "$share/m0/volume/dir"
	echo "a plain file" >"$root/plain"
	echo "another" >"$root/other"
	echo "further down" >"$root/dir/inner"
	yes 0123456789abcdef | tr -d '\n' | head -c 65536 >"$root/big"
	mkfifo "$root/fifo"
	python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$root/socket"
	mknod "$root/device" c 1 5
	ln -s /etc/passwd "$root/absolute"
	ln -s ../../../.. "$root/upwards"
	ln -s ../../secret "$root/sideways"
	echo "not for the guest" >"$outside/secret"
	echo "read-only" >"$share/m0/volume/file"
	ln -s file "$share/m0/volume/link"
}

# All of it. Not ctime, which a link made and taken away moves; nor the times of rootfs/scratch, which is left as it was: empty.
listing()
{
	(cd "$outside" && find . -name scratch -printf '%p %y %m %U:%G\n' -o \
		-printf '%p %y %m %U:%G %s %n %T@ %l\n' | sort
		find . -type f -exec sha256sum {} + | sort)
}

# In a mount namespace of its own, so that nothing is left of it: $1 read-only where it is.
# shellcheck disable=SC2016 # the inner shell's arguments
read_only=(unshare --mount --propagation private sh -c
	'mount --bind "$1" "$1" && mount -o remount,bind,ro,nodev,nosuid,noexec "$1" && shift && exec "$@"'
	sh "$share/m0/volume")

prepare_share
listing >"$work/before"
word=() cases=976
if "${read_only[@]}" true 2>/dev/null; then
	wrap=("${read_only[@]}")
else
	word=(--cmdline writable) cases=894
	((count++))
	echo "ok $count - files: the read-only part # SKIP no mount can be made here"
fi
hostile "$PANIC files: $cases cases" files --share "$share" "${word[@]}"
wrap=()
listing | diff "$work/before" - >"$work/out"
check "files: leave the share, and what is around it, as it was" $?

# Two processors that wait for each other by looking.
CPU_MS=120000
hostile "$PANIC races: all devices work" races --vcpus 2
hostile "$PANIC late: the end comes amidst 2000 acts" late --vcpus 2
# What the VMM holds after many rounds is what it holds after two.
hostile "$PANIC whole: 2 rounds" whole --vcpus 2 --cmdline once
once_fds=$(measured fds) once_rss=$(measured rss_kib)
hostile "$PANIC whole: 60 rounds" whole --vcpus 2
fds=$(measured fds) rss=$(measured rss_kib)
check "whole: $fds descriptors after 60 rounds, after two ${once_fds:-unknown}" $((${fds:-0} == 0 || fds != once_fds))
check "whole: $rss KiB after 60 rounds, after two ${once_rss:-unknown}" \
	$((${rss:-0} == 0 || rss > once_rss + 512 * slower))
CPU_MS=60000

# The input never ends: what the device sends of it is the guest's credit.
stdin=/dev/zero
hostile "$PANIC vsock: every packet as it must be" vsock
stdin=/dev/null
control=(
	"failed 1: the guest broke the control protocol: malformed frame"
	"failed 1: the guest broke the control protocol: malformed frame"
	"failed 1: the guest broke the control protocol: READY out of turn"
	"failed 1: the guest broke the control protocol: a message that only the host sends"
	"failed 1: the guest broke the control protocol: EXITED with no status"
	"failed 1: ??????????"
	"failed 1: coracle-init speaks version 4294967295 of the control protocol, expected 4"
)
for i in "${!control[@]}"; do
	hostile "${control[i]}" vsock --cmdline "control=$i"
done

hostile "failed 1: flood: all of it was taken" flood
# With --debug the guest's lines are in the log: 1 MiB at once and then 64 KiB a second (vmm/log.h), for 200 s at most.
LOG_BYTES=$((1024 * 1024 + 64 * 1024 * 200))
hostile "failed 1: flood: all of it was taken" flood --debug
LOG_BYTES=32768

# All devices failed, doorbells rung, the processor halted: nothing is to be done, so nothing is. A thread that spun
# would use the four seconds.
quiet=$slower slower=1 CPU_MS=2500
start wild --cmdline halt --timeout 4000
grep -qF "failed 1: the guest was not ready within 4000 ms" "$work/out"
check "wild halt: ends by its timeout" $?
bounded "wild halt"
slower=$quiet CPU_MS=60000

# A neighbour that works, while another VM storms: both end as they must.
storm_forever()
{
	local got

	timeout -k 5 250 "$run_vmm" --vmm "$vmm" --kernel "$guests/storms" --init /proc/self/exe --share "$work" \
		--timeout 200000 --cmdline forever --debug --measure --log "$work/lines" --isolation "$isolation" -- /bin/true \
		>"$work/storm" 2>&1 </dev/null
	got=$?
	: >"$work/lines" # whoever waits for a first writer has had one, if this one never came to open its log
	return $got
}
mkfifo "$work/lines"
storm_forever &
storm=$!
exec 3<"$work/lines"
begun=1
while read -r line <&3; do
	if [[ $line == *"the storm begins"* ]]; then
		begun=0
		break
	fi
done
cp "$work/storm" "$work/out"
check "storms forever: the storm begins" $begun
cat <&3 >/dev/null & # its log is not to fill the pipe
hostile "$PANIC calm: all answered" calm
kill -TERM "$(sed -n 's/^vmm pid //p' "$work/storm")"
wait "$storm"
got=$?
cp "$work/storm" "$work/out"
check "storms forever: ends by a signal, with its status" $((got != 143))
grep -qF "failed 143: " "$work/out"
check "storms forever: and says so" $?
below "storms forever" fds $FDS
below "storms forever" rss_kib $((RSS_KIB + shadow_kib))

finish

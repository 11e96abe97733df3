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

# start GUEST [OPTION...]: in the foreground; its report is in $work/out, the container's input $stdin
stdin=/dev/null
start()
{
	local guest=$1

	shift
	rm -f "$work/log"
	timeout -k 5 250 "$run_vmm" --vmm "$vmm" --kernel "$guests/$guest" --init /proc/self/exe \
		--share "$work" --timeout 200000 --measure --log "$work/log" \
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
	check "$1: descriptors of $(measured threads) threads" $(($(measured threads) < 8))
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

hostile "$PANIC regs: every register in 7 states" regs
hostile "$PANIC storms: all weathered" storms
hostile "$PANIC wild: 19 addresses" wild
hostile "$PANIC wild: 19 addresses" wild --memory 4096
hostile "$PANIC pages: all kept or given as they must be" pages
hostile "$PANIC pages: the guest gives itself away" pages --cmdline self
hostile "$PANIC requests: " requests
check "requests: leave nothing in the share" $(($(find "$work" -mindepth 2 | wc -l) != 0))

# Two processors that wait for each other by looking.
CPU_MS=120000
hostile "$PANIC races: all devices work" races --vcpus 2
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
mkfifo "$work/lines"
timeout -k 5 250 "$run_vmm" --vmm "$vmm" --kernel "$guests/storms" --init /proc/self/exe --share "$work" \
	--timeout 200000 --cmdline forever --debug --measure --log "$work/lines" --isolation "$isolation" -- /bin/true \
	>"$work/storm" 2>&1 </dev/null &
storm=$!
exec 3<"$work/lines"
begun=1
while read -r line <&3; do
	if [[ $line == *"the storm begins"* ]]; then
		begun=0
		break
	fi
done
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

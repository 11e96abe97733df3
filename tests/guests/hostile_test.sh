#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# hostile_test.sh RUN_VMM CORACLE_VMM GUESTS: guests that attack the VMM (docs/testing.md has the table). Each must
# end as it says here, and the VMM must not have used more than it may: processor time, memory, descriptors, log.
# The bounds are several times what was measured; they are there to find what grows without end. TAP.
# shellcheck source-path=SCRIPTDIR source=common.bash
source "$(dirname "$0")/common.bash"

# A sanitizer's own share.
slower=1 shadow_kib=0
if grep -qa __asan_init "$vmm"; then
	slower=4 shadow_kib=524288
fi
FDS=128 RSS_KIB=65536 CPU_MS=60000 LOG_BYTES=32768

# start GUEST [OPTION...]: in the foreground; its report is in $work/out
start()
{
	local guest=$1

	shift
	rm -f "$work/log"
	timeout -k 5 250 "$run_vmm" --vmm "$vmm" --kernel "$guests/$guest" --init /proc/self/exe \
		--share "$work" --timeout 200000 --measure --log "$work/log" "$@" -- /bin/true \
		>"$work/out" 2>&1 </dev/null
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

hostile "$PANIC calm: all answered" calm

finish

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# boot_test.sh RUN_VMM CORACLE_VMM GUESTS: boots each flat guest and looks at what the VMM reports. TAP.
# shellcheck source-path=SCRIPTDIR source=common.bash
source "$(dirname "$0")/common.bash"

# boot GUEST STATUS TEXT [OPTION...]: the VMM must exit with STATUS and report TEXT.
boot()
{
	local guest=$1 status=$2 text=$3 got

	shift 3
	timeout -k 5 60 "$run_vmm" --vmm "$vmm" --kernel "$guests/$guest" --init /proc/self/exe \
		--share "$work" "$@" -- /bin/true >"$work/out" 2>&1
	got=$?
	check "$guest ${*}: exits with $status" $((got != status))
	grep -qF -- "$text" "$work/out"
	check "$guest ${*}: reports '$text'" $?
}

boot triple_fault 1 "failed 1: the VM stopped: vCPU 0: triple fault"
boot triple_fault 1 "failed 1: the VM stopped: vCPU 0: triple fault" --vcpus 16
boot ports 1 "Kernel panic - not syncing: ports read all ones"
boot mmio 1 "Kernel panic - not syncing: windows are as they must be"
boot mmio 1 "Kernel panic - not syncing: windows are as they must be" --memory 4096
boot faults 1 "Kernel panic - not syncing: the device failed each time" --log "$work/log"
grep -F "device console failed: the guest's driver broke the rules and has to reset it (ring address or size)" \
	"$work/log" >"$work/out"
check "faults: the log tells of them in few lines" $(($(wc -l <"$work/out") > 10))
told=$(awk '{ n += $NF == "times\"" ? $(NF - 1) : 1 } END { print n }' "$work/out")
check "faults: and of each" $((told != 300))
boot spin 1 "was not ready within 500 ms: coracle-init did not call" --timeout 500
boot spin 1 "was not ready within 500 ms: coracle-init did not call" --timeout 500 --vcpus 4
guests=/bin
boot sh 1 "failed 1: cannot load the guest kernel: it is of ELF type 3, not an executable (2)"
guests=/etc
boot passwd 1 "failed 1: cannot load the guest kernel: it is not an ELF file"

finish

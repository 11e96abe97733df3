# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# shellcheck disable=SC2034 # used by those who source it
# For the tests of flat guests: arguments RUN_VMM CORACLE_VMM GUESTS, a directory to work in, TAP lines.
set -uo pipefail

run_vmm=$1 vmm=$2 guests=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/rootfs"
count=0
failures=0

# The file server changes its root: that wants root.
if [[ ! -r /dev/kvm || ! -w /dev/kvm || $(id -u) != 0 ]]; then
	if [[ ${REQUIRE_KVM:-} ]]; then
		echo "not ok 1 - /dev/kvm is there, and we are root"
		echo "1..1"
		exit 1
	fi
	echo "1..0 # SKIP needs root and a /dev/kvm that may be opened"
	exit 0
fi

check() # what, condition's result
{
	local verdict=ok

	((count++))
	if (($2)); then
		verdict="not ok"
		((failures++))
	fi
	echo "$verdict $count - $1"
	if (($2)); then
		sed 's/^/# /' "$work/out"
	fi
}

finish()
{
	echo "1..$count"
	exit $((failures != 0))
}

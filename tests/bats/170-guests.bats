#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The flat guests of tests/guests, on a KVM that runs two vCPUs: each attack is a line of hostile_test.sh.
bats_require_minimum_version 1.5.0
load common

@test "hostile guests: every attack ends as it must, within its bounds" {
	need_kvm
	local guests=${CORACLE_BIN%/stage/usr/local/bin/coracle}/tests/guests
	[[ -x $guests/run_vmm || ${REQUIRE_KVM-} ]] || skip "no build directory of tests/guests beside the stage"
	run "$BATS_TEST_DIRNAME/../guests/hostile_test.sh" "$guests/run_vmm" \
		"${CORACLE_BIN%/bin/coracle}/libexec/coracle/coracle-vmm" "$guests" "${CORACLE_ISOLATION:-thread}"
	grep -v '^ok' <<<"$output" || true
	((status == 0))
	grep -qE '^ok [0-9]+ - races --vcpus 2: reports .*races: all devices work' <<<"$output"
	grep -qE '^ok [0-9]+ - late --vcpus 2: reports .*late: the end comes' <<<"$output"
	grep -qE '^ok [0-9]+ - whole --vcpus 2: reports .*whole: 60 rounds' <<<"$output"
	grep -qE '^ok [0-9]+ - files .*: reports .*files: 976 cases' <<<"$output"
	[[ ${lines[-1]} =~ ^1\.\.([0-9]+)$ ]]
	(($(grep -c '^ok' <<<"$output") == BASH_REMATCH[1]))
}

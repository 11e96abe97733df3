#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Standard streams: nothing lost, nothing added, ends of files in both directions.
bats_require_minimum_version 1.5.0
load common

run_plain() { "$CORACLE_BIN" --root "$root" run --bundle "$bundle" "$id"; }

@test "standard output and standard error stay apart" {
	need_kvm
	sh_in 'echo out; echo err >&2'
	[[ $output == out && $stderr == err ]]
}

@test "standard input goes in, and its end is seen" {
	need_kvm
	new_bundle cat
	got=$(printf 'a\0b\nc' | run_plain | od -An -c | tr -d ' \n')
	[[ $got == 'a\0b\nc' ]]
}

@test "no standard input: end of file at once" {
	need_kvm
	new_bundle sh -c 'cat; echo done'
	[[ $(run_plain </dev/null) == done ]]
	[[ $(run_plain <&-) == done ]]
}

@test "closed standard output and error do no harm" {
	need_kvm
	new_bundle sh -c 'echo x; echo y >&2; exit 3'
	run_plain >&- 2>&- </dev/null || got=$?
	((got == 3))
}

@test "16 MB through, both ways, unchanged" {
	need_kvm
	head -c 16M /dev/urandom >"$BATS_TEST_TMPDIR/in"
	new_bundle cat
	run_plain <"$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/out"
	cmp "$BATS_TEST_TMPDIR/in" "$BATS_TEST_TMPDIR/out"
	cat "$BATS_TEST_TMPDIR/in" | run_plain | cmp "$BATS_TEST_TMPDIR/in" -
}

@test "the last bytes before the exit are never lost" {
	need_kvm
	new_bundle sh -c 'head -c 300000 /dev/zero; printf end'
	for i in 1 2 3 4 5; do
		((${i:-0} && $(run_plain | wc -c) == 300003))
	done
}

@test "a slow reader gets everything" {
	need_kvm
	new_bundle sh -c 'head -c 1000000 /dev/zero'
	[[ $(run_plain | (sleep 2 && wc -c)) == 1000000 ]]
}

@test "a reader that goes away ends the writer, not the VMM" {
	need_kvm
	new_bundle sh -c 'yes; echo "yes: $?" >&2; exit 5'
	set +e
	run_plain 2>"$BATS_TEST_TMPDIR/err" | head -n 1 >/dev/null
	got=${PIPESTATUS[0]}
	set -e
	cat "$BATS_TEST_TMPDIR/err"
	((got == 5))
	[[ $(cat "$BATS_TEST_TMPDIR/err") == *"yes: 141"* ]]
}

@test "/dev/stdout, /dev/stderr and /proc/self/fd can be opened again" {
	need_kvm
	sh_in 'echo a >/dev/stdout; echo b >/dev/stderr; echo c >/proc/self/fd/1'
	[[ $output == $'a\nc' && $stderr == b ]]
}

@test "an ordinary user's program can open its streams again" {
	need_kvm
	new_bundle sh -c 'echo a >/dev/stdout'
	edit '.process.user = {uid: 1000, gid: 1000}'
	run_container
	((status == 0))
	[[ $output == a ]]
}

@test "files as streams: read from the offset, appended at the end" {
	need_kvm
	printf 'skipped\nread\n' >"$BATS_TEST_TMPDIR/in"
	echo first >"$BATS_TEST_TMPDIR/out"
	new_bundle cat
	{
		read -r _
		run_plain >>"$BATS_TEST_TMPDIR/out"
	} <"$BATS_TEST_TMPDIR/in"
	[[ $(cat "$BATS_TEST_TMPDIR/out") == $'first\nread' ]]
}

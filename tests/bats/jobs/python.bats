#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Python's own tests of what it takes from the system: what fails in coracle must fail in crun, too.
bats_require_minimum_version 1.5.0
load ../common
load jobs

setup_file() { need_kvm; }

# python LEAST MODULE: at least LEAST tests of the module pass in both, and none fails that does not fail in crun.
python() {
	local runtime new
	for runtime in crun coracle; do
		mkdir -p "$BATS_TEST_TMPDIR/$2.$runtime.d"
		cp "$BATS_TEST_DIRNAME/outcomes.py" "$BATS_TEST_TMPDIR/$2.$runtime.d/"
		one_job "$runtime" "$2" "cd /tmp; python3.11 /out/outcomes.py $2"
		sed -n 's/^failed //p' "$BATS_TEST_TMPDIR/$2.$runtime" >"$BATS_TEST_TMPDIR/failed.$runtime"
		echo "# $2 in $runtime: $(cut -d' ' -f1 "$BATS_TEST_TMPDIR/$2.$runtime" | sort | uniq -c | xargs)" >&3
		(($(grep -c '^ok ' "$BATS_TEST_TMPDIR/$2.$runtime") >= $1))
	done
	diff "$BATS_TEST_TMPDIR/$2.crun" "$BATS_TEST_TMPDIR/$2.coracle" | sed 's/^/# /' >&3
	new=$(comm -13 "$BATS_TEST_TMPDIR/failed.crun" "$BATS_TEST_TMPDIR/failed.coracle")
	[[ ! $new ]] || {
		echo "fails in coracle only: $new"
		tail -n 60 "$BATS_TEST_TMPDIR/$2.coracle.err"
		return 1
	}
}

@test "Python: test_os" { python 200 test_os; }
@test "Python: test_posix" { python 90 test_posix; }
@test "Python: test_mmap" { python 30 test_mmap; }
@test "Python: test_fcntl" { python 8 test_fcntl; }
@test "Python: test_tempfile" { python 60 test_tempfile; }
@test "Python: test_shutil" { python 100 test_shutil; }
@test "Python: test_fileio" { python 60 test_fileio; }
@test "Python: test_pty" { python 5 test_pty; }

#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# An isolated CI job: clone, configure, compile, test. The library must come out the same to the byte.
bats_require_minimum_version 1.5.0
load ../common
load jobs

setup_file() { need_kvm; }

@test "a C project from a Debian source package: git clone, configure, make, make test" {
	job zlib '
		git clone -q file:///srv/zlib /tmp/zlib
		cd /tmp/zlib
		CFLAGS=-O0 ./configure >/out/log 2>&1
		make -j2 >>/out/log 2>&1
		make test 2>&1 | tee -a /out/log | grep -E "test OK|FAILED"
		sha256sum libz.so.1.* libz.a minigzip example
		git status --porcelain
		git log --format=%s
		./minigzip <zlib.h | gzip -d | cmp - zlib.h && echo "round trip"'
	cat "$BATS_TEST_TMPDIR/zlib.coracle"
	(($(grep -c "test OK" "$BATS_TEST_TMPDIR/zlib.coracle") >= 3))
	grep -q "round trip" "$BATS_TEST_TMPDIR/zlib.coracle"
}

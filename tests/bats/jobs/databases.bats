#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Databases at work: PostgreSQL, Redis, SQLite. Their figures are notes; what must hold is what they hold afterwards.
bats_require_minimum_version 1.5.0
load ../common
load jobs

setup_file() { need_kvm; }

@test "PostgreSQL: initdb, pgbench, a crash, recovery" {
	job_user=postgres
	job postgresql '
		PATH=/usr/lib/postgresql/15/bin:$PATH
		export PGHOST=/tmp PGDATA=/var/lib/postgresql/data
		begin() { pg_ctl -w -t 600 -l /tmp/log -o "-c listen_addresses= -k /tmp" start >/dev/null || { cat /tmp/log >&2; exit 1; }; }
		ask() { psql -XAtc "$1" postgres; }
		sums() {
			ask "SELECT count(*) FROM pgbench_accounts"
			ask "SELECT count(*) FROM pgbench_history"
			ask "SELECT (SELECT sum(delta) FROM pgbench_history) = (SELECT sum(abalance) FROM pgbench_accounts),
				(SELECT sum(delta) FROM pgbench_history) = (SELECT sum(bbalance) FROM pgbench_branches)"
		}
		initdb -k -A trust --locale=C.UTF-8 >/dev/null
		begin
		pgbench -i -q -s 1 postgres 2>/dev/null
		pgbench -n -c 4 -j 2 -t 25 postgres | tee /tmp/bench | grep -E "actually processed|failed"
		grep tps /tmp/bench >/out/notes
		sums
		pg_ctl -m immediate stop >/dev/null
		begin
		sums
		grep -c "not properly shut down" /tmp/log
		pg_ctl -m fast stop >/dev/null
		pg_checksums --check | grep "Bad checksums"'
	cat "$BATS_TEST_TMPDIR/postgresql.coracle"
	[[ $(grep -cx 't|t' "$BATS_TEST_TMPDIR/postgresql.coracle") == 2 ]]
}

@test "Redis: benchmark, append-only file, restart, what it knew" {
	job redis '
		cli() { redis-cli -s /tmp/socket "$@"; }
		begin() {
			redis-server --unixsocket /tmp/socket --port 6379 --dir /tmp --appendonly yes --save "" --daemonize yes --logfile /tmp/log >/dev/null
			until [[ $(cli ping 2>/dev/null) == PONG ]]; do sleep 0.1; done
		}
		begin
		redis-benchmark -s /tmp/socket -q -n 1000 -c 20 -r 500 -t set,incr,lpush,lrange_100,mset | tr "\r" "\n" | grep per.second >/out/notes
		redis-benchmark -h 127.0.0.1 -q -n 1000 -c 20 -t get,ping_inline | tr "\r" "\n" | grep per.second | sed "s/^/loopback: /" >>/out/notes
		seq 1000 | sed "s/.*/SET k& v&/" | cli --pipe | tail -n 1
		cli llen mylist
		cli bgrewriteaof >/dev/null
		until [[ $(cli info persistence) == *aof_rewrite_in_progress:0* ]]; do sleep 0.1; done
		cli shutdown nosave
		while pgrep -x redis-server >/dev/null; do sleep 0.1; done
		begin
		cli llen mylist
		seq 1000 | sed "s/.*/GET k&/" | cli | sha256sum
		redis-check-aof /tmp/appendonlydir/appendonly.aof.manifest | tail -n 1
		cli shutdown nosave'
	cat "$BATS_TEST_TMPDIR/redis.coracle"
	grep -q "errors: 0, replies: 1000" "$BATS_TEST_TMPDIR/redis.coracle"
	[[ $(grep -cx 2000 "$BATS_TEST_TMPDIR/redis.coracle") == 2 ]] # pushed twice: as itself, and for lrange
	grep -q "$(seq 1000 | sed 's/^/v/' | sha256sum)" "$BATS_TEST_TMPDIR/redis.coracle"
	(($(wc -l <"$BATS_TEST_TMPDIR/redis.coracle.d/notes") >= 5))
}

@test "SQLite: several processes, with a write-ahead log, a rollback journal, mapped files, and a killed writer" {
	job sqlite '
		cd /tmp
		for mode in wal delete truncate; do
			db=$mode.db
			sqlite3 $db "PRAGMA journal_mode=$mode; CREATE TABLE t(id INTEGER PRIMARY KEY, w INT, n INT, pad TEXT); CREATE INDEX i ON t(w, n);"
			pids=()
			for w in 1 2 3 4; do
				for n in $(seq 60); do
					echo "BEGIN IMMEDIATE; INSERT INTO t(w, n, pad) VALUES($w, $n, hex(zeroblob(500))); COMMIT;"
				done | sqlite3 -cmd ".timeout 600000" -cmd "PRAGMA mmap_size=16777216" $db >/dev/null &
				pids+=($!)
			done
			for pid in "${pids[@]}"; do wait $pid; done
			sqlite3 $db "SELECT w, count(*), sum(n), sum(length(pad)) FROM t GROUP BY w; PRAGMA integrity_check;"
			# A writer that is killed with its transaction open: nothing of it stays.
			mkfifo fifo.$mode
			sqlite3 -cmd ".timeout 600000" -cmd "PRAGMA cache_size=5" $db <fifo.$mode >out.$mode &
			exec 7>fifo.$mode
			echo "BEGIN IMMEDIATE; UPDATE t SET pad = pad || pad, n = -1; SELECT changes();" >&7
			until grep -q 240 out.$mode; do sleep 0.1; done
			kill -9 $!
			wait $! || true
			exec 7>&-
			sqlite3 -cmd ".timeout 600000" $db "SELECT count(*), min(n), sum(length(pad)) FROM t; PRAGMA integrity_check; VACUUM; PRAGMA integrity_check;"
			sqlite3 $db "UPDATE t SET id = w * 1000 + n" ".sha3sum"
		done'
	cat "$BATS_TEST_TMPDIR/sqlite.coracle"
	[[ $(grep -cx ok "$BATS_TEST_TMPDIR/sqlite.coracle") == 9 ]]
	[[ $(grep -cx '240|1|240000' "$BATS_TEST_TMPDIR/sqlite.coracle") == 3 ]]
}

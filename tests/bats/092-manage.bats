#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# ps, pause, resume, update, events: what is done to a container that runs.
bats_require_minimum_version 1.5.0
load common

start_container() {
	new_bundle sleep 100000
	coracle run --detach --pid-file "$BATS_TEST_TMPDIR/pid" --bundle "$bundle" "$id" </dev/null >"$BATS_TEST_TMPDIR/log" 2>&1
}

stats() { coracle events --stats "$id"; }

@test "ps: the container's own processes as a table, the host's pids that stand for it as JSON" {
	need_kvm
	start_container
	coracle exec --detach --pid-file "$BATS_TEST_TMPDIR/exec" --user 1000 "$id" sleep 4711 </dev/null >/dev/null 2>&1
	run -0 coracle ps "$id"
	echo "$output"
	[[ ${lines[0]} == "UID          PID    PPID  C STIME TTY          TIME CMD" ]]
	[[ ${#lines[@]} == 3 ]]
	[[ ${lines[1]} =~ ^root\ +1\ +0\ .*\ \?\ .*\ sleep\ 100000$ ]]
	[[ ${lines[2]} =~ ^1000\ +[0-9]+\ +0\ .*\ sleep\ 4711$ ]]
	run -0 coracle ps "$id" -ef
	[[ ${#lines[@]} == 3 ]]
	run -0 coracle ps "$id" -e -x
	echo "$output"
	[[ ${lines[0]} == "    PID TTY      STAT   TIME COMMAND" && ${#lines[@]} == 3 ]]
	[[ ${lines[1]} =~ ^\ +1\ \?\ +[A-Z]+s\ +0:[0-9]{2}\ sleep\ 100000$ ]]
	coracle ps --format json "$id" | jq -e --argjson vmm "$(cat "$BATS_TEST_TMPDIR/pid")" --argjson exec "$(cat "$BATS_TEST_TMPDIR/exec")" \
		'. == [$vmm, $exec]'
	run coracle ps --format yaml "$id"
	fails 1 "invalid format option"
	run coracle ps "$id" -o pid
	fails 1 "ps option '-o'"
	# whatever a program calls itself, one line each
	coracle exec --detach "$id" perl -e '$0 = "evil\n\e[2Jname"; sleep 1000' </dev/null >/dev/null 2>&1
	until_true 60 eval 'coracle ps "$id" | grep -F "evil??[2Jname"'
	coracle kill "$id" KILL
	until_true 60 eval '[[ $(status_of "$id") == stopped ]]'
	run -0 coracle ps "$id"
	[[ $output == UID*CMD ]]
	run -0 coracle ps --format json "$id"
	[[ $output == "[]" ]]
}

@test "pause stops everything, resume goes on; the status says so" {
	need_kvm
	own=$BATS_TEST_TMPDIR/out
	mkdir "$own"
	new_bundle sh -c 'n=0; trap "echo hup >>/out/hup" HUP; while :; do n=$((n + 1)); echo $n >/out/n; sleep 0.05; done'
	edit '.mounts += [{destination: "/out", source: $own, type: "bind", options: ["bind", "rw"]}]' --arg own "$own"
	run coracle pause "$id"
	fails 1 "container does not exist"
	coracle run --detach --bundle "$bundle" "$id" </dev/null >/dev/null 2>&1
	until_true 60 test -s "$own/n"
	run coracle resume "$id"
	fails 1 "container not paused"
	run -0 coracle pause "$id"
	[[ $(status_of "$id") == paused ]]
	run -0 coracle list
	[[ ${lines[1]} == *paused* ]]
	run coracle pause "$id"
	fails 1 "container not running"
	run --separate-stderr coracle exec "$id" true
	fails 255 "cannot exec in a paused container (use --ignore-paused to override)"
	before=$(cat "$own/n")
	# it can be asked, as a frozen one can with runc; the container itself does not run for that
	run -0 coracle ps "$id"
	[[ $output == *" sh -c n=0"* ]]
	coracle events --stats "$id" | jq -e '.data.pids.current >= 1'
	# a signal to all of them waits for the resume, and once
	run -0 coracle kill --all "$id" HUP
	run -0 coracle kill --all "$id" HUP
	run -0 coracle ps "$id"
	sleep 3 # the point: nothing happens meanwhile
	[[ $(cat "$own/n") == "$before" && ! -e $own/hup ]]
	[[ $(status_of "$id") == paused ]]
	run -0 coracle resume "$id"
	[[ $(status_of "$id") == running ]]
	until_true 60 test -s "$own/hup"
	until_true 60 eval '[[ $(cat "$own/n") && $(cat "$own/n") != "$before" ]]'
	(($(wc -l <"$own/hup") == 1))
	# what is paused may be killed
	run -0 coracle pause "$id"
	run -0 coracle kill "$id" KILL
	until_true 60 eval '[[ $(status_of "$id") == stopped ]]'
	run coracle pause "$id"
	fails 1 "container not running"
	run coracle resume "$id"
	fails 1 "container not paused"
}

@test "exec --ignore-paused runs once the container is resumed" {
	need_kvm
	start_container
	coracle pause "$id"
	"$CORACLE_BIN" --root "$root" exec --ignore-paused "$id" echo later >"$BATS_TEST_TMPDIR/out" 2>&1 &
	sleep 2 # the point: nothing happens meanwhile
	[[ ! -s $BATS_TEST_TMPDIR/out ]]
	coracle resume "$id"
	wait $!
	[[ $(cat "$BATS_TEST_TMPDIR/out") == later ]]
	# one that is ended while it waits does not run
	coracle pause "$id"
	"$CORACLE_BIN" --root "$root" exec --ignore-paused "$id" sleep 4711 &
	sleep 1
	kill -TERM $!
	wait $! || got=$?
	((got == 143))
	coracle resume "$id"
	until_true 60 eval '[[ $(coracle ps "$id" | wc -l) == 2 ]]'
}

@test "update: flags and JSON, seen from inside; values that depend on each other" {
	need_kvm
	start_container
	inside() { coracle exec "$id" cat "/sys/fs/cgroup/$1"; }
	edit '.linux.resources.pids.limit = 20' # too late to count
	run -0 coracle update --pids-limit 20 --memory 64m --memory-reservation 32m --cpu-share 1024 "$id"
	[[ $(inside pids.max) == 20 && $(inside memory.max) == 67108864 && $(inside memory.low) == 33554432 && $(inside cpu.weight) == 39 ]]
	run -0 coracle update --cpu-quota 20000 --cpu-period 50000 "$id"
	[[ $(inside cpu.max) == "20000 50000" ]]
	run -0 coracle update --cpu-quota 30000 "$id"
	[[ $(inside cpu.max) == "30000 50000" && $(inside pids.max) == 20 ]]
	run -0 coracle update --resources - "$id" <<<'{"memory": {"limit": 0}, "pids": {"limit": 30}, "blockIO": {"weight": 0}}'
	[[ $(inside pids.max) == 30 && $(inside memory.max) == 67108864 ]]
	echo '{"pids": {"limit": -1}}' >"$BATS_TEST_TMPDIR/r.json"
	run -0 coracle update --resources="$BATS_TEST_TMPDIR/r.json" "$id"
	[[ $(inside pids.max) == max ]]
	run -0 coracle update --memory -1 "$id"
	[[ $(inside memory.max) == max ]]
}

@test "update of a paused container: it stays paused, and goes on with the new limits" {
	need_kvm
	start_container
	run -0 coracle update --pids-limit 20 "$id"
	run -0 coracle pause "$id"
	run -0 coracle update --pids-limit 30 "$id"
	run -0 coracle update --memory 64m "$id"
	[[ $(status_of "$id") == paused ]]
	run coracle update --memory 10g "$id"
	fails 1 "is more than the container's VM has"
	run coracle update --resources - "$id" <<<'{"unified": {"no.such.file": "1"}}'
	fails 1 "the container is paused: whether it has the files that unified names"
	run -0 coracle resume "$id"
	[[ $(coracle exec "$id" cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/memory.max) == $'30\n67108864' ]]
	run -0 coracle update --pids-limit 20 "$id" # the old value, once more: a change like any other
	[[ $(coracle exec "$id" cat /sys/fs/cgroup/pids.max) == 20 ]]
	[[ ! -e $root/$id/resources.unsure ]]
}

@test "update: one that failed half-way is made good by the next" {
	need_kvm
	start_container
	run -0 coracle update --pids-limit 50 "$id"
	run coracle update --resources - "$id" <<<'{"pids": {"limit": 20}, "unified": {"no.such.file": "1"}}'
	fails 1 "no.such.file"
	# the same as was noted before, and written all the same
	run -0 coracle update --pids-limit 50 "$id"
	[[ $(coracle exec "$id" cat /sys/fs/cgroup/pids.max) == 50 ]]
}

@test "update: what cannot be is refused, and changes nothing" {
	need_kvm
	start_container
	run -0 coracle update --pids-limit 20 "$id"
	run coracle update --memory 10g "$id"
	fails 1 "is more than the container's VM has"
	run coracle update --memory 10x "$id"
	fails 1 "invalid value for memory: '10x'"
	run coracle update --memory 20m --memory-swap 10m "$id"
	fails 1 "is below limit"
	run coracle update --l3-cache-schema L3:0=f "$id"
	fails 1 "Intel RDT"
	run coracle update --resources - "$id" <<<'{"pids": {"limit": "many"}}'
	fails 1 "resources: pids.limit: expected"
	run coracle update --resources - "$id" <<<'{"unified": {"no.such.file": "1"}}'
	fails 1 "no.such.file"
	[[ $(coracle exec "$id" cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/memory.max) == $'20\nmax' ]]
	coracle kill "$id" KILL
	until_true 60 eval '[[ $(status_of "$id") == stopped ]]'
	run coracle update --pids-limit 5 "$id"
	fails 1 "container not running"
}

@test "events --stats: runc's JSON, with figures that can be" {
	need_kvm
	new_bundle sleep 100000
	edit '.linux.resources.pids.limit = 50 | .linux.resources.memory.limit = 134217728'
	coracle run --detach --bundle "$bundle" "$id" </dev/null >/dev/null 2>&1
	stats | tee "$BATS_TEST_TMPDIR/stats" | jq -e --arg id "$id" '.type == "stats" and .id == $id and (.data
		| .pids.current >= 1 and .pids.limit == 50 and .memory.usage.limit == 134217728 and .memory.usage.usage > 0
		and .memory.usage.usage < 134217728 and .cpu.usage.total > 0 and .cpu.usage.total >= .cpu.usage.user
		and (.memory.raw | has("anon")) and has("blkio") and has("hugetlb"))' || {
		cat "$BATS_TEST_TMPDIR/stats"
		return 1
	}
	[[ $(wc -l <"$BATS_TEST_TMPDIR/stats") == 1 ]]
	run coracle events --interval 0s "$id"
	fails 1 "duration interval must be greater than 0"
	run coracle events --interval 5 "$id"
	fails 1 "expected a duration"
	coracle kill "$id" KILL
	until_true 60 eval '[[ $(status_of "$id") == stopped ]]'
	run coracle events --stats "$id"
	fails 1 "is not running"
}

@test "events: figures every so often and OOM kills, until the container ends" {
	need_kvm
	new_bundle sleep 100000
	edit '.linux.resources.memory.limit = 67108864'
	coracle run --detach --bundle "$bundle" "$id" </dev/null >/dev/null 2>&1
	"$CORACLE_BIN" --root "$root" events --interval 500ms "$id" >"$BATS_TEST_TMPDIR/events" 2>"$BATS_TEST_TMPDIR/err" &
	until_true 100 eval '(($(grep -c stats "$BATS_TEST_TMPDIR/events") >= 2))'
	run coracle exec "$id" perl -e 'my $x = "x" x (200 << 20); print length $x'
	((status == 137))
	until_true 60 grep -q oom "$BATS_TEST_TMPDIR/events"
	jq -e -s --arg id "$id" 'all(.id == $id) and any(. == {type: "oom", id: $id})' "$BATS_TEST_TMPDIR/events"
	coracle kill "$id" KILL
	wait $!
	[[ ! -s $BATS_TEST_TMPDIR/err ]]
}

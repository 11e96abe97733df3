#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Podman, as Debian ships it, with coracle as its runtime. ENGINE_RUNTIME names another one to compare with.

bats_require_minimum_version 1.5.0
load ../common

setup_file() {
	need_kvm
	export ENGINE_RUNTIME=${ENGINE_RUNTIME:-$CORACLE_BIN}
	export HOME=/root
	tar -C "$CORACLE_ROOTFS" -c . | podman --cgroup-manager cgroupfs import -q - debian >/dev/null
}

setup() {
	name=c$BATS_TEST_NUMBER
}

teardown() {
	podman ps -aq | while read -r c; do pod rm -f -t 0 "$c" >/dev/null; done
	if pgrep -a coracle-vmm; then
		echo "a VMM was left behind"
		pkill -9 coracle-vmm
		return 1
	fi
}

pod() { podman --cgroup-manager cgroupfs --events-backend file --runtime "$ENGINE_RUNTIME" "$@"; }
prun() { pod run --network none "$@"; }

@test "podman run: output, both streams, status" {
	run --separate-stderr prun --rm debian sh -c 'echo out; echo err >&2; exit 7'
	echo "$status: $output / $stderr"
	((status == 7))
	[[ $output == out && $stderr == *err* ]]
}

@test "podman run: a program that is not there is 127, one that is not executable 126" {
	run -127 prun --rm debian /no/such
	echo "$output"
	((status == 127))
	run prun --rm debian /etc/passwd
	echo "$output"
	((status == 126))
}

@test "podman run -i: standard input to its end" {
	local sum
	sum=$(head -c 3000000 /dev/urandom | tee "$BATS_TEST_TMPDIR/in" | prun -i --rm debian sha256sum)
	[[ $sum == "$(sha256sum <"$BATS_TEST_TMPDIR/in")" ]]
}

@test "podman run -it: a terminal" {
	run script -qec "podman --cgroup-manager cgroupfs --runtime $ENGINE_RUNTIME run --network none -it --rm debian \
		sh -c 'test -t 0 && test -t 1 && tty && stty size'" /dev/null </dev/null
	echo "$output"
	((status == 0))
	[[ $output == */dev/pts/0* || $output == */dev/console* ]]
}

@test "podman run -d, logs, inspect, wait" {
	prun -d --name "$name" debian sh -c 'echo one; echo two >&2; trap "exit 4" TERM; while :; do sleep 0.2; done' >/dev/null
	[[ $(pod inspect -f '{{.State.Status}}' "$name") == running ]]
	local pid
	pid=$(pod inspect -f '{{.State.Pid}}' "$name")
	[[ -d /proc/$pid ]]
	until_true 60 eval 'podman logs $name 2>&1 | grep -q two'
	[[ $(pod logs "$name" 2>/dev/null) == one ]]
	pod kill -s TERM "$name" >/dev/null
	[[ $(pod wait "$name") == 4 ]]
	[[ $(pod inspect -f '{{.State.Status}} {{.State.ExitCode}}' "$name") == "exited 4" ]]
}

@test "podman exec: output, status, user, environment, directory, input" {
	prun -d --name "$name" debian sleep 300 >/dev/null
	[[ $(pod exec "$name" echo hello) == hello ]]
	run pod exec "$name" sh -c 'exit 9'
	((status == 9))
	[[ $(pod exec --user 1000:1001 -e A=b -w /etc "$name" sh -c 'echo $(id -u):$(id -g) $A $PWD') == "1000:1001 b /etc" ]]
	[[ $(echo typed | pod exec -i "$name" cat) == typed ]]
	run -127 pod exec "$name" /no/such
	echo "$status $output"
	((status == 127))
	run script -qec "podman --cgroup-manager cgroupfs --runtime $ENGINE_RUNTIME exec -it $name tty" /dev/null </dev/null
	echo "$output"
	[[ $output == */dev/pts/* ]]
	pod exec -d "$name" sh -c 'echo there >/tmp/f'
	until_true 60 pod exec "$name" test -s /tmp/f
	pod rm -f -t 0 "$name"
}

@test "podman stop: SIGTERM first, with grace; SIGKILL when it does not listen" {
	prun -d --name "$name" debian sh -c 'trap "echo bye; exit 3" TERM; echo up; while :; do sleep 0.2; done' >/dev/null
	until_true 60 eval 'podman logs $name | grep -q up'
	pod stop -t 20 "$name" >/dev/null
	[[ $(pod inspect -f '{{.State.ExitCode}}' "$name") == 3 ]]
	[[ $(pod logs "$name") == *bye* ]]
	prun -d --name "$name-2" debian sh -c 'trap "" TERM; echo up; while :; do sleep 0.2; done' >/dev/null
	until_true 60 eval 'podman logs $name-2 | grep -q up'
	pod stop -t 2 "$name-2" >/dev/null
	[[ $(pod inspect -f '{{.State.ExitCode}}' "$name-2") == 137 ]]
}

@test "podman kill, restart" {
	prun -d --name "$name" debian sh -c 'trap "exit 5" USR1; echo up; while :; do sleep 0.2; done' >/dev/null
	until_true 60 eval 'podman logs $name | grep -q up'
	pod kill -s USR1 "$name" >/dev/null
	[[ $(pod wait "$name") == 5 ]]
	pod start "$name" >/dev/null
	[[ $(pod inspect -f '{{.State.Status}}' "$name") == running ]]
	pod restart -t 0 "$name" >/dev/null
	[[ $(pod inspect -f '{{.State.Status}}' "$name") == running ]]
	pod kill "$name" >/dev/null
	[[ $(pod wait "$name") == 137 ]]
}

@test "podman pause, unpause" {
	prun -d --name "$name" debian sh -c 'i=0; while :; do echo $((i+=1)); sleep 0.1; done' >/dev/null
	until_true 60 eval 'podman logs $name | grep -q 3'
	pod pause "$name" >/dev/null
	[[ $(pod inspect -f '{{.State.Status}}' "$name") == paused ]]
	local before after
	before=$(pod logs "$name" | wc -l)
	sleep 1
	after=$(pod logs "$name" | wc -l)
	echo "$before $after"
	((after - before <= 1))
	pod unpause "$name" >/dev/null
	until_true 60 eval '(($(podman logs $name | wc -l) > after + 3))'
}

@test "podman cp, commit, diff" {
	echo data >"$BATS_TEST_TMPDIR/file"
	prun -d --name "$name" debian sleep 300 >/dev/null
	pod cp "$BATS_TEST_TMPDIR/file" "$name:/tmp/in"
	[[ $(pod exec "$name" cat /tmp/in) == data ]]
	pod exec "$name" sh -c 'echo changed >/etc/marker'
	pod cp "$name:/etc/marker" "$BATS_TEST_TMPDIR/out"
	[[ $(cat "$BATS_TEST_TMPDIR/out") == changed ]]
	pod stop -t 0 "$name" >/dev/null
	pod commit -q "$name" committed >/dev/null
	[[ $(prun --rm committed cat /etc/marker) == changed ]]
}

@test "podman volumes, read-only, tmpfs, user, hostname, workdir, environment" {
	local v=$BATS_TEST_TMPDIR/v
	mkdir "$v"
	echo outside >"$v/f"
	run prun --rm -v "$v:/mnt/v" -v vol:/mnt/n debian sh -c 'cat /mnt/v/f; echo inside >/mnt/v/g; echo kept >/mnt/n/k'
	echo "$output"
	[[ $output == outside && $(cat "$v/g") == inside ]]
	[[ $(prun --rm -v vol:/mnt/n debian cat /mnt/n/k) == kept ]]
	run prun --rm -v "$v:/mnt/v:ro" debian touch /mnt/v/h
	((status != 0))
	[[ ! -e $v/h ]]
	run prun --rm --read-only --tmpfs /scratch:size=8m debian sh -c 'touch /x 2>/dev/null && exit 9; touch /scratch/y && df -k /scratch | tail -1'
	echo "$output"
	[[ $status == 0 && $output == *8192* ]]
	run prun --rm --user 1234:99 --hostname box -w /usr -e K=v debian sh -c 'echo $(id -u):$(id -g) $(hostname) $PWD $K'
	[[ $output == "1234:99 box /usr v" ]]
}

@test "podman limits: memory with the OOM killer, pids" {
	run prun --rm --memory 64m debian cat /sys/fs/cgroup/memory.max
	echo "$output"
	[[ $output == 67108864 ]]
	run prun --name "$name" --memory 64m debian perl -e 'my @a; for (1 .. 400) { my $s = "x" . $_; push @a, $s x 1000000 }'
	echo "$status $output"
	((status == 137))
	run prun --rm --pids-limit 20 debian sh -c 'cat /sys/fs/cgroup/pids.max; for i in $(seq 40); do sleep 5 & done; wait'
	echo "$output"
	[[ $output == 20* && $output == *"annot fork"* ]]
}

@test "podman healthcheck" {
	prun -d --name "$name" --health-cmd 'test -e /tmp/ok' --health-interval disable debian sleep 300 >/dev/null
	run pod healthcheck run "$name"
	((status == 1))
	pod exec "$name" touch /tmp/ok
	pod healthcheck run "$name"
}

@test "podman update and top" {
	prun -d --name "$name" --memory 128m debian sleep 300 >/dev/null
	pod top "$name" -ef | grep -q 'sleep 300'
	# Without options of ps it reads /proc in the mount namespace of the VMM, and is to see nothing of the host there.
	(($(pod top "$name" | wc -l) == 1))
	pod stats --no-stream "$name" >/dev/null
}

@test "podman build with RUN steps" {
	cat >"$BATS_TEST_TMPDIR/Containerfile" <<-END
		FROM debian
		RUN echo built >/etc/built && useradd -m joe
		USER joe
		RUN id -un >/home/joe/who
		CMD cat /etc/built /home/joe/who
	END
	run pod build --network none --isolation oci -q -t built -f "$BATS_TEST_TMPDIR/Containerfile" "$BATS_TEST_TMPDIR"
	echo "$output"
	((status == 0))
	[[ $(prun --rm built) == $'built\njoe' ]]
}

@test "podman sees a killed VMM" {
	prun -d --name "$name" debian sleep 300 >/dev/null
	kill -9 "$(pod inspect -f '{{.State.Pid}}' "$name")"
	[[ $(pod wait "$name") == 137 ]]
	pod rm "$name" >/dev/null
}

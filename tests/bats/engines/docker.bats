#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Docker, as Debian ships it, with coracle as a further runtime. ENGINE_RUNTIME names another one.

bats_require_minimum_version 1.5.0
load ../common

setup_file() {
	need_kvm
	export ENGINE_RUNTIME=${ENGINE_RUNTIME:-$CORACLE_BIN}
	dockerd --add-runtime "coracle=$ENGINE_RUNTIME" --default-runtime coracle --iptables=false --ip6tables=false \
		--bridge=none --exec-opt native.cgroupdriver=cgroupfs >"$BATS_FILE_TMPDIR/dockerd.log" 2>&1 3>&- &
	echo $! >"$BATS_FILE_TMPDIR/pid"
	until_true 90 docker version >/dev/null 2>&1
	tar -C "$CORACLE_ROOTFS" -c . | docker import - debian >/dev/null
}

teardown_file() {
	local pid
	pid=$(cat "$BATS_FILE_TMPDIR/pid")
	kill "$pid"
	until_true 60 eval "! kill -0 $pid 2>/dev/null"
}

setup() {
	name=c$BATS_TEST_NUMBER
}

teardown() {
	docker ps -aq | while read -r c; do docker rm -f "$c" >/dev/null; done
	if pgrep -a coracle-vmm; then
		echo "a VMM was left behind"
		pkill -9 coracle-vmm
		return 1
	fi
}

drun() { docker run --network none "$@"; }

@test "docker run: output, both streams, status, input" {
	run --separate-stderr drun --rm debian sh -c 'echo out; echo err >&2; exit 7'
	echo "$status: $output / $stderr"
	((status == 7))
	[[ $output == out && $stderr == *err* ]]
	run -127 drun --rm debian /no/such
	echo "$output"
	((status == 127))
	run drun --rm debian /etc/passwd
	echo "$output"
	((status == 126))
	[[ $(echo typed | drun -i --rm debian cat) == typed ]]
}

@test "docker run -it: a terminal" {
	run script -qec "docker run --network none -it --rm debian sh -c 'tty; stty size'" /dev/null </dev/null
	echo "$output"
	((status == 0))
	[[ $output == */dev/pts/0* || $output == */dev/console* ]]
}

@test "docker run -d, logs, inspect, exec, top" {
	drun -d --name "$name" debian sh -c 'echo one; exec sleep 300' >/dev/null
	[[ $(docker inspect -f '{{.State.Status}}' "$name") == running ]]
	until_true 60 eval 'docker logs $name | grep -q one'
	[[ $(docker exec "$name" echo hello) == hello ]]
	run docker exec "$name" sh -c 'exit 9'
	((status == 9))
	[[ $(docker exec --user 1000:1001 -e A=b -w /etc "$name" sh -c 'echo $(id -u):$(id -g) $A $PWD') == "1000:1001 b /etc" ]]
	[[ $(echo typed | docker exec -i "$name" cat) == typed ]]
	run docker exec "$name" /no/such
	echo "$status $output"
	((status == 126 || status == 127))
	docker top "$name" >/dev/null
	docker stats --no-stream "$name" | grep -q "$name"
}

@test "docker stop with grace, kill, restart, wait" {
	drun -d --name "$name" debian sh -c 'trap "echo bye; exit 3" TERM; echo up; while :; do sleep 0.2; done' >/dev/null
	until_true 60 eval 'docker logs $name | grep -q up'
	docker stop -t 20 "$name" >/dev/null
	[[ $(docker inspect -f '{{.State.ExitCode}}' "$name") == 3 ]]
	[[ $(docker logs "$name") == *bye* ]]
	docker restart "$name" >/dev/null
	[[ $(docker inspect -f '{{.State.Status}}' "$name") == running ]]
	docker kill "$name" >/dev/null
	[[ $(docker wait "$name") == 137 ]]
}

@test "docker pause, unpause, update" {
	drun -d --name "$name" --memory 128m debian sleep 300 >/dev/null
	docker pause "$name" >/dev/null
	[[ $(docker inspect -f '{{.State.Status}}' "$name") == paused ]]
	docker unpause "$name" >/dev/null
	docker update --pids-limit 33 "$name" >/dev/null
	[[ $(docker exec "$name" cat /sys/fs/cgroup/pids.max) == 33 ]]
}

@test "docker cp, commit, volumes, read-only, tmpfs, user" {
	local v=$BATS_TEST_TMPDIR/v
	mkdir "$v"
	echo outside >"$v/f"
	drun -d --name "$name" -v "$v:/mnt/v" debian sleep 300 >/dev/null
	docker cp "$v/f" "$name:/tmp/in"
	[[ $(docker exec "$name" cat /tmp/in /mnt/v/f) == $'outside\noutside' ]]
	docker exec "$name" sh -c 'echo changed >/etc/marker'
	docker commit "$name" committed >/dev/null
	[[ $(drun --rm committed cat /etc/marker) == changed ]]
	run drun --rm --read-only --tmpfs /scratch:size=8m --user 1234:99 debian sh -c 'touch /x 2>/dev/null && exit 9; touch /scratch/y && id -u'
	echo "$output"
	[[ $status == 0 && $output == 1234 ]]
	[[ $(drun --rm --memory 64m --pids-limit 20 debian cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max) == $'67108864\n20' ]]
}

@test "docker healthcheck, OOM kill" {
	drun -d --name "$name" --health-cmd true --health-interval 1s debian sleep 300 >/dev/null
	until_true 60 eval '[[ $(docker inspect -f "{{.State.Health.Status}}" $name) == healthy ]]'
	run drun --name "$name-2" --memory 64m debian perl -e 'my @a; for (1 .. 400) { my $s = "x" . $_; push @a, $s x 1000000 }'
	echo "$status $output"
	((status == 137))
}

@test "docker build" {
	cat >"$BATS_TEST_TMPDIR/Dockerfile" <<-END
		FROM debian
		RUN echo built >/etc/built
		CMD ["cat", "/etc/built"]
	END
	DOCKER_BUILDKIT=0 docker build -q --network none -t built "$BATS_TEST_TMPDIR"
	[[ $(drun --rm built) == built ]]
}

#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2016,SC2119,SC2154
# Hooks: order, state, namespaces, environment, time limits, and what their failure leaves: nothing.
bats_require_minimum_version 1.5.0
load common

setup_file() { need_kvm; }

# add_hook KIND SCRIPT [JQ]: appends a hook that runs SCRIPT; JQ changes it further.
add_hook() {
	edit ".hooks[\$kind] += [{path: \"/bin/sh\", args: [\"sh\", \"-c\", \$script], env: [\"PATH=$PATH\"]}]
		| .hooks[\$kind][-1] |= (. ${3:+| $3})" --arg kind "$1" --arg script "$2"
}

# note KIND: a hook of that kind writes its name and what it reads to $log.
note() { add_hook "$1" "jq -r '\"$1 \\(.status) \\(.pid > 0)\"' >>$log"; }

prepare() {
	new_bundle "$@"
	log=$BATS_TEST_TMPDIR/log
	: >"$log"
}

# ran: the container ran and its program succeeded.
ran() {
	run_container
	echo "status $status: $output $stderr"
	[[ $status == 0 ]]
}

# The VMM keeps the streams that it is given: bats' own would never end.
in_background() { "$@" >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" </dev/null || { cat "$BATS_TEST_TMPDIR/err" && return 1; }; }

@test "the host's hooks run in order, each with the state of its time" {
	prepare true
	for kind in poststop poststart createContainer createRuntime prestart; do note $kind; done
	add_hook prestart "echo second >>$log"
	ran
	diff "$log" - <<-END
		prestart created true
		second
		createRuntime creating true
		createContainer creating true
		poststart running true
		poststop stopped false
	END
}

@test "a hook that asks for the state has it at once: creating" {
	prepare true
	for kind in prestart createRuntime createContainer; do
		add_hook $kind "start=\$(date +%s%N); \"$CORACLE_BIN\" --root \"$root\" state $id | jq -r .status >>$log; echo \$(((\$(date +%s%N) - start) / 1000000)) >>$log.ms"
	done
	ran
	cat "$log" "$log.ms"
	[[ $(cat "$log") == $'creating\ncreating\ncreating' ]]
	# an answer that is waited for takes 2 s at least
	while read -r ms; do ((ms < 2000)) || return 1; done <"$log.ms"
}

@test "create, start and delete run their hooks, as they were at create" {
	prepare sleep 100
	for kind in prestart poststart poststop; do note $kind; done
	in_background coracle create --bundle "$bundle" --pid-file "$BATS_TEST_TMPDIR/pid" "$id"
	[[ $(cat "$log") == "prestart created true" ]]
	edit 'del(.hooks)'
	coracle start "$id"
	[[ $(tail -n 1 "$log") == "poststart running true" ]]
	coracle delete --force "$id"
	[[ $(tail -n 1 "$log") == "poststop stopped false" ]]
	(($(wc -l <"$log") == 3))
	left_nothing
}

@test "the state names the container, and the pid whose network namespace is the container's" {
	prepare true
	edit '.annotations.mine = "yes"'
	add_hook prestart "cat >$log; readlink /proc/\$(jq .pid $log)/ns/net /proc/self/ns/net >$log.ns; pwd >$log.cwd"
	add_hook createContainer "pid=\$(jq .pid); readlink /proc/\$pid/ns/net /proc/self/ns/net >>$log.ns
		readlink /proc/\$pid/ns/mnt /proc/self/ns/mnt >>$log.ns; pwd >>$log.cwd; ls -d etc usr >>$log.cwd"
	ran
	jq -e --arg id "$id" --arg b "$bundle" '.id == $id and .bundle == $b and .annotations.mine == "yes"
		and (.ociVersion | length > 0)' "$log"
	mapfile -t ns <"$log.ns"
	[[ ${ns[0]} == net:* && ${ns[0]} != "${ns[1]}" ]] # prestart: the runtime's namespace
	[[ ${ns[2]} == "${ns[0]}" && ${ns[3]} == "${ns[0]}" ]]
	[[ ${ns[4]} == mnt:* && ${ns[5]} == "${ns[4]}" ]]
	mapfile -t cwd <"$log.cwd"
	[[ ${cwd[0]} == "$bundle" && ${cwd[1]} == */share/rootfs && ${cwd[2]} == etc && ${cwd[3]} == usr ]]
}

@test "a prestart hook as Docker's: a path in /proc, and an interface moved into the namespace" {
	prepare true
	edit '.hooks.prestart = [{path: $path, env: [$env], args: ["setup", "-c",
		"pid=$(jq .pid) && ip link add hook0 type dummy && ip link set hook0 netns $pid && nsenter -t $pid -n ip -o link show hook0 >$0.link", $log]}]' \
		--arg path "/proc/$$/exe" --arg env "PATH=$PATH" --arg log "$log"
	modprobe dummy || true
	ran
	grep hook0 "$log.link"
	! ip link show hook0 || return 1
}

@test "a hook has the environment and the arguments it is given, and no descriptor of ours" {
	prepare true
	export FROM_THE_CALLER=1
	edit '.hooks.prestart = [
		{path: "/usr/bin/env", args: ["env"], env: ["A=1", "B="]},
		{path: "/bin/sh", args: ["sh", "-c", "env >$0; ls /proc/self/fd >$0.fd; /usr/bin/tr \"\\0\" \" \" </proc/$$/cmdline >$0.args", $log]}]' \
		--arg log "$log"
	exec 7</dev/null
	ran
	exec 7<&-
	if grep FROM_THE_CALLER "$log"; then return 1; fi
	[[ $(cat "$log.fd") == $'0\n1\n2\n3' ]]
	grep -F "sh -c env" "$log.args"
}

@test "what create hooks mount below the root file system is in the container, and not on the host" {
	prepare sh -c 'cat /etc/from-runtime /etc/from-container /etc/from-cwd; rm /etc/from-*'
	own_rootfs
	for name in runtime container cwd; do echo $name >"$bundle/$name" && touch "$bundle/rootfs/etc/from-$name"; done
	add_hook createRuntime "nsenter -m -t \$(jq .pid) mount --bind $bundle/runtime $bundle/rootfs/etc/from-runtime"
	add_hook createContainer "mount --bind $bundle/container $bundle/rootfs/etc/from-container"
	add_hook createContainer "mount --bind $bundle/cwd ./etc/from-cwd"
	run_container
	echo "status $status: $output $stderr"
	[[ $status == 1 && $output == $'runtime\ncontainer\ncwd' ]] # a mount point cannot be removed
	[[ $(cat "$bundle/rootfs"/etc/from-*) == "" ]]
	run grep -F "$bundle" /proc/self/mountinfo
	[[ $output != */etc/from-* ]]
}

@test "startContainer hooks run in the guest, as the container's user, before its program" {
	prepare sh -c 'cat /tmp/log'
	own_rootfs
	edit '.process.user = {uid: 1000, gid: 1000} | .process.env += ["ONE=two"]
		| .mounts += [{destination: "/tmp", type: "tmpfs", source: "tmpfs", options: ["mode=1777"]}]'
	edit '.hooks.startContainer = [
		{path: "/bin/sh", args: ["sh", "-c", "cat >/tmp/state; echo $ONE $(id -u) $PPID >/tmp/log"]},
		{path: "/bin/sh", args: ["hook", "-c", "echo $0 ${ONE-none} >>/tmp/log; grep -c \"\\\"pid\\\":1}\" /tmp/state >>/tmp/log; grep -o \"\\\"status\\\":\\\"created\\\"\" /tmp/state >>/tmp/log"], env: ["PATH=/bin:/usr/bin"], timeout: 60}]'
	ran
	[[ $output == $'two 1000 1\nhook none\n1\n"status":"created"' ]]
}

@test "a failing hook ends create or start in runc's words, and leaves nothing" {
	for kind in prestart createRuntime createContainer startContainer; do
		prepare echo "the program ran"
		edit '.hooks[$kind] = [{path: "/bin/true"}, {path: "/bin/sh", args: ["sh", "-c", "echo said; echo why >&2; exit 3"]}]' \
			--arg kind $kind
		note poststop
		run_container
		fails 1 "error running $kind hook #1: exit status 3, stdout: said, stderr: why"
		[[ $output != *"the program ran"* ]]
		[[ $(cat "$log") == "poststop stopped false" ]]
		left_nothing
	done
}

@test "a failing startContainer hook fails start, and delete runs poststop" {
	prepare true
	edit '.hooks.startContainer = [{path: "/nonexistent"}]'
	note poststop
	in_background coracle create --bundle "$bundle" "$id"
	run coracle start "$id"
	fails 1 "error running startContainer hook #0: /nonexistent: no such file or directory"
	until_true 20 test "$(status_of "$id")" = stopped
	coracle delete "$id"
	[[ $(cat "$log") == "poststop stopped false" ]]
}

@test "a missing program is an error that names it" {
	prepare true
	edit '.hooks.createRuntime = [{path: "/nonexistent/hook"}]'
	run_container
	fails 1 "error running createRuntime hook #0: /nonexistent/hook: No such file or directory"
	left_nothing
}

@test "a hook that runs too long is killed, on the host and in the guest" {
	for kind in prestart startContainer; do
		prepare true
		edit '.hooks[$kind] = [{path: "/bin/sh", args: ["sh", "-c", "sleep 987 & wait"], timeout: 2}]' --arg kind $kind
		run_container
		fails 1 "error running $kind hook #0: hook ran past specified timeout of 2.0s"
		if pgrep -f "sleep 987"; then return 1; fi
		left_nothing
		# what it writes meanwhile is no reason to let it
		edit '.hooks[$kind][0].args[2] = "while :; do echo flood; done"' --arg kind $kind
		run_container
		fails 1 "error running $kind hook #0: hook ran past specified timeout of 2.0s"
		left_nothing
	done
}

@test "a hook that a signal ends is named with it, in runc's words" {
	for kind in prestart startContainer; do
		prepare true
		edit '.hooks[$kind] = [{path: "/bin/sh", args: ["sh", "-c", "echo ouch; kill -SYS $$"]}]' --arg kind $kind
		run_container
		fails 1 "error running $kind hook #0: signal: bad system call, stdout: ouch, stderr:"
		left_nothing
	done
}

@test "poststart: an error that ends the container since spec 1.3, a warning before" {
	prepare sleep 100
	edit '.ociVersion = "1.3.0" | .hooks.poststart = [{path: "/bin/false"}]'
	note poststop
	run_container
	fails 1 "error running poststart hook #0: exit status 1"
	[[ $(cat "$log") == "poststop stopped false" ]]
	left_nothing

	prepare echo fine
	edit '.ociVersion = "1.2.0" | .hooks.poststart = [{path: "/bin/false"}]'
	note poststart
	ran
	[[ $output == fine ]]
	[[ $stderr == *"warning"*"error running poststart hook #0: exit status 1"* ]]
	[[ $(cat "$log") == "poststart running true" ]]
}

@test "poststop hooks all run, and fail with a warning" {
	prepare true
	edit '.hooks.poststop = [{path: "/bin/false"}]'
	note poststop
	ran
	[[ $stderr == *"error running poststop hook #0: exit status 1"* ]]
	[[ $(cat "$log") == "poststop stopped false" ]]
	left_nothing
}

# blocked_create: a create whose hook does not end by itself; $pid is its command's.
blocked_create() {
	prepare true
	add_hook createRuntime "echo \$\$ >$log; exec sleep 986"
	note poststop
	"$CORACLE_BIN" --root "$root" create --bundle "$bundle" "$id" >/dev/null 2>"$log.err" </dev/null 3>&- &
	pid=$!
	until_true 60 test -s "$log"
}

nothing_is_left() {
	if pgrep -f "sleep 986"; then return 1; fi
	grep "poststop stopped false" "$log"
	left_nothing
}

@test "create that is told to end while a hook runs ends the hook and leaves nothing" {
	blocked_create
	kill -TERM $pid
	status=0
	wait $pid || status=$?
	((status == 143))
	nothing_is_left
}

@test "delete --force ends a create whose hook does not end" {
	blocked_create
	coracle delete --force "$id"
	wait $pid && return 1
	grep "error running createRuntime hook #0: coracle-vmm was ended meanwhile" "$log.err"
	nothing_is_left
}

#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The command line itself: what needs no VM.
bats_require_minimum_version 1.5.0
load common

@test "--help lists every command, and each command has help of its own" {
	run coracle --help
	((status == 0))
	for command in check checkpoint create delete events exec features kill list pause ps restore resume run spec start state timeline \
		update; do
		[[ $output == *"   $command "* ]]
		run -0 coracle "$command" --help
		[[ $output == $'NAME:\n   coracle '"$command - "*$'\n\nUSAGE:\n   coracle '"$command"* ]]
		run -0 coracle "$command" -h
		run -0 coracle --help
		[[ $output == $'NAME:\n   coracle - Open Container Initiative runtime'* ]]
	done
}

@test "the program goes by the name it was called by" {
	ln -s "$CORACLE_BIN" "$BATS_TEST_TMPDIR/runc"
	run -0 "$BATS_TEST_TMPDIR/runc" --help
	[[ ${lines[1]} == "   runc - Open Container Initiative runtime"* ]]
	run -0 "$BATS_TEST_TMPDIR/runc" delete -h
	[[ ${lines[1]} == "   runc delete - "* ]]
	run -0 "$BATS_TEST_TMPDIR/runc" --version
	[[ ${lines[0]} == "runc version "* ]]
}

@test "checkpoint and restore are refused by name, whatever the options" {
	run coracle checkpoint --image-path /tmp "$id"
	fails 1 "checkpoint is not supported"
	run coracle restore --image-path=/tmp -d "$id"
	fails 1 "restore is not supported"
}

@test "options may follow the id, but for exec and ps, whose further arguments are not coracle's" {
	run coracle delete nobody --force
	((status == 0))
	run coracle exec nobody --tty
	fails 255 "container does not exist"
	run coracle ps nobody -f
	fails 1 "container does not exist"
}

@test "--version names the version and the spec" {
	run -0 coracle --version
	[[ ${lines[0]} =~ ^"coracle version "[0-9]+\.[0-9]+\.[0-9]+ ]]
	[[ ${lines[1]} == commit:\ ?* ]]
	[[ ${lines[2]} =~ ^spec:\ 1\.[23]\. ]]
}

@test "unknown commands and options are named" {
	run coracle frobnicate
	fails 1 "No help topic for 'frobnicate'"
	run coracle frobnicate --help
	fails 1 "No help topic for 'frobnicate'"
	run coracle --frobnicate list
	fails 1 "unknown option '--frobnicate'"
	run coracle create --frobnicate x
	fails 1 "unknown option '--frobnicate'"
	run coracle create
	fails 1 "an argument is missing: usage: coracle create"
	run coracle state a b
	fails 1 "too many arguments"
	run coracle create --bundle
	fails 1 "option '--bundle' needs a value"
}

@test "engines' global options are accepted" {
	run -0 coracle --log "$BATS_TEST_TMPDIR/log" --log-format json --systemd-cgroup --rootless auto --criu criu --debug list
}

@test "every option that the runc of this machine has is known" {
	command -v runc >/dev/null || skip "no runc"
	for command in "" create delete events exec kill list pause ps resume run spec start state update; do
		theirs=$(runc ${command:+"$command"} --help | grep -oE '^ +--?[a-z].*' | grep -oE -- '--[a-z][a-z0-9-]*' | sort -u)
		ours=$("$CORACLE_BIN" ${command:+"$command"} --help)
		[[ $ours ]]
		for option in $theirs; do
			[[ $ours =~ $option([ ,]|$) || $option == --help ]] || { echo "$command: no $option"; false; }
		done
	done
}

@test "an error goes to standard error and, as JSON, to --log" {
	run --separate-stderr coracle --log "$BATS_TEST_TMPDIR/log" --log-format json state nobody
	((status == 1))
	[[ ! $output && $stderr == *"container does not exist"* ]]
	run -0 jq -r '.level, .msg' "$BATS_TEST_TMPDIR/log"
	[[ ${lines[0]} == error && ${lines[1]} == *"container does not exist"* ]]
	jq -e '.time | test("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z$")' "$BATS_TEST_TMPDIR/log"
}

@test "spec writes a config.json as runc's, once" {
	run -0 coracle spec --bundle "$bundle"
	jq -e '.ociVersion and .process.terminal and .process.args == ["sh"] and .root.path == "rootfs"' "$bundle/config.json"
	run coracle spec --bundle "$bundle"
	fails 1 "file config.json exists"
	run coracle spec --bundle /nowhere
	fails 1 "cannot open the bundle '/nowhere'"
}

@test "spec --rootless maps this user to root, and no id of another" {
	run -0 coracle spec --rootless --bundle "$bundle"
	jq -e '.linux | (.namespaces | any(.type == "user")) and (has("resources") | not)
		and .uidMappings == [{"containerID": 0, "hostID": 0, "size": 1}] and .gidMappings == .uidMappings' "$bundle/config.json"
	jq -e '[.mounts[].options[]? | select(test("^[ug]id="))] == []' "$bundle/config.json"
}

@test "features is JSON that names versions, namespaces and mount options" {
	run -0 --separate-stderr coracle features
	jq -e '.ociVersionMin == "1.0.0" and (.ociVersionMax | test("^1[.][23]"))
		and (.linux.namespaces | index("pid")) and (.mountOptions | index("ro"))' <<<"$output"
}

@test "list of nothing: a header, an empty JSON list, no ids" {
	run -0 coracle list
	[[ ${lines[0]} == ID*PID*STATUS*BUNDLE*CREATED*OWNER* && ${#lines[@]} == 1 ]]
	run -0 coracle list --format json
	jq -e 'type == "array" and length == 0 or . == null' <<<"$output"
	run -0 coracle list --quiet
	[[ ! $output ]]
	run coracle list --format xml
	fails 1 "expected table or json, got 'xml'"
}

@test "ids: taken from runc's alphabet, never a path" {
	for bad in "" . .. a/b ../x "a b" $'a\nb' "$(printf 'x%.0s' {1..300})"; do
		run coracle state "$bad"
		((status == 1))
		run coracle create --bundle "$bundle" "$bad"
		((status == 1))
		run coracle delete --force "$bad"
		((status == 1))
	done
	left_nothing
}

@test "delete: an error for an id that is not there, silence with --force" {
	run coracle delete nobody
	fails 1 "container does not exist"
	run -0 coracle delete --force nobody
	[[ ! $output ]]
}

@test "kill and start: ids that are not there, signals there are not" {
	run coracle kill nobody
	fails 1 "container does not exist"
	for signal in NOSUCH 65; do
		run coracle kill nobody "$signal" # the container comes first, as in runc
		fails 1 "container does not exist"
	done
	run coracle start nobody
	fails 1 "container does not exist"
}

@test "check says that a container can start, as text and as JSON" {
	need_kvm
	run -0 coracle check
	[[ ${lines[-1]} == "A container can start here." ]]
	[[ $output == *"native"* ]]
	run -0 coracle check --json
	jq -e '.ok and (.checks | map(select(.required)) | all(.ok))' <<<"$output"
}

@test "a state directory that others can write to is refused" {
	mkdir -p "$root"
	chmod 0777 "$root"
	run coracle state x
	fails 1 "is writable by others"
	chmod 0700 "$root"
}

@test "standard output that cannot be written is an error, whoever writes to it" {
	for command in --version --help "list --help" list features; do
		# shellcheck disable=SC2086
		run --separate-stderr bash -c '"$@" >/dev/full' bash "$CORACLE_BIN" --root "$root" $command
		((status == 1))
		[[ $stderr == *"No space left on device"* ]]
	done
}

@test "a limit on the size of files is an error, not the end by a signal" {
	"$CORACLE_BIN" spec --bundle "$bundle"
	edit '.process.terminal = false'
	mkdir "$bundle/rootfs"
	run --separate-stderr bash -c 'ulimit -f 0; "$@" 2>&1 | cat; exit "${PIPESTATUS[0]}"' bash \
		"$CORACLE_BIN" --root "$root" create --bundle "$bundle" "$id"
	fails 1 "File too large"
	[[ ${#lines[@]} == 1 ]]
	left_nothing
}

@test "a stream is closed and there is no /dev/null: said where it can be" {
	run --separate-stderr unshare --mount sh -c 'mount -t tmpfs tmpfs /dev && exec "$@" <&-' sh "$CORACLE_BIN" --root "$root" list
	fails 1 "descriptor 0 is closed, and '/dev/null' cannot be opened"
}

@test "a root that is no path, a log that nobody reads" {
	for command in "create --bundle $bundle" state list "delete --force"; do
		# shellcheck disable=SC2086
		run "$CORACLE_BIN" --root "" $command "$([[ $command == list ]] || echo "$id")"
		((status == 1))
	done
	run "$CORACLE_BIN" --root "" list
	fails 1 "--root: an empty path"
	mkfifo "$BATS_TEST_TMPDIR/fifo"
	run timeout 60 "$CORACLE_BIN" --root "$root" --log "$BATS_TEST_TMPDIR/fifo" list
	fails 1 "cannot open the log file"
}

@test "an error is one line, whatever the bundle's strings hold" {
	"$CORACLE_BIN" spec --bundle "$bundle"
	mkdir "$bundle/rootfs"
	edit '.process.terminal = false | .linux.cgroupsPath = "/a\nfake: line" | .annotations["coracle.vm.kernel"] = "/no\n\u001b[31mwhere"'
	run --separate-stderr coracle create --bundle "$bundle" "$id"
	((status == 1 && ${#stderr_lines[@]} == 1))
	left_nothing
}

@test "a state directory on a file system without locks: refused, nothing is left" {
	"$CORACLE_BIN" spec --bundle "$bundle"
	mkdir "$bundle/rootfs"
	edit '.process.terminal = false'
	run strace -qq -o /dev/null -e trace=flock -e inject=flock:error=ENOLCK:when=1 \
		"$CORACLE_BIN" --root "$root" create --bundle "$bundle" "$id"
	fails 1 "cannot lock container '$id': No locks available"
	left_nothing
}

@test "delete --force takes no container away whose lock it has not" {
	mkdir -p "$root/$id"
	chmod 700 "$root" "$root/$id"
	echo garbage >"$root/$id/state.json"
	run strace -qq -o /dev/null -e trace=flock -e inject=flock:error=ENOLCK:when=1+ \
		"$CORACLE_BIN" --root "$root" delete --force "$id"
	fails 1 "cannot lock container '$id'"
	[[ -e $root/$id/state.json ]]
	run -0 coracle delete --force "$id" # but what nobody can read
	[[ ! -e $root/$id ]]
}

@test "what a failed create cannot remove is said" {
	"$CORACLE_BIN" spec --bundle "$bundle"
	mkdir "$bundle/rootfs"
	edit '.process.terminal = false | .annotations["coracle.vm.kernel"] = "/nowhere"'
	run strace -qq -o /dev/null -e trace=unlinkat -e inject=unlinkat:error=EIO:when=1+ \
		"$CORACLE_BIN" --root "$root" create --bundle "$bundle" "$id"
	fails 1 "warning: cannot remove '$root/$id': Input/output error"
	run -0 coracle delete --force "$id"
	left_nothing
}

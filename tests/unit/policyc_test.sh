#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# policyc_test.sh POLICYC TOP: policyc as the build and a person use it, on the real policies. TAP.
set -uo pipefail

policyc=$1 top=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
count=0
failures=0

check() # condition's result, what
{
	local verdict=ok

	((++count))
	if (($1)); then
		verdict="not ok"
		((++failures))
	fi
	echo "$verdict $count - $2"
	if (($1)); then
		sed 's/^/# /' "$work/out"
	fi
}

# fresh: the policies, to be spoilt.
fresh()
{
	rm -rf "$work/seccomp"
	mkdir "$work/seccomp"
	cp "$top"/seccomp/*.policy "$work/seccomp"
}

# refused FILE TEXT: the lint must end with 1 and say TEXT of that file's last line, whichever policy
# includes it.
refused()
{
	local line status

	line=$(wc -l <"$work/seccomp/$1")
	"$policyc" --lint "$work"/seccomp/*.policy >"$work/out" 2>&1
	status=$?
	check $((status != 1)) "seccomp/$1 with a bad line is refused"
	grep -qF -- "policyc: seccomp/$1:$line: $2" "$work/out"
	check $? "as '$2'"
}

# spoilt FILE LINE TEXT: with that line at its end.
spoilt()
{
	fresh
	printf '%s\n' "$2" >>"$work/seccomp/$1"
	refused "$1" "$3"
}

# Every file, those that others include too: none is left out, none is for nothing.
"$policyc" --lint "$top"/seccomp/*.policy >"$work/out" 2>&1
check $? "all policies pass"
[[ ! -s $work/out ]]
check $? "in silence"

kinds=()
for file in "$top"/seccomp/*.policy; do
	name=${file##*/}
	if grep -qxF "@include $name" "$top"/seccomp/*.policy; then
		continue
	fi
	kinds+=("$name")
done
for name in "${kinds[@]}"; do
	grep -qF "'${name%.policy}'" "$top/seccomp/meson.build"
	check $? "$name is compiled"
done

# A reason that names a file names one that is there.
while read -r file; do
	find "$top/vmm" "$top/lib" "$top/seccomp" -name "$file" | grep -q .
	check $? "reasons name $file"
done < <(grep -ohE '\b[a-z0-9_]+\.[ch]\b' "$top"/seccomp/*.policy | sort -u)

# The table of docs/seccomp.md is this one.
"$policyc" --table "$top"/seccomp/{main,vcpu,fs,vsock,rng,balloon,console,waiter}.policy >"$work/out" 2>&1
check $? "the table is made"
[[ $(wc -l <"$work/out") == $((${#kinds[@]} + 2)) ]]
check $? "of every kind"
while read -r row; do
	grep -qxF -- "$row" "$top/docs/seccomp.md"
	check $? "docs/seccomp.md has: $row"
	# the same numbers beside those of others
	[[ $row =~ ^\|\ (\`[a-z]+\`)\ \|\ ([0-9]+)\ \|\ ([0-9]+)\  ]] || continue
	row="| ${BASH_REMATCH[1]} ${BASH_REMATCH[2]}, ${BASH_REMATCH[3]} |"
	grep -qF -- "$row" "$top/docs/seccomp.md"
	check $? "docs/seccomp.md compares: $row"
done <"$work/out"

spoilt fs.policy 'read # again' "read: the same rule stands at seccomp/common.policy:"
spoilt fs.policy 'openat int2 == O_CLOEXEC # x' "openat: the rule at seccomp/fs.policy:"
spoilt fs.policy 'statx # x' "statx: this makes the narrower rule at seccomp/fs.policy:"
spoilt common.policy 'gettid' "the reason is missing"
spoilt common.policy 'ioctl # x' "ioctl needs a condition on argument 1"
spoilt worker.policy 'mmap arg2 == PROT_EXEC # x' "mmap must exclude PROT_EXEC"
spoilt rng.policy 'mprotect # x' "mprotect needs a condition on argument 2"
spoilt rng.policy 'prctl # x' "prctl needs a condition on argument 0"
spoilt rng.policy 'clone # x' "clone needs a condition on argument 0"
spoilt rng.policy 'io_uring_enter # x' "io_uring_enter is never allowed"
spoilt rng.policy 'raed # x' "unknown system call 'raed'"
spoilt rng.policy 'aarch64: raed # x' "unknown system call 'raed'"
spoilt rng.policy 'open # x' "aarch64 has no system call 'open'"
spoilt rng.policy 'aarch64: open # x' "aarch64 has no system call 'open'"
spoilt rng.policy 'gettid arg0 < 0 # x' "the condition is never true"
fresh
echo '# nothing' >"$work/seccomp/nothing.policy"
printf '@include nothing.policy\n' >>"$work/seccomp/rng.policy"
refused rng.policy "the include adds nothing: 'nothing.policy' has no rule"
# Twice for the other architecture only: seen when that one is compiled.
spoilt rng.policy 'aarch64: epoll_pwait # x' "epoll_pwait: this makes the narrower rule at seccomp/worker.policy:"

# The build's form does all that, too, and leaves nothing behind.
"$policyc" --output "$work/p.c" "$work"/seccomp/rng.policy >"$work/out" 2>&1
[[ $? == 1 && ! -e $work/p.c ]]
check $? "what is wrong for arm64 fails x86-64's build"
fresh
for arch in x86_64 aarch64; do
	"$policyc" --arch "$arch" --output "$work/p.c" "$work"/seccomp/rng.policy >"$work/out" 2>&1
	check $? "compiles for $arch"
	grep -q "Made by policyc for $arch" "$work/p.c"
	check $? "and says so"
done
for bad in "--lint" "--arch mips --lint $work/seccomp/rng.policy" "--what" "$work/seccomp/rng.policy" \
	"--lint --table $work/seccomp/rng.policy"; do
	# shellcheck disable=SC2086 # words
	"$policyc" $bad >"$work/out" 2>&1
	[[ $? == 2 ]] && grep -q '^usage: policyc' "$work/out"
	check $? "usage: policyc ${bad//$work\//}"
done
"$policyc" --lint "$work/none.policy" >"$work/out" 2>&1
[[ $? == 1 ]] && grep -q "cannot read '$work/none.policy'" "$work/out"
check $? "a file that is not there"

echo "1..$count"
exit $((failures > 0))

# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What several of the tools need. Source it after `set -euo pipefail`; $0's name goes in front of messages.

# Where everything expensive to make is kept, by key.
# shellcheck disable=SC2034
cache_root=${CORACLE_CACHE:-/var/cache/coracle}

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() {
	say "$*"
	exit "${die_status:-1}"
}

# print_help FILE: the comment block at the head of a script, after the licence line.
print_help() { sed -n '3,/^[^#]/{s/^# \{0,1\}//p}' "$1"; }

need_root() { ((EUID == 0)) || die "must run as root"; }

# key_of WORD…: a short name for everything that decides what a cached thing contains.
key_of() { printf '%s\0' "$@" | sha256sum | cut -c1-16; }

# cached DIR COMMAND…: makes sure that DIR is there. Only when it is not, COMMAND is called with a new
# directory as its last word and the result renamed to DIR: a DIR that exists is complete, and of
# several callers at once one works while the others wait. What COMMAND starts inherits the lock, so that a next
# caller does not meet what is left of a killed one.
cached() {
	local dir=$1
	shift
	[[ -d $dir ]] && return 0
	mkdir -p "${dir%/*}"
	(
		flock 9
		[[ -d $dir ]] && exit 0
		tmp=$dir.tmp
		rm -rf "$tmp"
		mkdir -p "$tmp"
		"$@" "$tmp"
		mv -T "$tmp" "$dir"
	) 9>"$dir.lock"
}

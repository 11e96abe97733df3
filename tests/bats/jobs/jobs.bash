# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2154
# What the jobs share. CORACLE_ROOTFS_JOBS is the root file system (tools/rootfs --variant jobs).

# job NAME SCRIPT: runs SCRIPT with bash in crun and then in coracle, each with a root file system of its own and the same
# config.json. What they print is the outcome and must be the same; what they write to /out/notes is shown, not compared.
# $job_user, when set, is who runs it. The outputs stay in $BATS_TEST_TMPDIR/NAME.{crun,coracle}.
job() {
	local name=$1 script=$2 runtime
	for runtime in crun coracle; do
		one_job "$runtime" "$name" "$script"
	done
	diff "$BATS_TEST_TMPDIR/$name.crun" "$BATS_TEST_TMPDIR/$name.coracle"
}

# The capabilities that engines give by default.
job_caps='["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD", "CAP_NET_BIND_SERVICE",
	"CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT"]'

one_job() {
	local runtime=$1 name=$2 script=$3 status=0 uid gid
	local out=$BATS_TEST_TMPDIR/$name.$runtime share=$BATS_TEST_TMPDIR/$name.$runtime.d
	uid=$(awk -F: -v u="${job_user:-root}" '$1 == u { print $3 }' "$CORACLE_ROOTFS_JOBS/etc/passwd")
	gid=$(awk -F: -v u="${job_user:-root}" '$1 == u { print $4 }' "$CORACLE_ROOTFS_JOBS/etc/passwd")
	install -d -o "$uid" -g "$gid" "$share"
	new_bundle bash -euo pipefail -c "$script"
	# 1.0.2: crun 1.8 takes no later version.
	edit '.ociVersion = "1.0.2" | .annotations["coracle.vm.memory"] = "1G" | .process.user = {uid: $uid, gid: $gid}
		| .process.env += ["HOME=/tmp", "LANG=C.UTF-8"] | .process.capabilities = {bounding: $caps, effective: $caps, permitted: $caps}
		| .process.rlimits = [] | .mounts += [{destination: "/out", source: $out, type: "bind", options: ["bind"]}]' \
		--argjson uid "$uid" --argjson gid "$gid" --argjson caps "$job_caps" --arg out "$share"
	own_rootfs "$CORACLE_ROOTFS_JOBS"
	if [[ $runtime == crun ]]; then
		crun run --bundle "$bundle" "$id" >"$out" 2>"$out.err" </dev/null || status=$?
	else
		coracle run --bundle "$bundle" "$id" >"$out" 2>"$out.err" </dev/null || status=$?
	fi
	umount "$bundle/rootfs"
	umount "$BATS_TEST_TMPDIR/overlay"
	[[ ! -s $share/notes ]] || sed "s/^/# $name in $runtime: /" "$share/notes" >&3
	((status == 0)) || {
		echo "$name in $runtime: status $status"
		tail -n 20 "$out" "$out.err"
		return 1
	}
}

#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A Debian system works on the shared file system: what packages, databases, compilers and git ask of it.
bats_require_minimum_version 1.5.0
load common

# work SCRIPT: runs it in the developer's Debian, on a writable root file system of its own.
work() {
	need_kvm
	new_bundle /bin/bash -euc "$1"
	own_rootfs "$CORACLE_ROOTFS_DEV"
	edit '.annotations["coracle.vm.memory"] = "512M" | .process.env += ["HOME=/root"] | .process.capabilities |= map_values(. + ["CAP_CHOWN",
		"CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP", "CAP_SYS_CHROOT", "CAP_MKNOD"])'
	run_container
	echo "$output"
	echo "$stderr"
	((status == 0))
}

@test "apt-get installs and removes packages, offline" {
	work 'apt-get -q update; apt-get -q -y install hello jq; hello; echo "{\"a\": 1}" | jq .a; apt-get -q -y remove hello; test ! -e /usr/bin/hello; dpkg --audit'
	[[ $output == *"Hello, world!"* ]]
}

@test "gcc and make build and run a program" {
	work 'mkdir /w; cd /w; printf "#include <stdio.h>\nint main(void){puts(\"compiled\");return 0;}\n" >a.c; printf "a: a.c\n\tcc -O2 -o a a.c\n" >Makefile; make; ./a; make | grep "up to date"'
	[[ $output == *compiled* ]]
}

@test "git: commit, clone, gc, status" {
	work 'git config --global user.email a@b; git config --global user.name n; git init -q /r; cd /r; for i in $(seq 50); do echo $i >f$i; done
		git add .; git commit -qm one; git mv f1 g1; git commit -qam two; git gc -q; git clone -q /r /s; cd /s; git fsck; test -z "$(git status --porcelain)"; git log --oneline | wc -l'
	[[ $output == *2 ]]
}

@test "SQLite: transactions, WAL with its shared mapping, integrity" {
	work 'cd /root; sqlite3 d "pragma journal_mode=wal; create table t(a); with recursive c(x) as (select 1 union all select x+1 from c where x<2000) insert into t select x from c; update t set a=a+1; pragma wal_checkpoint; pragma integrity_check; select sum(a) from t"
		sqlite3 e "pragma journal_mode=delete; begin; create table t(a); insert into t values(1); rollback; pragma integrity_check"'
	[[ $output == *2003000* ]]
	[[ $(grep -c '^ok$' <<<"$output") == 2 ]]
}

@test "hard links, renames, sparse files, O_TMPFILE, xattrs, locks, mmap" {
	work 'mkdir /w; cd /w; python3 - <<"P"
import os, fcntl, mmap, errno
open("a", "w").write("one")
os.link("a", "b"); assert os.stat("a").st_nlink == 2 and os.stat("a").st_ino == os.stat("b").st_ino
os.rename("b", "c"); assert not os.path.exists("b") and open("c").read() == "one"
os.symlink("c", "l"); assert os.readlink("l") == "c"
f = os.open("s", os.O_RDWR | os.O_CREAT); os.pwrite(f, b"x", 50 << 20)
assert os.stat("s").st_size == (50 << 20) + 1 and os.stat("s").st_blocks < 1000
assert os.lseek(f, 0, os.SEEK_DATA) >= (50 << 20) - 65536 and os.lseek(f, 0, os.SEEK_HOLE) == 0
os.posix_fallocate(f, 0, 4096)
t = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o600); os.write(t, b"tmp")
os.link("/proc/self/fd/%d" % t, "named", src_dir_fd=os.open("/", os.O_RDONLY), follow_symlinks=True); assert open("named").read() == "tmp"
os.setxattr("a", "user.k", b"v"); assert os.getxattr("a", "user.k") == b"v" and os.listxattr("a") == ["user.k"]
os.removexattr("a", "user.k")
g = open("a", "r+"); fcntl.lockf(g, fcntl.LOCK_EX)
if os.fork() == 0:
    try: fcntl.lockf(open("a", "r+"), fcntl.LOCK_EX | fcntl.LOCK_NB); os._exit(1)
    except OSError as e: os._exit(0 if e.errno in (errno.EAGAIN, errno.EACCES) else 2)
assert os.wait()[1] == 0
h = open("a"); fcntl.flock(h, fcntl.LOCK_SH)
m = os.open("m", os.O_RDWR | os.O_CREAT); os.ftruncate(m, 8192)
v = mmap.mmap(m, 8192); v[5000:5003] = b"map"; v.flush(); assert os.pread(m, 3, 5000) == b"map"
os.makedirs("d/e/f"); os.rename("d/e", "x"); assert os.path.isdir("x/f")
try: os.rename("x", "x/f/y"); raise SystemExit("moved into itself")
except OSError as e: assert e.errno == errno.EINVAL
for i in range(3000): open("d/%d" % i, "w").close()
assert len(os.listdir("d")) == 3000
os.chmod("a", 0o4755); os.chown("a", 5, 6); assert os.stat("a").st_mode & 0o7777 == 0o755
print("all well")
P'
	[[ $output == *"all well"* ]]
}

@test "what the container wrote is on the host once it has ended, whole and rightly owned" {
	own=$BATS_TEST_TMPDIR/own
	mkdir "$own"
	need_kvm
	new_bundle /bin/bash -euc 'head -c 3000000 /dev/zero | tr "\0" x >/own/big; python3 -c "
import mmap, os
f = os.open(\"/own/mapped\", os.O_RDWR | os.O_CREAT); os.ftruncate(f, 4096)
mmap.mmap(f, 4096)[0:4] = b\"data\"
os._exit(0)"; mkdir /own/d; echo x >/own/d/f; chown -R 12:34 /own/d'
	edit '.root.path = $r | .mounts += [{destination: "/own", source: $s, type: "bind", options: ["bind"]}]
		| .process.capabilities |= map_values(. + ["CAP_CHOWN"])' --arg s "$own" --arg r "$CORACLE_ROOTFS_DEV"
	own_rootfs "$CORACLE_ROOTFS_DEV"
	run_container
	((status == 0))
	[[ $(stat -c %s "$own/big") == 3000000 && $(tr -d x <"$own/big" | wc -c) == 0 ]]
	[[ $(head -c 4 "$own/mapped") == data ]]
	[[ $(stat -c '%u %g' "$own/d/f") == "12 34" ]]
}

@test "files of many owners and modes keep them" {
	work 'cd /tmp; useradd -m -u 4000 u; su u -c "umask 077; echo secret >/home/u/f; mkdir /home/u/d; ln -s f /home/u/l"; stat -c "%u %a" /home/u/f; chmod 2775 /home/u/d; chgrp 60 /home/u/d; touch /home/u/d/n; stat -c %g /home/u/d/n
		su nobody -s /bin/sh -c "cat /home/u/f" 2>/dev/null || echo denied'
	[[ $output == *$'4000 600\n60\ndenied' ]]
}

@test "an overlay inside the container, its layers in a volume: whiteouts, opaque directories, copy-up of links" {
	local own=$BATS_TEST_TMPDIR/overlay/volume
	need_kvm
	new_bundle /bin/bash -euc 'cd /o; mkdir -p low/d/e up work m; echo low >low/f; echo low >low/d/g; ln -s f low/l
		mount -t overlay overlay -o lowerdir=low,upperdir=up,workdir=work m
		rm m/f; rm -r m/d; mkdir m/d; touch m/d/new; test "$(ls m/d)" = new; chown -h 5 m/l
		umount m; mount -t overlay overlay -o lowerdir=low,upperdir=up,workdir=work m
		test ! -e m/f; test "$(ls m/d)" = new; test "$(stat -c %u m/l)" = 5; grep /o/m /proc/mounts; cat low/d/g'
	own_rootfs
	mkdir "$own"
	edit '.mounts += [{destination: "/o", source: $s, type: "bind", options: ["bind"]}]
		| .process.capabilities |= map_values(. + ["CAP_SYS_ADMIN", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_MKNOD"])' --arg s "$own"
	run_container
	echo "$output" "$stderr"
	((status == 0))
	[[ $output == *upperdir=up*low ]]
	# the marks are the guest's: the host does not take its directory for an opaque one
	run python3 -c 'import os, sys; print(os.getxattr(sys.argv[1], "user.coracle.trusted.overlay.opaque"), os.listxattr(sys.argv[1]))' "$own/up/d"
	[[ $output == "b'y' "* && $output != *"'trusted."* ]]
}

@test "what a container had written and mapped when it was killed is on the host" {
	need_kvm
	new_bundle python3 -c 'import mmap, time
f = open("/f", "w+b")
f.truncate(48 << 20)
m = mmap.mmap(f.fileno(), 48 << 20)
for i in range(0, 48 << 20, 4096): m[i] = 77
open("/ready", "w").write("written")
time.sleep(100000)'
	own_rootfs "$CORACLE_ROOTFS_DEV"
	edit '.annotations["coracle.vm.memory"] = "512M"'
	coracle run --detach --pid-file "$BATS_TEST_TMPDIR/pid" --bundle "$bundle" "$id" </dev/null >/dev/null 2>&1
	until_true 120 grep -q written "$bundle/rootfs/ready"
	start=$(date +%s%N)
	coracle kill "$id" KILL
	until_true 60 eval '[[ $(status_of "$id") == stopped ]]'
	echo "ended after $((($(date +%s%N) - start) / 1000000)) ms"
	# 12288 pages, each with its byte
	[[ $(tr -cd M <"$bundle/rootfs/f" | wc -c) == 12288 ]]
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container specification as the guest sees it: what `coracle` made of config.json, in one
 * flat, versioned, bounded message that coracle-init unpacks without a heap. It travels to the
 * guest as the file /spec in the initial cpio; a struct gproc alone travels on the control channel
 * for exec.
 *
 * The encoder trusts its caller (host, after full checks); the decoder trusts nobody: every count,
 * length and enum is bounded, and strings point into the message, arrays into the caller's arena.
 */
#ifndef LIB_GSPEC_H
#define LIB_GSPEC_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base.h"
#include "lib/buf.h"

#define GSPEC_MAGIC   0x43505347u /* "GSPC" */
#define GSPEC_VERSION 3

#define GSPEC_BYTES_MAX       (4u << 20)   /* whole message; config.json itself is capped lower */
#define GSPEC_STR_MAX         (128u << 10) /* like the kernel's MAX_ARG_STRLEN */
#define GSPEC_PATH_MAX        4095u
#define GSPEC_ARGS_MAX        16384u
#define GSPEC_MOUNTS_MAX      1024u
#define GSPEC_PATHS_MAX       1024u
#define GSPEC_GROUPS_MAX      65536u
#define GSPEC_RLIMITS_MAX     16u
#define GSPEC_SYSCTLS_MAX     256u
#define GSPEC_DEVICES_MAX     256u
#define GSPEC_CGFILES_MAX     128u
#define GSPEC_HOOKS_MAX       256u
#define GSPEC_IDMAPS_MAX      340u  /* of each kind; user_namespaces(7): what the kernel takes */
#define GSPEC_PROPAGATION_MAX 8u    /* of one mount */
#define GSPEC_BPF_MAX         4096u /* instructions of a device-cgroup or seccomp program */

enum gcap_set {
	GCAP_BOUNDING,
	GCAP_EFFECTIVE,
	GCAP_INHERITABLE,
	GCAP_PERMITTED,
	GCAP_AMBIENT,
	GCAP_SETS
};

/* gproc.flags */
#define GPROC_NO_NEW_PRIVS  BIT(0)
#define GPROC_TERMINAL      BIT(1)
#define GPROC_HAS_UMASK     BIT(2)
#define GPROC_HAS_OOM_SCORE BIT(3)
#define GPROC_HAS_CAPS \
	BIT(4) /* without it: all sets empty, as runc treats missing capabilities \
				    */
#define GPROC_STDIN_NULL  BIT(5) /* no such stream: /dev/null in the guest */
#define GPROC_STDOUT_NULL BIT(6)
#define GPROC_STDERR_NULL BIT(7)
#define GPROC_HAS_SCHED   BIT(8)  /* sched */
#define GPROC_HAS_IOPRIO  BIT(9)  /* ioprio */
#define GPROC_CPUS_FIRST  BIT(10) /* cpus_first, see there */
#define GPROC_CPUS_FINAL  BIT(11) /* cpus_final */
#define GPROC_PLAIN_LINES \
	BIT(12) /* its terminal leaves LF alone: what it shows goes to no terminal */
#define GPROC_FLAGS_ALL 0x1fffu

struct gstrv {
	uint32_t n;
	const char **v; /* n strings; decode adds a NULL at v[n] */
};

struct grlimit {
	uint32_t resource;   /* RLIMIT_* of Linux, same on every architecture we support */
	uint64_t soft, hard; /* UINT64_MAX: unlimited */
};

/* sched_setattr(2)'s fields, without those for utilisation clamps. */
struct gsched {
	uint32_t policy; /* SCHED_* */
	int32_t nice;
	uint32_t priority;
	uint64_t flags;                     /* SCHED_FLAG_* */
	uint64_t runtime, deadline, period; /* nanoseconds */
};

struct gproc {
	struct gstrv args, env;
	const char *cwd;
	uint32_t uid, gid;
	uint32_t n_groups;
	const uint32_t *groups;
	uint32_t umask;
	uint32_t flags; /* GPROC_* */
	int32_t oom_score_adj;
	uint64_t caps[GCAP_SETS]; /* bit N: capability N */
	uint32_t n_rlimits;
	const struct grlimit *rlimits;
	uint16_t rows, cols; /* initial console size, 0: not given */
	struct gsched sched;
	uint32_t ioprio; /* ioprio_set(2)'s value: class << 13 | priority */
	/* Bit N: CPU N of the guest. While an exec'd process prepares itself, and from its execve on;
	 * without the latter all that its cgroup has. The container's own are the default of every
	 * exec'd process, and not for its first one. */
	uint64_t cpus_first, cpus_final;
	/* An exec'd process's group, below the container's: "/", "/a/b". "" or NULL: the container's own, or, when
	 * that takes no process, the one that its first process is in. */
	const char *cgroup;
};

enum gmount_kind {
	GMOUNT_FS,     /* a guest file system: fstype, data */
	GMOUNT_BIND,   /* bind of `source`: a path below the share's top ("m3/name", "m3") */
	GMOUNT_CGROUP, /* the container's cgroup v2 view */
	/* What is mounted at dest: its flags, and its file system's flags and data. */
	GMOUNT_REMOUNT,
	GMOUNT_REMOUNT_BIND, /* the same of that mount only */
	GMOUNT_KINDS
};

struct gmount {
	uint32_t kind;        /* enum gmount_kind */
	const char *source;   /* GMOUNT_FS: device name; GMOUNT_BIND: share entry */
	const char *dest;     /* absolute path in the container */
	const char *fstype;   /* GMOUNT_FS */
	const char *data;     /* file-system options, comma separated */
	uint64_t flags;       /* MS_* of mount(2), without MS_BIND, MS_REC, propagation */
	uint64_t clear_flags; /* MS_* options given in the negative ("exec", "dev"...), for remounts
			       */
	uint32_t n_propagation;
	/* MS_PRIVATE, MS_SLAVE, MS_SHARED, MS_UNBINDABLE, | MS_REC, one after the other */
	uint32_t propagation[GSPEC_PROPAGATION_MAX];
	uint32_t is_dir;  /* GMOUNT_BIND: the source is a directory (else a file) */
	uint32_t copy_up; /* tmpcopyup: fill the tmpfs with what it hides */
};

struct gdevice {
	const char *path;
	uint32_t type; /* S_IFCHR, S_IFBLK, S_IFIFO */
	uint32_t major, minor, mode, uid, gid;
};

struct gkeyval {
	const char *key, *value;
};

/* A hook: in gspec the startContainer ones, which run in the guest as the container's user. */
struct ghook {
	const char *path;   /* absolute */
	struct gstrv args;  /* none: the path alone */
	struct gstrv env;   /* in the guest none means the process's own, as in runc */
	uint32_t timeout_s; /* 0: none */
};

/* gspec.namespaces: the ones the container gets of its own inside the guest. */
#define GNS_PID    BIT(0)
#define GNS_MOUNT  BIT(1)
#define GNS_UTS    BIT(2)
#define GNS_IPC    BIT(3)
#define GNS_CGROUP BIT(4)
#define GNS_NET    BIT(5) /* the guest's own network namespace serves: the VM is the boundary */
#define GNS_TIME   BIT(6) /* with time_offset */
#define GNS_ALL    0x7fu  /* all but the user namespace */
#define GNS_USER   BIT(7) /* with uid_maps and gid_maps: it owns the others, but for time */
#define GNS_VALID  0xffu

/* gspec.flags */
#define GSPEC_ROOT_READONLY BIT(0)
#define GSPEC_DEBUG         BIT(1) /* init reports each step on the kernel log */
#define GSPEC_PERSONALITY   BIT(2) /* personality counts */
#define GSPEC_SECCOMP       BIT(3) /* seccomp counts: every process of the container gets it */
#define GSPEC_FLAGS_ALL     0xfu

/* gspec.time_offset */
enum gtime_clock { GTIME_MONOTONIC, GTIME_BOOTTIME, GTIME_CLOCKS };

struct gtime_offset { /* added to the guest's clock */
	int64_t secs;
	uint32_t nanosecs; /* below 10^9 */
};

/* Ids inside + i in the container are outside + i in the guest, which are the host's: the file
 * server takes the guest's ids as they are. */
struct gidmap {
	uint32_t inside, outside, count; /* count at least 1; neither range reaches UINT32_MAX */
};

struct gspec {
	uint32_t flags;
	uint32_t namespaces;               /* GNS_* */
	const char *root;                  /* share entry that is the root file system: "rootfs" */
	const char *hostname, *domainname; /* "" : leave */
	uint64_t root_propagation;         /* MS_*, 0: private, as runc */
	uint32_t n_mounts;
	const struct gmount *mounts;
	struct gstrv masked_paths, readonly_paths;
	uint32_t n_sysctls;
	const struct gkeyval *sysctls; /* key as path below /proc/sys: "net/ipv4/ip_forward" */
	uint32_t n_devices;
	const struct gdevice *devices; /* beyond the default ones */
	uint32_t n_cgfiles;
	const struct gkeyval
		*cgfiles;   /* cgroup v2 file name and value for the container's cgroup */
	uint32_t n_devprog; /* BPF_PROG_TYPE_CGROUP_DEVICE program, 0: none */
	const uint64_t *devprog;
	uint32_t n_hooks;
	const struct ghook *hooks;
	const char *hook_state; /* what hooks read: the state's JSON but for "N}", the pid that the
				   container sees itself as; "" without hooks */
	uint32_t personality;   /* of personality(2) */
	struct gtime_offset time_offset[GTIME_CLOCKS];
	uint32_t seccomp_flags;  /* SECCOMP_FILTER_FLAG_* */
	uint32_t n_seccomp;      /* instructions */
	const uint64_t *seccomp; /* each a struct sock_filter: code, jt, jf, k from bit 0 on */
	uint32_t n_uid_maps, n_gid_maps; /* with GNS_USER both, else none */
	const struct gidmap *uid_maps, *gid_maps;
	struct gproc proc;
};

/* Memory for the arrays of a decoded message. Bump allocation from a fixed block; 16-byte aligned.
 */
struct garena {
	uint8_t *mem;
	size_t cap, used;
};

/* Enough for any message: for an arena of fixed size. */
#define GSPEC_ARENA_MAX (2 * GSPEC_BYTES_MAX + (64u << 10))

/* How large an arena must be for any message of len bytes to decode (an upper bound). */
size_t gspec_arena_bytes(size_t len);

void gspec_encode(struct wbuf *b, const struct gspec *s); /* ask wbuf_ok() after */
void gproc_encode(struct wbuf *b, const struct gproc *p);

/* 0, or -EPROTO (malformed: *ret_what names the part), -ENOMEM (arena too small), -EPROTONOSUPPORT
 * (another version). Strings in the result point into the message: it must outlive the result. */
int gspec_decode(struct rbuf *b, struct garena *a, struct gspec *ret_s, const char **ret_what);
int gproc_decode(struct rbuf *b, struct garena *a, struct gproc *ret_p, const char **ret_what);

#endif

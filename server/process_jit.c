/* SPDX-License-Identifier: Apache-2.0 */
/* The perf map that a client's JIT writes: read on as it grows. */
#include <errno.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "server/process.h"

#define CHUNK_BYTES ((size_t)1 << 20)
#define NFS_MAGIC 0x6969
#define FUSE_MAGIC 0x65735546
#define SMB2_MAGIC 0xfe534d42
#define CIFS_MAGIC 0xff534d42

/* A file behind which another program or host stands could keep the loop waiting. */
static bool is_local(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return false;
	switch ((uint32_t)fs.f_type) {
	case NFS_MAGIC:
	case FUSE_MAGIC:
	case SMB2_MAGIC:
	case CIFS_MAGIC:
		return false;
	default:
		return true;
	}
}

void process_perf_map(struct process *p, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    (st.st_uid != p->owner && st.st_uid != 0) || !is_local(fd)) {
		fd_close(&fd);
		return;
	}
	fd_close(&p->perf_map);
	p->perf_map = fd;
	p->perf_read = 0;
}

int process_jit_read(struct process *p)
{
	struct stat st;

	if (p->perf_map < 0 || fstat(p->perf_map, &st) < 0 ||
	    (uint64_t)st.st_size <= p->perf_read || p->perf_read >= NATIVE_JIT_BYTES_MAX)
		return 0;
	char *CLEANUP(cleanup_free) bytes = malloc(CHUNK_BYTES);
	ssize_t n = bytes ? pread(p->perf_map, bytes, CHUNK_BYTES, (off_t)p->perf_read) : -1;
	size_t consumed = 0;

	if (!bytes)
		return -ENOMEM;
	if (n <= 0)
		return 0;
	int rc = native_process_jit(p->native, bytes, (size_t)n, &consumed);

	/* A line that fills the whole chunk is no line. */
	p->perf_read += !consumed && (size_t)n == CHUNK_BYTES ? CHUNK_BYTES : consumed;
	return rc;
}

/* Makes the n-th write, fsync, link or rename under a directory fail. Loaded with LD_PRELOAD into
 * the real binary, so the product carries no hook for it.
 *
 *   FAULT_DIR   only operations on files under this directory count
 *   FAULT_AT    which of them fails, from 1
 *   FAULT_STAYS if set, all after it fail too, as on a disk that is full
 *   FAULT_LOG   file that gets one line an operation that failed
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_long count;

static int under(const char *path) {
  const char *dir = getenv("FAULT_DIR");
  return dir && path && strncmp(path, dir, strlen(dir)) == 0;
}

static int fd_under(int fd) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, path, sizeof path - 1);
  if (n < 0) return 0;
  path[n] = 0;
  return under(path);
}

static void note(const char *what) {
  const char *log = getenv("FAULT_LOG");
  if (!log) return;
  int fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND, 0644);
  if (fd < 0) return;
  syscall(SYS_write, fd, what, strlen(what));
  syscall(SYS_write, fd, "\n", 1);
  close(fd);
}

/* Whether this operation is one that fails. */
static int fails(const char *what) {
  const char *at = getenv("FAULT_AT");
  long wanted = at ? atol(at) : 0;
  long n = atomic_fetch_add(&count, 1) + 1;
  int hit = wanted > 0 && (n == wanted || (n > wanted && getenv("FAULT_STAYS")));
  if (hit) note(what);
  return hit;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *data, size_t n) {
  if (fd_under(fd) && fails("write")) { errno = ENOSPC; return -1; }
  return REAL(write)(fd, data, n);
}

int fsync(int fd) {
  if (fd_under(fd) && fails("fsync")) { errno = EIO; return -1; }
  return REAL(fsync)(fd);
}

int fdatasync(int fd) {
  if (fd_under(fd) && fails("fdatasync")) { errno = EIO; return -1; }
  return REAL(fdatasync)(fd);
}

int link(const char *from, const char *to) {
  if (under(to) && fails("link")) { errno = EIO; return -1; }
  return REAL(link)(from, to);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags) {
  if (under(to) && fails("linkat")) { errno = EIO; return -1; }
  return REAL(linkat)(from_dir, from, to_dir, to, flags);
}

int rename(const char *from, const char *to) {
  if (under(to) && fails("rename")) { errno = EIO; return -1; }
  return REAL(rename)(from, to);
}

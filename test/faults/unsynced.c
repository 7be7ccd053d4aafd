/*
 * A layer between a process and the C library that remembers which bytes were synced, so that a
 * test can make of a folder what a power cut would have left. Loaded with LD_PRELOAD.
 *
 * Below UNSYNCED_ROOT it notes in the file UNSYNCED_JOURNAL, one line each, as it happens:
 *   C <inode> <path>      a file was made             T <inode>            it was emptied
 *   R <inode> <from>\t<to> it was renamed             U <inode> <path>     its name was removed
 *   S <inode> <bytes>     its first bytes are synced  D <path>             a folder's names are synced
 * Files that lose their last name are kept by a link in UNSYNCED_GRAVES, under their inode, since a
 * removal that was not synced may be undone. Syncs are only noted, not done: nothing depends on the
 * real disk, and rounds are fast. While the file UNSYNCED_FAIL exists, syncs of logs
 * fail with EIO; while UNSYNCED_FAIL_FOLDER does, those of folders.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int journal = -1;
static const char *root;
static const char *graves;

__attribute__((constructor)) static void begin(void) {
  root = getenv("UNSYNCED_ROOT");
  graves = getenv("UNSYNCED_GRAVES");
  const char *path = getenv("UNSYNCED_JOURNAL");
  if (root == NULL || graves == NULL || path == NULL) return;
  journal = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int watched(const char *path) {
  return journal >= 0 && path != NULL && strncmp(path, root, strlen(root)) == 0;
}

/* One line in one write: lines of several threads do not mix. */
static void note(const char *format, ...) {
  char line[3 * PATH_MAX];
  va_list values;
  va_start(values, format);
  int length = vsnprintf(line, sizeof line, format, values);
  va_end(values);
  int kept = errno;
  if (length > 0) syscall(SYS_write, journal, line, (size_t)length);
  errno = kept;
}

static unsigned long inode_of(const char *path) {
  struct stat info;
  return stat(path, &info) == 0 ? (unsigned long)info.st_ino : 0;
}

static void bury(const char *path, unsigned long inode) {
  char grave[PATH_MAX];
  snprintf(grave, sizeof grave, "%s/%lu", graves, inode);
  int kept = errno;
  int linked = link(path, grave);
  (void)linked;
  errno = kept;
}

static void note_opened(const char *path, unsigned long before, int truncated) {
  unsigned long now = inode_of(path);
  if (now == 0) return;
  if (before == 0) note("C %lu %s\n", now, path);
  else if (truncated) note("T %lu\n", now);
}

typedef int (*open_call)(const char *, int, mode_t);

static int open_with(const char *name, const char *path, int flags, mode_t mode) {
  open_call real = (open_call)dlsym(RTLD_NEXT, name);
  if (!watched(path) || (flags & (O_CREAT | O_TRUNC)) == 0) return real(path, flags, mode);
  unsigned long before = inode_of(path);
  int fd = real(path, flags, mode);
  if (fd >= 0) note_opened(path, before, flags & O_TRUNC);
  return fd;
}

int open(const char *path, int flags, ...) {
  va_list values;
  va_start(values, flags);
  mode_t mode = (flags & O_CREAT) != 0 ? va_arg(values, mode_t) : 0;
  va_end(values);
  return open_with("open", path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  va_list values;
  va_start(values, flags);
  mode_t mode = (flags & O_CREAT) != 0 ? va_arg(values, mode_t) : 0;
  va_end(values);
  return open_with("open64", path, flags, mode);
}

typedef FILE *(*fopen_call)(const char *, const char *);

static FILE *fopen_with(const char *name, const char *path, const char *mode) {
  fopen_call real = (fopen_call)dlsym(RTLD_NEXT, name);
  if (!watched(path) || mode[0] == 'r') return real(path, mode);
  unsigned long before = inode_of(path);
  FILE *file = real(path, mode);
  if (file != NULL) note_opened(path, before, mode[0] == 'w');
  return file;
}

FILE *fopen(const char *path, const char *mode) { return fopen_with("fopen", path, mode); }
FILE *fopen64(const char *path, const char *mode) { return fopen_with("fopen64", path, mode); }

int rename(const char *from, const char *to) {
  int (*real)(const char *, const char *) = dlsym(RTLD_NEXT, "rename");
  if (!watched(from)) return real(from, to);
  unsigned long moved = inode_of(from);
  unsigned long replaced = inode_of(to);
  if (replaced != 0) bury(to, replaced);
  int result = real(from, to);
  if (result == 0) note("R %lu %s\t%s\n", moved, from, to);
  return result;
}

int unlink(const char *path) {
  int (*real)(const char *) = dlsym(RTLD_NEXT, "unlink");
  if (!watched(path)) return real(path);
  unsigned long inode = inode_of(path);
  if (inode != 0) bury(path, inode);
  int result = real(path);
  if (result == 0) note("U %lu %s\n", inode, path);
  return result;
}

/* True while the file exists that the variable names. */
static int is_set(const char *variable) {
  const char *path = getenv(variable);
  return path != NULL && access(path, F_OK) == 0;
}

/* 1 when the sync is of a watched file and was noted, -1 when it is to fail, 0 for other files. */
static int note_sync(int fd) {
  char link[64];
  char path[PATH_MAX];
  struct stat info;
  if (journal < 0) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0 || fstat(fd, &info) != 0) return 0;
  path[length] = 0;
  if (!watched(path)) return 0;
  int is_folder = S_ISDIR(info.st_mode);
  int is_log = length > 4 && strcmp(path + length - 4, ".log") == 0;
  if ((is_log && is_set("UNSYNCED_FAIL")) || (is_folder && is_set("UNSYNCED_FAIL_FOLDER"))) {
    errno = EIO;
    return -1;
  }
  if (is_folder) note("D %s\n", path);
  else note("S %lu %lu\n", (unsigned long)info.st_ino, (unsigned long)info.st_size);
  return 1;
}

int fsync(int fd) {
  int (*real)(int) = dlsym(RTLD_NEXT, "fsync");
  int noted = note_sync(fd);
  if (noted != 0) return noted > 0 ? 0 : -1;
  return real(fd);
}

int fdatasync(int fd) {
  int (*real)(int) = dlsym(RTLD_NEXT, "fdatasync");
  int noted = note_sync(fd);
  if (noted != 0) return noted > 0 ? 0 : -1;
  return real(fd);
}

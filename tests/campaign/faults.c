/* Loaded with LD_PRELOAD. Below the folder $FAULT_BELOW it counts every call that changes the disk and lets the one with
   number $FAULT_AT, and with $FAULT_STAYS all later ones, fail with the errno $FAULT_ERRNO; or, if $FAULT_SIGNAL is set,
   sends that signal to the process instead, after half of the bytes of a write. $FAULT_SHORT: every write takes half.
   $FAULT_SLEEP: microseconds before each call. Each call is a line of the file $FAULT_LOG. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long number;
static int for_process;

static long setting(const char *name) {
    const char *text = getenv(name);
    return text ? atol(text) : 0;
}

static int is_below(const char *path) {
    const char *below = getenv("FAULT_BELOW");
    char full[2 * PATH_MAX], here[PATH_MAX];
    if (!below || !path) return 0;
    if (path[0] == '/') snprintf(full, sizeof full, "%s", path);
    else snprintf(full, sizeof full, "%s/%s", getcwd(here, sizeof here) ? here : "", path);
    return !strncmp(full, below, strlen(below));
}

static int path_of(int fd, char *path, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, size - 1);
    path[length < 0 ? 0 : length] = 0;
    return length > 0;
}

/* Count a call: 0 if it shall succeed, 1 if it shall fail (errno is set), 2 if the process shall be killed. */
static int disturbed(const char *call, const char *path) {
    if (!is_below(path)) return 0;
    pthread_mutex_lock(&lock);
    if (for_process != getpid()) { for_process = getpid(); number = 0; }
    long at = setting("FAULT_AT"), own = ++number;
    const char *log = getenv("FAULT_LOG");
    if (log) {
        char line[PATH_MAX + 64];
        int length = snprintf(line, sizeof line, "%s %s\n", call, path);
        int fd = syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND, 0644);
        syscall(SYS_write, fd, line, length);
        syscall(SYS_close, fd);
    }
    pthread_mutex_unlock(&lock);
    if (setting("FAULT_SLEEP")) usleep(setting("FAULT_SLEEP"));
    if (!at || own < at || (own > at && !setting("FAULT_STAYS"))) return 0;
    if (setting("FAULT_SIGNAL")) return 2;
    errno = setting("FAULT_ERRNO");
    return 1;
}

static void end(void) { kill(getpid(), setting("FAULT_SIGNAL")); }

#define NEXT(type, name, ...) static type (*next)(__VA_ARGS__); if (!next) next = dlsym(RTLD_NEXT, name)
#define STOP_IF_DISTURBED(call, path, failed) \
    do { int found = disturbed(call, path); if (found == 1) return failed; if (found == 2) end(); } while (0)

static int changes(int flags) { return flags & (O_CREAT | O_TRUNC) || (flags & O_ACCMODE) != O_RDONLY; }

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        NEXT(int, #name, const char *, int, ...); \
        va_list rest; va_start(rest, flags); mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; va_end(rest); \
        if (changes(flags)) STOP_IF_DISTURBED("open", path, -1); \
        return next(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name) \
    int name(int at, const char *path, int flags, ...) { \
        NEXT(int, #name, int, const char *, int, ...); \
        va_list rest; va_start(rest, flags); mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; va_end(rest); \
        if (changes(flags)) STOP_IF_DISTURBED("open", path, -1); \
        return next(at, path, flags, mode); \
    }
OPENAT(openat)
OPENAT(openat64)

#define FOPEN(name) \
    FILE *name(const char *path, const char *mode) { \
        NEXT(FILE *, #name, const char *, const char *); \
        if (strpbrk(mode, "wa+")) STOP_IF_DISTURBED("open", path, NULL); \
        return next(path, mode); \
    }
FOPEN(fopen)
FOPEN(fopen64)

static size_t half(size_t size) { return size > 1 ? size / 2 : size; }

ssize_t write(int fd, const void *bytes, size_t size) {
    NEXT(ssize_t, "write", int, const void *, size_t);
    char path[PATH_MAX];
    int found = getenv("FAULT_BELOW") && path_of(fd, path, sizeof path) ? disturbed("write", path) : 0;
    if (found == 1) return -1;
    if (found == 2) { next(fd, bytes, half(size)); end(); }
    return next(fd, bytes, setting("FAULT_SHORT") && is_below(path) ? half(size) : size);
}

#define PWRITE(name, offset) \
    ssize_t name(int fd, const void *bytes, size_t size, offset at) { \
        NEXT(ssize_t, #name, int, const void *, size_t, offset); \
        char path[PATH_MAX]; \
        int found = getenv("FAULT_BELOW") && path_of(fd, path, sizeof path) ? disturbed("write", path) : 0; \
        if (found == 1) return -1; \
        if (found == 2) { next(fd, bytes, half(size), at); end(); } \
        return next(fd, bytes, setting("FAULT_SHORT") && is_below(path) ? half(size) : size, at); \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t writev(int fd, const struct iovec *parts, int count) {
    NEXT(ssize_t, "writev", int, const struct iovec *, int);
    char path[PATH_MAX];
    if (getenv("FAULT_BELOW") && path_of(fd, path, sizeof path)) STOP_IF_DISTURBED("write", path, -1);
    return next(fd, parts, count);
}

int rename(const char *from, const char *to) {
    NEXT(int, "rename", const char *, const char *);
    STOP_IF_DISTURBED("rename", to, -1);
    return next(from, to);
}

int renameat(int from_at, const char *from, int to_at, const char *to) {
    NEXT(int, "renameat", int, const char *, int, const char *);
    STOP_IF_DISTURBED("rename", to, -1);
    return next(from_at, from, to_at, to);
}

int mkdir(const char *path, mode_t mode) {
    NEXT(int, "mkdir", const char *, mode_t);
    struct stat there;
    if (stat(path, &there)) STOP_IF_DISTURBED("mkdir", path, -1); /* else it fails anyway */
    return next(path, mode);
}

#define ON_FD(name, call) \
    int name(int fd) { \
        NEXT(int, #name, int); \
        char path[PATH_MAX]; \
        if (getenv("FAULT_BELOW") && path_of(fd, path, sizeof path)) STOP_IF_DISTURBED(call, path, -1); \
        return next(fd); \
    }
ON_FD(fsync, "fsync")
ON_FD(fdatasync, "fsync")

#define TRUNCATE(name, offset) \
    int name(int fd, offset size) { \
        NEXT(int, #name, int, offset); \
        char path[PATH_MAX]; \
        if (getenv("FAULT_BELOW") && path_of(fd, path, sizeof path)) STOP_IF_DISTURBED("truncate", path, -1); \
        return next(fd, size); \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

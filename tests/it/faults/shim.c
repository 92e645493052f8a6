// Preloaded into the program: makes the FAULT_AT-th system call on files below FAULT_FOLDER fail, and appends the name of the
// call and of the fault to FAULT_LOG. Which fault it is depends on the call and on FAULT_KIND.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_int calls;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int is_below(const char *path) {
    const char *folder = getenv("FAULT_FOLDER");
    return folder && path && strncmp(path, folder, strlen(folder)) == 0;
}

static int is_file_below(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return is_below(path);
}

// Returns the fault of this call, or 0. The errors in the list take turns; -1 is a short write.
static int fault(const char *call, const int *errors, int count) {
    const char *at = getenv("FAULT_AT"), *kind = getenv("FAULT_KIND"), *log = getenv("FAULT_LOG");
    if (!at || !kind || !log || atomic_fetch_add(&calls, 1) + 1 != atoi(at)) return 0;
    int error = errors[atoi(kind) % count];
    char line[64];
    int length = snprintf(line, sizeof line, "%s %d\n", call, error);
    int fd = REAL(open)(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (fd >= 0) {
        if (REAL(write)(fd, line, length) < 0) abort();
        REAL(close)(fd);
    }
    if (error > 0) errno = error;
    return error;
}

#define FAULT(...) fault(__func__, (const int[]){__VA_ARGS__}, sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

ssize_t write(int fd, const void *bytes, size_t count) {
    int error = is_file_below(fd) ? FAULT(ENOSPC, EIO, EINTR, -1) : 0;
    if (error > 0) return -1;
    return REAL(write)(fd, bytes, error < 0 && count > 1 ? count / 2 : count);
}

ssize_t read(int fd, void *bytes, size_t count) {
    if (is_file_below(fd) && FAULT(EIO, EINTR)) return -1;
    return REAL(read)(fd, bytes, count);
}

int fsync(int fd) { return is_file_below(fd) && FAULT(EIO, ENOSPC, EINTR) ? -1 : REAL(fsync)(fd); }

int fdatasync(int fd) { return is_file_below(fd) && FAULT(EIO, ENOSPC, EINTR) ? -1 : REAL(fdatasync)(fd); }

int ftruncate64(int fd, off64_t length) {
    return is_file_below(fd) && FAULT(EIO, EINTR) ? -1 : REAL(ftruncate64)(fd, length);
}

int rename(const char *from, const char *to) {
    return is_below(to) && FAULT(EXDEV, ENOSPC, EIO) ? -1 : REAL(rename)(from, to);
}

int unlink(const char *path) { return is_below(path) && FAULT(EIO, EACCES) ? -1 : REAL(unlink)(path); }

int mkdir(const char *path, mode_t mode) {
    return is_below(path) && FAULT(ENOSPC, EACCES) ? -1 : REAL(mkdir)(path, mode);
}

#define OPEN(name)                                                                 \
    int name(const char *path, int flags, ...) {                                   \
        va_list arguments;                                                         \
        va_start(arguments, flags);                                                \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(arguments, mode_t) : 0; \
        va_end(arguments);                                                         \
        if (is_below(path) && FAULT(EMFILE, ENOSPC, EACCES, EINTR)) return -1;     \
        return REAL(name)(path, flags, mode);                                      \
    }
OPEN(open64)
#undef open
OPEN(open)

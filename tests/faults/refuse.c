/* Preloaded (LD_PRELOAD), refuses what a process does below a folder, from some call on, as a full disk or a lost right would.

REFUSE_BELOW: the folder. REFUSE_COUNT: a file of 8 bytes in which all processes count their calls. REFUSE_FROM: the first call that is refused.
REFUSE_ERRNO: with what; EROFS, EACCES and EPERM refuse what opens for writing, EMFILE what opens, EOPNOTSUPP hard links, all others what writes or makes.
*/
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPENS = 1, OPENS_TO_WRITE = 2, MAKES = 4, WRITES = 8, LINKS = 16 };

static unsigned long *count;
static unsigned long from;
static int number, kinds;
static char below[4096];

__attribute__((constructor)) static void begin(void) {
    const char *folder = getenv("REFUSE_BELOW"), *file = getenv("REFUSE_COUNT");
    if (!folder || !file) return;
    int descriptor = open(file, O_RDWR);
    void *shared = descriptor < 0 ? MAP_FAILED : mmap(0, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (descriptor >= 0) close(descriptor);
    if (shared == MAP_FAILED) return;
    snprintf(below, sizeof below, "%s/", folder);
    from = strtoul(getenv("REFUSE_FROM"), 0, 10);
    number = atoi(getenv("REFUSE_ERRNO"));
    kinds = number == EMFILE ? OPENS : number == EOPNOTSUPP ? LINKS : number == EROFS || number == EACCES || number == EPERM ? OPENS_TO_WRITE | MAKES : MAKES | WRITES;
    count = shared;
}

static int refused(int kind, const char *path) {
    char whole[8192];
    if (!count || !(kind & kinds) || !path) return 0;
    if (path[0] != '/') { /* of the current folder */
        if (!getcwd(whole, 4096)) return 0;
        strcat(whole, "/");
        strncat(whole, path, 4000);
        path = whole;
    }
    if (strncmp(path, below, strlen(below))) return 0;
    if (__sync_add_and_fetch(count, 1) < from) return 0;
    if (getenv("REFUSE_LOG")) dprintf(2, "refused %d %s\n", kind, path);
    errno = number;
    return 1;
}

static int refused_of(int descriptor) {
    char link[64], path[4096];
    int before = errno;
    if (!count || !(kinds & WRITES)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t size = readlink(link, path, sizeof path - 1);
    errno = before;
    if (size < 0) return 0;
    path[size] = 0;
    return refused(WRITES, path);
}

static int kind_of(const char *path, int flags) {
    if ((flags & O_ACCMODE) == O_RDONLY) return OPENS;
    struct stat found;
    int before = errno, is_new = (flags & O_CREAT) && stat(path, &found);
    errno = before;
    return OPENS | OPENS_TO_WRITE | (is_new ? MAKES : 0);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define MODE(last) \
    va_list list; \
    va_start(list, last); \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0; \
    va_end(list)
#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        MODE(flags); \
        return refused(kind_of(path, flags), path) ? -1 : REAL(name)(path, flags, mode); \
    }
#define OPENAT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        MODE(flags); \
        int is_whole = folder == AT_FDCWD || path[0] == '/'; \
        return is_whole && refused(kind_of(path, flags), path) ? -1 : REAL(name)(folder, path, flags, mode); \
    }
#define FOPEN(name) \
    FILE *name(const char *path, const char *mode) { \
        int flags = mode[0] == 'r' && !strchr(mode, '+') ? O_RDONLY : O_WRONLY | O_CREAT; \
        return refused(kind_of(path, flags), path) ? 0 : REAL(name)(path, mode); \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
FOPEN(fopen)
FOPEN(fopen64)

int mkdir(const char *path, mode_t mode) { return refused(MAKES, path) ? -1 : REAL(mkdir)(path, mode); }
int mkdirat(int folder, const char *path, mode_t mode) {
    return folder == AT_FDCWD && refused(MAKES, path) ? -1 : REAL(mkdirat)(folder, path, mode);
}
int link(const char *path, const char *other) { return refused(MAKES | LINKS, other) ? -1 : REAL(link)(path, other); }
int linkat(int a, const char *path, int b, const char *other, int flags) {
    return b == AT_FDCWD && refused(MAKES | LINKS, other) ? -1 : REAL(linkat)(a, path, b, other, flags);
}
int symlink(const char *path, const char *other) { return refused(MAKES, other) ? -1 : REAL(symlink)(path, other); }
int symlinkat(const char *path, int folder, const char *other) {
    return folder == AT_FDCWD && refused(MAKES, other) ? -1 : REAL(symlinkat)(path, folder, other);
}
int rename(const char *path, const char *other) {
    return kinds & OPENS_TO_WRITE && refused(MAKES, other) ? -1 : REAL(rename)(path, other);
}
ssize_t write(int descriptor, const void *bytes, size_t size) {
    return refused_of(descriptor) ? -1 : REAL(write)(descriptor, bytes, size);
}
ssize_t writev(int descriptor, const struct iovec *parts, int size) {
    return refused_of(descriptor) ? -1 : REAL(writev)(descriptor, parts, size);
}
ssize_t pwrite(int descriptor, const void *bytes, size_t size, off_t at) {
    return refused_of(descriptor) ? -1 : REAL(pwrite)(descriptor, bytes, size, at);
}
ssize_t pwrite64(int descriptor, const void *bytes, size_t size, off64_t at) {
    return refused_of(descriptor) ? -1 : REAL(pwrite64)(descriptor, bytes, size, at);
}
int ftruncate(int descriptor, off_t size) { return refused_of(descriptor) ? -1 : REAL(ftruncate)(descriptor, size); }
int ftruncate64(int descriptor, off64_t size) { return refused_of(descriptor) ? -1 : REAL(ftruncate64)(descriptor, size); }
int posix_fallocate(int descriptor, off_t at, off_t size) {
    return refused_of(descriptor) ? number : REAL(posix_fallocate)(descriptor, at, size);
}
int posix_fallocate64(int descriptor, off64_t at, off64_t size) {
    return refused_of(descriptor) ? number : REAL(posix_fallocate64)(descriptor, at, size);
}

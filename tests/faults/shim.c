/* Loaded with LD_PRELOAD: makes the n-th write to a chosen file fail, and logs every address or name outside this computer.
 *
 * qf_arm(path, n, error, for_ever): from now on the n-th write, sync, truncation, creation, renaming or deletion whose file's path holds
 * `path` fails with `error`; for_ever: all later ones too. qf_disarm() returns how many such operations were seen.
 * QF_CONNECT_LOG=FILE: connect and sendto to anything but 127.0.0.0/8, ::1 and Unix sockets are written to FILE and refused;
 * so are look-ups of names other than localhost and this computer's own.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static char watched[512];
static long fail_at, seen;
static int fail_error, fail_for_ever, armed;

void qf_arm(const char *path, long n, int error, int for_ever) {
    strncpy(watched, path, sizeof watched - 1);
    fail_at = n, seen = 0, fail_error = error, fail_for_ever = for_ever, armed = 1;
}

long qf_disarm(void) {
    armed = 0;
    return seen;
}

static int fails(const char *path) {
    if (!armed || !path || !strstr(path, watched)) return 0;
    seen++;
    if (seen != fail_at && !(fail_for_ever && seen > fail_at)) return 0;
    errno = fail_error;
    return 1;
}

static int fails_fd(int fd) {
    if (!armed) return 0;
    char link[64], path[1024];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return fails(path);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *data, size_t size) { return fails_fd(fd) ? -1 : NEXT(write)(fd, data, size); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return fails_fd(fd) ? -1 : NEXT(pwrite)(fd, data, size, at); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    return fails_fd(fd) ? -1 : NEXT(pwrite64)(fd, data, size, at);
}
ssize_t writev(int fd, const struct iovec *parts, int count) { return fails_fd(fd) ? -1 : NEXT(writev)(fd, parts, count); }
ssize_t sendfile(int to, int from, off_t *at, size_t size) { return fails_fd(to) ? -1 : NEXT(sendfile)(to, from, at, size); }
ssize_t sendfile64(int to, int from, off64_t *at, size_t size) {
    return fails_fd(to) ? -1 : NEXT(sendfile64)(to, from, at, size);
}
ssize_t copy_file_range(int from, off64_t *at, int to, off64_t *into, size_t size, unsigned flags) {
    return fails_fd(to) ? -1 : NEXT(copy_file_range)(from, at, to, into, size, flags);
}
FILE *fopen(const char *path, const char *mode) {
    return strpbrk(mode, "wa+") && fails(path) ? NULL : NEXT(fopen)(path, mode);
}
FILE *fopen64(const char *path, const char *mode) {
    return strpbrk(mode, "wa+") && fails(path) ? NULL : NEXT(fopen64)(path, mode);
}
int fsync(int fd) { return fails_fd(fd) ? -1 : NEXT(fsync)(fd); }
int fdatasync(int fd) { return fails_fd(fd) ? -1 : NEXT(fdatasync)(fd); }
int ftruncate(int fd, off_t size) { return fails_fd(fd) ? -1 : NEXT(ftruncate)(fd, size); }
int ftruncate64(int fd, off64_t size) { return fails_fd(fd) ? -1 : NEXT(ftruncate64)(fd, size); }
int unlink(const char *path) { return fails(path) ? -1 : NEXT(unlink)(path); }
int mkdir(const char *path, mode_t mode) { return fails(path) ? -1 : NEXT(mkdir)(path, mode); }
int link(const char *old, const char *new) { return fails(new) ? -1 : NEXT(link)(old, new); }
int rename(const char *old, const char *new) { return fails(new) ? -1 : NEXT(rename)(old, new); }

int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    return (flags & O_CREAT) && fails(path) ? -1 : NEXT(open)(path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    return (flags & O_CREAT) && fails(path) ? -1 : NEXT(open64)(path, flags, mode);
}

static void note(const char *line, int length) {
    int log = NEXT(open)(getenv("QF_CONNECT_LOG"), O_WRONLY | O_APPEND | O_CREAT, 0600);
    if (log < 0) return;
    if (NEXT(write)(log, line, length) < 0) abort();
    close(log);
}

static int outside(const struct sockaddr *address) {
    char text[INET6_ADDRSTRLEN] = "", line[128];
    const char *file = getenv("QF_CONNECT_LOG");
    if (!file || !address) return 0;
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
        if ((ntohl(v4->sin_addr.s_addr) >> 24) == 127 || v4->sin_addr.s_addr == 0) return 0;
        inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
    } else if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
        if (IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr)) return 0;
        inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
    } else {
        return 0;
    }
    int port = ntohs(((const struct sockaddr_in *)address)->sin_port);
    note(line, snprintf(line, sizeof line, "%s port %d\n", text, port));
    errno = ENETUNREACH;
    return 1;
}

int connect(int fd, const struct sockaddr *address, socklen_t size) {
    return outside(address) ? -1 : NEXT(connect)(fd, address, size);
}
ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *address, socklen_t length) {
    return outside(address) ? -1 : NEXT(sendto)(fd, data, size, flags, address, length);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    return message->msg_name && outside(message->msg_name) ? -1 : NEXT(sendmsg)(fd, message, flags);
}
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    char here[256] = "", line[512];
    unsigned char number[16];
    gethostname(here, sizeof here - 1);
    if (getenv("QF_CONNECT_LOG") && name && *name && strcmp(name, "localhost") && strcmp(name, here)
        && inet_pton(AF_INET, name, number) != 1 && inet_pton(AF_INET6, name, number) != 1) {
        note(line, snprintf(line, sizeof line, "look-up of %.300s\n", name));
        return EAI_FAIL;
    }
    return NEXT(getaddrinfo)(name, service, hints, found);
}

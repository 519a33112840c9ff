/*
 * A disk that fails, below one process: a library to be preloaded, which stands between the program and the calls
 * by which it changes files of one directory.
 *
 * It owns the order of those calls: it counts them, records them, and makes one of them fail, or the process end
 * there, as the environment says. It must never touch files of other directories, read anything for the program, or
 * flush: a flush is recorded and answered, and what it would have made durable is computed from the record.
 *
 *   FAULT_DIR    the directory, by its canonical path. Without it the library does nothing.
 *   FAULT_TRACE  the record (see tests/disk/src/trace.rs for its form).
 *   FAULT        ACTION:KINDS:N[:SUFFIX], about the N-th call (from 1) of these kinds on files whose name ends so:
 *                eio, enospc  it fails;  full  it and all later ones of these kinds fail with ENOSPC;
 *                drop         (writes) it succeeds, and its page is lost when the system writes it back;
 *                kill         the process is killed before it;  half  (writes) after the first half of it.
 *
 * Kinds: W write, T change of length, F flush of a file, D flush of a directory, C a file is made, M a directory is
 * made, U a name is removed, R a name is changed, L a name is added.
 *
 * A flush that fails does as Linux does: what it should have written is lost and counts as clean, every descriptor
 * that was open is told the error at its next flush, once; those opened later are not told unless nobody was yet.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define DESCRIPTORS_MAX 65536
#define FILES_MAX 4096
#define NAME_BYTES_MAX 2048

enum { FLUSHED = 0, LOST = 1, TOLD = 2, FAILED = 3 };

struct file {
    dev_t device;
    ino_t inode;
    unsigned errors;  /* lost write-backs so far */
    int unseen;       /* the last of them was told to nobody yet */
    char name[64];    /* the end of the name it was opened by */
};

struct descriptor {
    struct file *file; /* of the directory */
    unsigned seen;     /* the errors it was told of, or that were before it */
    int directory;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char directory[PATH_MAX];
static size_t directory_length;
static int trace = -1;
static struct file files[FILES_MAX];
static size_t files_count;
static struct descriptor descriptors[DESCRIPTORS_MAX];

static char action[16], kinds[16], suffix[64];
static unsigned long chosen, counted;

/* The functions that this library stands before. */
static int (*real_open)(const char *, int, ...);
static int (*real_openat)(int, const char *, int, ...);
static int (*real_close)(int);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off64_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static ssize_t (*real_pwritev)(int, const struct iovec *, int, off64_t);
static int (*real_ftruncate)(int, off64_t);
static int (*real_fallocate)(int, int, off64_t, off64_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_unlink)(const char *);
static int (*real_unlinkat)(int, const char *, int);
static int (*real_rename)(const char *, const char *);
static int (*real_renameat2)(int, const char *, int, const char *, unsigned);
static int (*real_link)(const char *, const char *);
static int (*real_linkat)(int, const char *, int, const char *, int);
static int (*real_mkdir)(const char *, mode_t);
static int (*real_dup)(int);

static void *next(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

__attribute__((constructor)) static void start(void)
{
    if (real_open)
        return;
    real_openat = next("openat64");
    real_close = next("close");
    real_write = next("write");
    real_pwrite = next("pwrite64");
    real_writev = next("writev");
    real_pwritev = next("pwritev64");
    real_ftruncate = next("ftruncate64");
    real_fallocate = next("fallocate64");
    real_fsync = next("fsync");
    real_fdatasync = next("fdatasync");
    real_unlink = next("unlink");
    real_unlinkat = next("unlinkat");
    real_rename = next("rename");
    real_renameat2 = next("renameat2");
    real_link = next("link");
    real_linkat = next("linkat");
    real_mkdir = next("mkdir");
    real_dup = next("dup");
    real_open = next("open64");

    const char *given = getenv("FAULT_DIR");
    if (!given || !*given || strlen(given) >= sizeof directory)
        return;
    const char *fault = getenv("FAULT");
    if (fault && sscanf(fault, "%15[^:]:%15[^:]:%lu:%63s", action, kinds, &chosen, suffix) < 3) {
        static const char words[] = "the fault library does not understand FAULT\n";
        real_write(2, words, sizeof words - 1);
        _exit(99);
    }
    const char *record = getenv("FAULT_TRACE");
    if (record)
        trace = real_open(record, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    strcpy(directory, given);
    directory_length = strlen(directory);
    /* Programs that this one starts are none of our business. */
    unsetenv("LD_PRELOAD");
}

static int is_within(const char *path)
{
    return directory_length && !strncmp(path, directory, directory_length)
        && (path[directory_length] == '/' || !path[directory_length]);
}

static int ends_so(const char *name)
{
    size_t length = strlen(name), wanted = strlen(suffix);
    return length >= wanted && !strcmp(name + length - wanted, suffix);
}

/* A name as it is said, made absolute. */
static const char *absolute(int at, const char *path, char *buffer)
{
    char base[PATH_MAX];
    if (*path == '/') {
        snprintf(buffer, NAME_BYTES_MAX, "%s", path);
        return buffer;
    }
    if (at == AT_FDCWD) {
        if (!getcwd(base, sizeof base))
            return path;
    } else {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", at);
        ssize_t length = readlink(link, base, sizeof base - 1);
        if (length < 0)
            return path;
        base[length] = 0;
    }
    snprintf(buffer, NAME_BYTES_MAX, "%.1500s/%.500s", base, path);
    return buffer;
}

/* One entry of the record: kind, result, length of names, file, offset, length of data; names; data. */
static void note(char kind, int result, uint64_t file, uint64_t offset, const char *names, size_t names_length,
                 const void *data, size_t length)
{
    if (trace < 0)
        return;
    int kept = errno;
    struct {
        char kind;
        uint8_t result;
        uint16_t names;
        uint32_t unused;
        uint64_t file, offset, length;
    } head = { kind, (uint8_t)result, (uint16_t)names_length, 0, file, offset, length };
    struct iovec parts[3] = {
        { &head, sizeof head }, { (void *)names, names_length }, { (void *)data, length }
    };
    ssize_t written = real_writev(trace, parts, 3);
    if (written != (ssize_t)(sizeof head + names_length + length))
        abort();
    errno = kept;
}

static void end_here(void)
{
    note('K', 0, 0, 0, "", 0, "", 0);
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

/* Counts a call; says whether it is the chosen one (or after it, where all later ones fail). Ends the process. */
static int is_chosen(char kind, const char *name)
{
    if (!chosen || !strchr(kinds, kind) || !ends_so(name))
        return 0;
    counted++;
    if (!strcmp(action, "full"))
        return counted >= chosen;
    if (counted != chosen)
        return 0;
    if (!strcmp(action, "kill"))
        end_here();
    return 1;
}

static int is_error(void)
{
    return !strcmp(action, "eio") || !strcmp(action, "enospc") || !strcmp(action, "full");
}

static int error(char kind, const char *name)
{
    note('E', 0, 0, (unsigned char)kind, name, strlen(name), "", 0);
    errno = strcmp(action, "eio") ? ENOSPC : EIO;
    return -1;
}

static struct descriptor *ours(int fd)
{
    if (fd < 0 || fd >= DESCRIPTORS_MAX || !descriptors[fd].file)
        return NULL;
    return &descriptors[fd];
}

static void opened(int fd, int made)
{
    char link[64], path[NAME_BYTES_MAX];
    if (!directory_length || fd < 0 || fd >= DESCRIPTORS_MAX)
        return;
    int kept = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    descriptors[fd].file = NULL;
    struct stat64 state;
    if (length > 0 && (path[length] = 0, is_within(path)) && !fstat64(fd, &state)) {
        struct file *file = NULL;
        for (size_t index = 0; index < files_count && !file; index++)
            if (files[index].device == state.st_dev && files[index].inode == state.st_ino)
                file = &files[index];
        if (!file) {
            if (files_count == FILES_MAX)
                abort();
            file = &files[files_count++];
            file->device = state.st_dev;
            file->inode = state.st_ino;
            made |= 2;
        }
        if (made & 1)
            file->errors = 0, file->unseen = 0;
        size_t from = (size_t)length < sizeof file->name ? 0 : (size_t)length - sizeof file->name + 1;
        strcpy(file->name, path + from);
        descriptors[fd].file = file;
        descriptors[fd].seen = file->errors - (file->unseen ? 1 : 0);
        descriptors[fd].directory = S_ISDIR(state.st_mode);
        if (!descriptors[fd].directory)
            note('O', made & 1, file->inode, 0, path, (size_t)length, "", 0);
    }
    errno = kept;
}

/* ---- opening and closing -------------------------------------------------------------------------------------- */

static int open_any(int at, const char *path, int flags, mode_t mode)
{
    char name[NAME_BYTES_MAX];
    start();
    if (!directory_length || !is_within(absolute(at, path, name)))
        return real_openat(at, path, flags, mode);
    pthread_mutex_lock(&lock);
    struct stat64 state;
    int made = (flags & O_CREAT) && fstatat64(at, path, &state, 0);
    int fd;
    if (made && is_chosen('C', name) && is_error())
        fd = error('C', name);
    else if ((fd = real_openat(at, path, flags, mode)) >= 0) {
        opened(fd, made);
        struct descriptor *one = ours(fd);
        if (one && !one->directory && (flags & O_TRUNC) && !made)
            note('T', 0, one->file->inode, 0, "", 0, "", 0);
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

#define MODE(flags, last)                                       \
    mode_t mode = 0;                                            \
    if ((flags) & (O_CREAT | __O_TMPFILE)) {                    \
        va_list rest;                                           \
        va_start(rest, last);                                   \
        mode = va_arg(rest, mode_t);                            \
        va_end(rest);                                           \
    }

int open(const char *path, int flags, ...) { MODE(flags, flags) return open_any(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags, flags) return open_any(AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE(flags, flags) return open_any(at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE(flags, flags) return open_any(at, path, flags, mode); }
int __open_2(const char *path, int flags) { return open_any(AT_FDCWD, path, flags, 0); }
int __open64_2(const char *path, int flags) { return open_any(AT_FDCWD, path, flags, 0); }

int creat(const char *path, mode_t mode)
{
    return open_any(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int creat64(const char *path, mode_t mode)
{
    return creat(path, mode);
}

int close(int fd)
{
    start();
    if (!ours(fd))
        return real_close(fd);
    pthread_mutex_lock(&lock);
    descriptors[fd].file = NULL;
    int result = real_close(fd);
    pthread_mutex_unlock(&lock);
    return result;
}

int dup(int fd)
{
    start();
    pthread_mutex_lock(&lock);
    int copy = real_dup(fd);
    if (copy >= 0 && copy < DESCRIPTORS_MAX && ours(fd))
        descriptors[copy] = descriptors[fd];
    pthread_mutex_unlock(&lock);
    return copy;
}

/* ---- contents ------------------------------------------------------------------------------------------------- */

static ssize_t write_at(struct descriptor *one, int fd, const void *data, size_t length, off64_t offset, int moves)
{
    struct file *file = one->file;
    ssize_t done;
    if (is_chosen('W', file->name)) {
        if (is_error())
            return error('W', file->name);
        if (!strcmp(action, "half")) {
            done = real_pwrite(fd, data, length / 2, offset);
            if (done > 0)
                note('W', 0, file->inode, (uint64_t)offset, "", 0, data, (size_t)done);
            end_here();
        }
        if (!strcmp(action, "drop")) {
            done = moves ? real_write(fd, data, length) : real_pwrite(fd, data, length, offset);
            if (done > 0)
                note('W', LOST, file->inode, (uint64_t)offset, "", 0, data, (size_t)done);
            file->errors++;
            file->unseen = 1;
            return done;
        }
    }
    done = moves ? real_write(fd, data, length) : real_pwrite(fd, data, length, offset);
    if (done > 0)
        note('W', 0, file->inode, (uint64_t)offset, "", 0, data, (size_t)done);
    return done;
}

static ssize_t write_here(struct descriptor *one, int fd, const void *data, size_t length)
{
    struct stat64 state;
    off64_t offset = (fcntl(fd, F_GETFL) & O_APPEND) && !fstat64(fd, &state) ? state.st_size
                                                                            : lseek64(fd, 0, SEEK_CUR);
    return write_at(one, fd, data, length, offset, 1);
}

ssize_t write(int fd, const void *data, size_t length)
{
    start();
    struct descriptor *one = ours(fd);
    if (!one)
        return real_write(fd, data, length);
    pthread_mutex_lock(&lock);
    ssize_t done = write_here(one, fd, data, length);
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset)
{
    start();
    struct descriptor *one = ours(fd);
    if (!one)
        return real_pwrite(fd, data, length, offset);
    pthread_mutex_lock(&lock);
    ssize_t done = write_at(one, fd, data, length, offset, 0);
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset)
{
    return pwrite64(fd, data, length, offset);
}

/* A program must live with fewer bytes written than it asked for: its first part alone. */
ssize_t writev(int fd, const struct iovec *parts, int count)
{
    start();
    if (!ours(fd) || count < 1)
        return real_writev(fd, parts, count);
    return write(fd, parts[0].iov_base, parts[0].iov_len);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset)
{
    start();
    if (!ours(fd) || count < 1)
        return real_pwritev(fd, parts, count, offset);
    return pwrite64(fd, parts[0].iov_base, parts[0].iov_len, offset);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    return pwritev64(fd, parts, count, offset);
}

/* Copies within the kernel would not be seen: programs fall back to reading and writing. */
ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t length, unsigned flags)
{
    ssize_t (*real)(int, off64_t *, int, off64_t *, size_t, unsigned) = next("copy_file_range");
    if (real && !ours(out))
        return real(in, from, out, to, length, flags);
    errno = ENOSYS;
    return -1;
}

ssize_t sendfile64(int out, int in, off64_t *offset, size_t length)
{
    ssize_t (*real)(int, int, off64_t *, size_t) = next("sendfile64");
    if (real && !ours(out))
        return real(out, in, offset, length);
    errno = EINVAL;
    return -1;
}

ssize_t sendfile(int out, int in, off_t *offset, size_t length)
{
    return sendfile64(out, in, offset, length);
}

int ftruncate64(int fd, off64_t length)
{
    start();
    struct descriptor *one = ours(fd);
    if (!one)
        return real_ftruncate(fd, length);
    pthread_mutex_lock(&lock);
    int result;
    if (is_chosen('T', one->file->name) && is_error())
        result = error('T', one->file->name);
    else if (!(result = real_ftruncate(fd, length)))
        note('T', 0, one->file->inode, (uint64_t)length, "", 0, "", 0);
    pthread_mutex_unlock(&lock);
    return result;
}

int ftruncate(int fd, off_t length)
{
    return ftruncate64(fd, length);
}

/* Only a file's growth is of interest. */
int fallocate64(int fd, int mode, off64_t offset, off64_t length)
{
    start();
    struct descriptor *one = ours(fd);
    struct stat64 state;
    if (!one)
        return real_fallocate(fd, mode, offset, length);
    if (mode || fstat64(fd, &state)) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return offset + length > state.st_size ? ftruncate64(fd, offset + length) : 0;
}

int fallocate(int fd, int mode, off_t offset, off_t length)
{
    return fallocate64(fd, mode, offset, length);
}

int posix_fallocate64(int fd, off64_t offset, off64_t length)
{
    return fallocate64(fd, 0, offset, length) ? errno : 0;
}

int posix_fallocate(int fd, off_t offset, off_t length)
{
    return posix_fallocate64(fd, offset, length);
}

static int flush(int fd, int (*real)(int))
{
    struct descriptor *one = ours(fd);
    if (!one)
        return real(fd);
    pthread_mutex_lock(&lock);
    struct file *file = one->file;
    int result = 0;
    if (one->directory) {
        if (is_chosen('D', file->name) && is_error())
            result = error('D', file->name);
        else
            note('D', 0, file->inode, 0, file->name, strlen(file->name), "", 0);
    } else if (is_chosen('F', file->name) && is_error()) {
        file->errors++;
        file->unseen = 0;
        one->seen = file->errors;
        note('F', LOST, file->inode, 0, "", 0, "", 0);
        result = error('F', file->name);
    } else if (one->seen != file->errors) {
        one->seen = file->errors;
        file->unseen = 0;
        note('F', TOLD, file->inode, 0, "", 0, "", 0);
        errno = EIO;
        result = -1;
    } else {
        note('F', FLUSHED, file->inode, 0, "", 0, "", 0);
    }
    pthread_mutex_unlock(&lock);
    return result;
}

int fsync(int fd)
{
    start();
    return flush(fd, real_fsync);
}

int fdatasync(int fd)
{
    start();
    return flush(fd, real_fdatasync);
}

/* ---- names ---------------------------------------------------------------------------------------------------- */

static int named(char kind, const char *one, const char *other, int result)
{
    char both[2 * NAME_BYTES_MAX];
    if (result)
        return result;
    int length = snprintf(both, sizeof both, "%s%c%s", one, 0, other ? other : "");
    struct stat64 state;
    int known = !lstat64(other ? other : one, &state);
    note(kind, 0, known ? state.st_ino : 0, 0, both, other ? (size_t)length : strlen(one), "", 0);
    return result;
}

int unlink(const char *path)
{
    char name[NAME_BYTES_MAX];
    start();
    if (!is_within(absolute(AT_FDCWD, path, name)))
        return real_unlink(path);
    pthread_mutex_lock(&lock);
    int result = is_chosen('U', name) && is_error() ? error('U', name) : named('U', name, NULL, real_unlink(path));
    pthread_mutex_unlock(&lock);
    return result;
}

int unlinkat(int at, const char *path, int flags)
{
    char name[NAME_BYTES_MAX];
    start();
    if (!is_within(absolute(at, path, name)) || flags)
        return real_unlinkat(at, path, flags);
    pthread_mutex_lock(&lock);
    int result = is_chosen('U', name) && is_error() ? error('U', name)
                                                    : named('U', name, NULL, real_unlinkat(at, path, flags));
    pthread_mutex_unlock(&lock);
    return result;
}

int renameat2(int at, const char *from, int to_at, const char *to, unsigned flags)
{
    char old[NAME_BYTES_MAX], new[NAME_BYTES_MAX];
    start();
    absolute(at, from, old);
    if (!is_within(absolute(to_at, to, new)) && !is_within(old))
        return real_renameat2(at, from, to_at, to, flags);
    pthread_mutex_lock(&lock);
    int result = is_chosen('R', new) && is_error()
        ? error('R', new)
        : named('R', old, new, real_renameat2(at, from, to_at, to, flags));
    pthread_mutex_unlock(&lock);
    return result;
}

int rename(const char *from, const char *to)
{
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int renameat(int at, const char *from, int to_at, const char *to)
{
    return renameat2(at, from, to_at, to, 0);
}

int linkat(int at, const char *from, int to_at, const char *to, int flags)
{
    char old[NAME_BYTES_MAX], new[NAME_BYTES_MAX];
    start();
    absolute(at, from, old);
    if (!is_within(absolute(to_at, to, new)))
        return real_linkat(at, from, to_at, to, flags);
    pthread_mutex_lock(&lock);
    int result = is_chosen('L', new) && is_error() ? error('L', new)
                                                   : named('L', old, new, real_linkat(at, from, to_at, to, flags));
    pthread_mutex_unlock(&lock);
    return result;
}

int link(const char *from, const char *to)
{
    return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int mkdir(const char *path, mode_t mode)
{
    char name[NAME_BYTES_MAX];
    start();
    if (!is_within(absolute(AT_FDCWD, path, name)))
        return real_mkdir(path, mode);
    pthread_mutex_lock(&lock);
    int result = is_chosen('M', name) && is_error() ? error('M', name) : named('M', name, NULL, real_mkdir(path, mode));
    pthread_mutex_unlock(&lock);
    return result;
}

// Crash points from outside. Preloaded into the program (LD_PRELOAD), this library notes every call that changes files of
// a data directory, and where a rule says so it ends the process, holds it, or lets the call fail. The program knows
// nothing of it, and no privilege is needed, unlike for a tracer. faults.py builds it and speaks to it.
//
//   FAULTS_FOLDER  the data directory, as realpath gives it: only what lies in it counts
//   FAULTS_RULE    a file with a line `CALL GLOB NUMBER ACTION ID`, read again at each call; empty or missing: nothing happens
//   FAULTS_LOG     a file that gets a line for each call, before it, and for what a call has made durable, after it
//
//   CALL    pwrite ftruncate fsync fdatasync rename unlink, of a file or folder whose path in the data directory matches
//           GLOB (of a rename: the old name); `acknowledge`, of `socket`: a status message that tells Postgres of more that
//           is durable; `receive`, of `socket`: 4 KiB or more that have come at once, as a table's rows do
//   NUMBER  which of these calls since the rule was made; ID makes another rule of one that is the same
//   ACTION  before or after: SIGKILL there. torn: SIGKILL when half of a pwrite is done. hold: the calling thread waits
//           before the call until there is another rule. error=ERRNO: the call fails, and so do all later ones
//
// That a rule has come into effect stands in the log: `struck RULE`.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, RULE_BYTES = 512, BULK_BYTES = 4096, STATUS_BYTES = 39 };

typedef enum { NOTHING, BEFORE, AFTER, TORN, HOLD, ERROR } Action;

typedef struct {
  Action action;
  int error;
  char rule[RULE_BYTES];
} Verdict;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char counted_rule[RULE_BYTES];
static unsigned long counted;
static uint64_t acknowledged;

// `next` is the function of that name which this library stands before.
#define NEXT(name)                   \
  static __typeof__(name) *next;     \
  if (!next) next = (__typeof__(next))dlsym(RTLD_NEXT, #name)

static void note(const char *format, const char *what, const char *path, unsigned long long number) {
  const char *log = getenv("FAULTS_LOG");
  char line[2 * PATH_BYTES];
  int count = snprintf(line, sizeof line, format, what, path, number);
  if (!log || count <= 0 || (size_t)count >= sizeof line) return;
  int file = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (file < 0) return;
  // A line at once: lines of several threads do not mix.
  if (write(file, line, (size_t)count) != count) abort();
  close(file);
}

// The path within the data directory, or NULL.
static const char *inside(const char *path) {
  const char *folder = getenv("FAULTS_FOLDER");
  size_t length = folder ? strlen(folder) : 0;
  if (length == 0 || strncmp(path, folder, length) != 0) return NULL;
  if (path[length] == '\0') return ".";
  return path[length] == '/' ? path + length + 1 : NULL;
}

static const char *path_of(int file, char *buffer) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t count = readlink(link, buffer, PATH_BYTES - 1);
  if (count <= 0) return NULL;
  buffer[count] = '\0';
  return inside(buffer);
}

static void read_rule(char *rule) {
  rule[0] = '\0';
  const char *path = getenv("FAULTS_RULE");
  int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0) return;
  ssize_t count = read(file, rule, RULE_BYTES - 1);
  rule[count > 0 ? count : 0] = '\0';
  rule[strcspn(rule, "\n")] = '\0';
  close(file);
}

// What becomes of a call.
static Verdict judge(const char *call, const char *path) {
  Verdict verdict = {NOTHING, 0, ""};
  char wanted[32], glob[256], action[32];
  unsigned long number;
  read_rule(verdict.rule);
  pthread_mutex_lock(&lock);
  if (strcmp(verdict.rule, counted_rule) != 0) {
    strcpy(counted_rule, verdict.rule);
    counted = 0;
  }
  if (sscanf(verdict.rule, "%31s %255s %lu %31s", wanted, glob, &number, action) == 4 && strcmp(wanted, call) == 0 &&
      fnmatch(glob, path, FNM_PATHNAME) == 0) {
    counted++;
    if (counted == number || (counted > number && sscanf(action, "error=%d", &verdict.error) == 1)) {
      if (strcmp(action, "before") == 0) verdict.action = BEFORE;
      if (strcmp(action, "after") == 0) verdict.action = AFTER;
      if (strcmp(action, "torn") == 0) verdict.action = TORN;
      if (strcmp(action, "hold") == 0) verdict.action = HOLD;
      if (sscanf(action, "error=%d", &verdict.error) == 1) verdict.action = ERROR;
    }
  }
  pthread_mutex_unlock(&lock);
  return verdict;
}

static void end(const Verdict *verdict) {
  note("%s %s %llu\n", "struck", verdict->rule, 0);
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

// Before a call. Returns whether it fails, with errno.
static bool fails(const Verdict *verdict) {
  char rule[RULE_BYTES];
  switch (verdict->action) {
  case BEFORE: end(verdict); return true;
  case HOLD:
    note("%s %s %llu\n", "struck", verdict->rule, 0);
    do {
      usleep(5000);
      read_rule(rule);
    } while (strcmp(rule, verdict->rule) == 0);
    return false;
  case ERROR:
    note("%s %s %llu\n", "struck", verdict->rule, 0);
    errno = verdict->error;
    return true;
  default: return false;
  }
}

static void ends_after(const Verdict *verdict) {
  int kept = errno;
  if (verdict->action == AFTER) end(verdict);
  errno = kept;
}

// Files -----------------------------------------------------------------------------------------------------------------

static ssize_t write_at(int file, const void *bytes, size_t count, off64_t offset) {
  NEXT(pwrite64);
  char buffer[PATH_BYTES];
  const char *path = path_of(file, buffer);
  if (!path) return next(file, bytes, count, offset);
  note("%s %s %llu\n", "pwrite", path, (unsigned long long)offset + count);
  Verdict verdict = judge("pwrite", path);
  if (fails(&verdict)) return -1;
  if (verdict.action == TORN) {
    if (next(file, bytes, count / 2, offset) < 0) abort();
    end(&verdict);
  }
  ssize_t done = next(file, bytes, count, offset);
  ends_after(&verdict);
  return done;
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t offset) {
  return write_at(file, bytes, count, offset);
}
ssize_t pwrite(int file, const void *bytes, size_t count, off_t offset) { return write_at(file, bytes, count, offset); }

static int cut(int file, off64_t length) {
  NEXT(ftruncate64);
  char buffer[PATH_BYTES];
  const char *path = path_of(file, buffer);
  if (!path) return next(file, length);
  note("%s %s %llu\n", "ftruncate", path, (unsigned long long)length);
  Verdict verdict = judge("ftruncate", path);
  if (fails(&verdict)) return -1;
  int result = next(file, length);
  ends_after(&verdict);
  return result;
}

int ftruncate64(int file, off64_t length) { return cut(file, length); }
int ftruncate(int file, off_t length) { return cut(file, length); }

static int synchronize(int file, const char *call, int (*next)(int)) {
  char buffer[PATH_BYTES];
  const char *path = path_of(file, buffer);
  if (!path) return next(file);
  // What is written while the disk is waited for need not be part of it.
  struct stat status;
  unsigned long long length = fstat(file, &status) == 0 ? (unsigned long long)status.st_size : 0;
  note("%s %s %llu\n", call, path, length);
  Verdict verdict = judge(call, path);
  if (fails(&verdict)) return -1;
  int result = next(file);
  int kept = errno;
  if (result == 0) note("%s %s %llu\n", "durable", path, length);
  errno = kept;
  ends_after(&verdict);
  return result;
}

int fsync(int file) {
  NEXT(fsync);
  return synchronize(file, "fsync", next);
}

int fdatasync(int file) {
  NEXT(fdatasync);
  return synchronize(file, "fdatasync", next);
}

// Names -----------------------------------------------------------------------------------------------------------------

int rename(const char *from, const char *to) {
  NEXT(rename);
  const char *path = inside(from), *target = inside(to);
  if (!path || !target) return next(from, to);
  char both[2 * PATH_BYTES];
  snprintf(both, sizeof both, "%s %s", path, target);
  // The last number says whether something goes with it that no crash brings back.
  note("%s %s %llu\n", "rename", both, access(to, F_OK) == 0);
  Verdict verdict = judge("rename", path);
  if (fails(&verdict)) return -1;
  int result = next(from, to);
  ends_after(&verdict);
  return result;
}

int unlink(const char *name) {
  NEXT(unlink);
  const char *path = inside(name);
  if (!path) return next(name);
  note("%s %s %llu\n", "unlink", path, 0);
  Verdict verdict = judge("unlink", path);
  if (fails(&verdict)) return -1;
  int result = next(name);
  ends_after(&verdict);
  return result;
}

// Sockets ---------------------------------------------------------------------------------------------------------------

// A CopyData message with a standby status update: `d`, a length, `r`, then the positions written, flushed and applied.
static bool is_acknowledgement(const unsigned char *bytes, size_t count) {
  if (count != STATUS_BYTES || bytes[0] != 'd' || bytes[5] != 'r') return false;
  uint64_t flushed = 0;
  for (int i = 14; i < 22; i++) flushed = flushed << 8 | bytes[i];
  pthread_mutex_lock(&lock);
  bool is_more = flushed > acknowledged;
  if (is_more) acknowledged = flushed;
  pthread_mutex_unlock(&lock);
  return is_more;
}

ssize_t send(int socket, const void *bytes, size_t count, int flags) {
  NEXT(send);
  if (!is_acknowledgement(bytes, count)) return next(socket, bytes, count, flags);
  note("%s %s %llu\n", "acknowledge", "socket", acknowledged);
  Verdict verdict = judge("acknowledge", "socket");
  if (fails(&verdict)) return -1;
  ssize_t done = next(socket, bytes, count, flags);
  ends_after(&verdict);
  return done;
}

ssize_t recv(int socket, void *bytes, size_t count, int flags) {
  NEXT(recv);
  ssize_t done = next(socket, bytes, count, flags);
  if (done < BULK_BYTES) return done;
  Verdict verdict = judge("receive", "socket");
  if (fails(&verdict)) return -1;
  ends_after(&verdict);
  return done;
}

// Waiting for sockets to the nanosecond, and a thread that is woken on time: two system calls of Linux, each as it is.
//
// May use: <poll.h> and <sys/prctl.h>, with glibc's GNU extensions.

#define _GNU_SOURCE
#include "timed_poll.h"

#include <stddef.h>
#include <sys/prctl.h>
#include <time.h>

int vz_timed_poll(struct pollfd *descriptors, uint32_t count, int64_t nanoseconds) {
  struct timespec timeout = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000};
  return ppoll(descriptors, count, &timeout, NULL);
}

void vz_wake_on_time(void) { prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL); }

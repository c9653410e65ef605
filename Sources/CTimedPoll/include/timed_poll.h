// Waiting for sockets to the nanosecond: calls of Linux that Swift's view of the C library leaves out.
//
// May use: <poll.h>.
#ifndef VZ_TIMED_POLL_H
#define VZ_TIMED_POLL_H

#include <poll.h>
#include <stdint.h>

// poll(2) with a timeout in nanoseconds, not below 0.
int vz_timed_poll(struct pollfd *descriptors, uint32_t count, int64_t nanoseconds);

// Has the kernel wake the calling thread when it is to be woken, and not up to 50 µs later, together with others. Where it may not, nothing changes.
void vz_wake_on_time(void);

#endif

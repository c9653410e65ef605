// The one call to the scheduler: a spinning thread lets the holder of a lock run when the cores are fewer than the threads.
//
// May use: sched_yield.

import Glibc

func yieldThread() { sched_yield() }

"""The engines that can be compared, one file each.

An engine runs in a process of its own, so that their threads, allocators and runtimes do not meet. It builds, prints a
line `ready`, and then, for every line `run` on its standard input, sweeps over the efforts once and prints the points
as one line of JSON. It ends at the end of its input. `bench index --rounds-from-stdin` speaks this; peer.py speaks it
for a library with Python bindings.

A module here has:

    command(task: Task) -> list[str]     the process to run
    version() -> str                     of what is measured
"""

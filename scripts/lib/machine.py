"""The machine that a benchmark runs on, for those who read its results."""

import os
import pathlib
from typing import Any

# What tells processors of one name apart, as far as these engines use it.
INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "asimd", "asimddp", "sve")


def machine() -> dict[str, Any]:
    """What a reader must know of the machine to read the numbers."""
    lines = [line.partition(":") for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()]
    fields = {key.strip(): value.strip() for key, _, value in lines if value}
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    return {
        "cpu": fields.get("model name", "an unnamed processor"),
        "family_and_model": f"{fields.get('cpu family', '?')}/{fields.get('model', '?')}",
        "instructions": " ".join(name for name in INSTRUCTIONS if name in flags),
        "processors": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGESIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
    }

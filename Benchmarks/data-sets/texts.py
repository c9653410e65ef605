"""The texts of a file, one at a time: a field of each JSON line, or plain lines; either may be gzipped."""

import gzip
import itertools
import json
import pathlib
from collections.abc import Iterator


def read_texts(path: pathlib.Path, field: str, rows: int | None = None) -> Iterator[str]:
    """The texts in order, the first `rows` of them if given. Raises ValueError where a line has no such field.

    A file is JSON lines if its name has .jsonl in it (X.jsonl, X.jsonl.gz).
    """
    structured = ".jsonl" in path.suffixes
    # Only "\n" ends a line: a text may hold the other characters that Python's own reading takes for ends.
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        for number, line in enumerate(itertools.islice(file, rows), start=1):
            if not structured:
                yield line.decode().removesuffix("\n").removesuffix("\r")
                continue
            entry = json.loads(line)
            if not isinstance(entry, dict) or not isinstance(entry.get(field), str):
                raise ValueError(f'{path}: line {number} has no text in the field "{field}"')
            yield entry[field]

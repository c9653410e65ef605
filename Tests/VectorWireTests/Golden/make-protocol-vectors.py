"""Writes protocol-vectors.json: frames built by hand from docs/PROTOCOL.md, with nothing but `struct`.

It knows no codec of ours on purpose: the Swift and the Python codec are both checked against what it writes. Add a case
to its subject in protocol_vectors/ when the protocol gains one, and run this; a case that exists never changes its
bytes within a protocol version.
"""

import json
import pathlib

from protocol_vectors import (
    book,
    connection,
    errors,
    refused_modifiers,
    refused_replies,
    refused_requests,
    refused_rows,
    rows,
    search_replies,
    searches,
)

# In the order of the file.
for write in (
    connection.frames,
    searches.searches,
    search_replies.frames,
    searches.searches_by_id,
    searches.searches_like,
    rows.descriptions,
    rows.fetches,
    errors.frames,
    refused_requests.refusals,
    refused_replies.refusals,
    refused_modifiers.refusals,
    refused_modifiers.refused_filters,
    refused_modifiers.refusals_by_id,
    refused_rows.refusals,
):
    write()

document = {
    "protocol": 1,
    "about": "Frames as hex beside their meaning, built by make-protocol-vectors.py from docs/PROTOCOL.md. "
    "frames: what every codec must write and read. malformed: what every codec must refuse.",
    "frames": book.frames,
    "malformed": book.malformed,
}
path = pathlib.Path(__file__).with_name("protocol-vectors.json")
path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
print(f"{len(book.frames)} frames, {len(book.malformed)} malformed")

"""The frames of protocol-vectors.json, subject by subject. make-protocol-vectors.py says in which order."""

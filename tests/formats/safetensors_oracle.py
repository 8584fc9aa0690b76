"""A reader and a writer of safetensors from the format's description alone: safetensors_oracle.py FROM TO.

Reads FROM into numpy arrays, checks the layout, and writes them to TO in another order.
"""
import json
import struct
import sys

import numpy as np

TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1", "BOOL": "?"}


def read(path):
    raw = open(path, "rb").read()
    (size,) = struct.unpack("<Q", raw[:8])
    header, data = json.loads(raw[8 : 8 + size].decode("utf-8")), raw[8 + size :]
    metadata, arrays, end = header.pop("__metadata__", {}), {}, 0
    for name, t in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        begin, stop = t["data_offsets"]
        assert begin == end, (name, begin, end)
        end = stop
        arrays[name] = np.frombuffer(data[begin:stop], TYPES[t["dtype"]]).reshape(t["shape"])
    assert end == len(data)
    return arrays, metadata


def write(path, arrays, metadata):
    codes, header, at, data = {np.dtype(v): k for k, v in TYPES.items()}, {}, 0, b""
    for name in sorted(arrays, reverse=True):
        a = arrays[name]
        header[name] = {"data_offsets": [at, at + a.nbytes], "shape": list(a.shape), "dtype": codes[a.dtype]}
        data += a.tobytes()
        at += a.nbytes
    text = json.dumps({**dict(sorted(header.items())), "__metadata__": metadata}).encode() + b"   "
    open(path, "wb").write(struct.pack("<Q", len(text)) + text + data)


arrays, metadata = read(sys.argv[1])
assert metadata == {"format": "pt"}, metadata
write(sys.argv[2], arrays, {"writer": "oracle"})

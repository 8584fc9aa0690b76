"""Runs a network.json with PyTorch: the independent answer that exported files are compared with.

torch_oracle.py FOLDER: reads network.json, weights.json (name → file, shape, type, scales) and input.bin, writes one
NAME.bin per output. An int8 network is computed as the QDQ form says: float operators between dequantised tensors,
each result rounded to its scale and zero point.
"""
import json
import sys

import numpy as np
import torch
import torch.nn.functional as F

folder = sys.argv[1]
graph = json.load(open(f"{folder}/network.json"))
weights = json.load(open(f"{folder}/weights.json"))
int8 = graph["inputs"][0]["type"] == "int8"


def load(name):
    w = weights[name]
    dtype = {"float32": np.float32, "int8": np.int8, "int32": np.int32}[w["type"]]
    return torch.from_numpy(np.fromfile(f"{folder}/{w['file']}", dtype).astype(np.float32).reshape(w["shape"]))


def has(name):
    return name in weights


def quantize(x, q):
    return torch.clamp(torch.round(x / q["scale"]) + q["zero_point"], -128, 127)


def through(x, q):
    return (quantize(x, q) - q["zero_point"]) * q["scale"]


FUNCTIONS = {
    "none": lambda x: x,
    "relu": torch.relu,
    "relu6": F.relu6,
    "hard_swish": F.hardswish,
    "sigmoid": torch.sigmoid,
    "hard_sigmoid": F.hardsigmoid,
    "silu": lambda x: x * (through(torch.sigmoid(x), {"scale": 1 / 256, "zero_point": -128}) if int8 else torch.sigmoid(x)),
}


def pair(v):
    return (v, v) if isinstance(v, int) else tuple(v)


def padded(x, p, value=0.0):
    top, bottom, left, right = (p,) * 4 if isinstance(p, int) else p
    return F.pad(x, (left, right, top, bottom), value=value)


def weight(name, op, in_channels, a):
    w = load(name + ".weight")
    if not int8:
        return w
    scales = torch.tensor(weights[name + ".weight"]["scales"])
    if op == "conv2d":
        depthwise = a.get("groups", 1) > 1 and a.get("groups", 1) == in_channels
        w = w.permute(3, 0, 1, 2) if depthwise else w.permute(0, 3, 1, 2)
    return w * scales.reshape(-1, *[1] * (w.dim() - 1))


def bias(name, in_scale):
    if not has(name + ".bias"):
        return None
    b = load(name + ".bias")
    return b * torch.tensor(weights[name + ".weight"]["scales"]) * in_scale if int8 else b


def run(n, x, q_in):
    op, a, name = n["op"], n.get("attributes", {}), n["name"]
    if op in ("conv2d", "linear"):
        w, b = weight(name, op, x[0].shape[1], a), bias(name, q_in["scale"] if int8 else 1)
        if op == "linear":
            return F.linear(x[0], w, b)
        return F.conv2d(padded(x[0], a.get("padding", 0)), w, b, pair(a.get("stride", 1)), 0, pair(a.get("dilation", 1)), a.get("groups", 1))
    if op == "batch_norm":
        p = [load(f"{name}.{s}") for s in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(x[0], *p, training=False, eps=a.get("eps", 1e-5))
    if op == "activation":
        return FUNCTIONS[a.get("function", "relu")](x[0])
    if op == "add":
        return x[0] + x[1]
    if op == "multiply":
        return x[0] * x[1]
    if op == "concat":
        return torch.cat(x, a.get("axis", 0) + 1)
    if op == "split":
        return list(torch.split(x[0], a["sizes"], a.get("axis", 0) + 1))
    if op == "max_pool2d":
        return F.max_pool2d(padded(x[0], a.get("padding", 0), -np.inf), pair(a.get("kernel", 2)), pair(a.get("stride", 2)))
    if op == "avg_pool2d":
        k, s, p = pair(a.get("kernel", 2)), pair(a.get("stride", 2)), a.get("padding", 0)
        area = k[0] * k[1]
        count = F.avg_pool2d(padded(torch.ones_like(x[0]), p), k, s) * area
        return F.avg_pool2d(padded(x[0], p), k, s) * area / count
    if op == "adaptive_avg_pool2d":
        return F.adaptive_avg_pool2d(x[0], pair(a.get("output", 1)))
    if op == "upsample":
        return F.interpolate(x[0], scale_factor=tuple(float(s) for s in pair(a.get("scale", 2))), mode="nearest")
    if op == "pad":
        return padded(x[0], a["padding"])
    if op == "flatten":
        order = {4: (0, 2, 3, 1), 3: (0, 2, 1)}.get(x[0].dim()) if int8 else None
        return (x[0].permute(order) if order else x[0]).flatten(1)
    if op == "softmax":
        return torch.softmax(x[0], 1)
    if op in ("dropout", "requantize"):
        return x[0]
    raise ValueError(op)


values, types = {}, {}
for i in graph["inputs"]:
    raw = np.fromfile(f"{folder}/input.bin", np.int8 if int8 else np.float32).astype(np.float32)
    x = torch.from_numpy(raw.reshape([1] + i["shape"]))
    types[i["name"]] = i.get("quantization")
    values[i["name"]] = (x - types[i["name"]]["zero_point"]) * types[i["name"]]["scale"] if int8 else x
for n in graph["nodes"]:
    y = run(n, [values[i] for i in n["inputs"]], types[n["inputs"][0]])
    a = n.get("attributes", {})
    y = y if isinstance(y, list) else [FUNCTIONS[a["activation"]](y) if "activation" in a else y]
    for k, part in enumerate(y):
        name = n["name"] if k == 0 else f"{n['name']}:{k}"
        types[name] = n["outputs"][k].get("quantization")
        values[name] = through(part, types[name]) if int8 else part
for o in graph["outputs"]:
    y = values[o["value"]]
    y = quantize(y, types[o["value"]]).to(torch.int8) if int8 else y
    y.contiguous().numpy().tofile(f"{folder}/{o['name']}.bin")

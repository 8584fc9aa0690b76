"""Networks as PyTorch exports them, with the answer that PyTorch gives.

torch_networks.py FOLDER OPSET…: writes FOLDER/OPSET/NAME.onnx, NAME.input.bin and NAME.output.bin (float32) of every network
below, each named as its class. "13d" is operator set 13 with a free batch.
"""
import os
import sys
import warnings

import torch
import torch.nn as nn
import torch.nn.functional as F

warnings.filterwarnings("ignore")
opset = 0


class Plain(nn.Module):
    shape = (3, 17, 15)

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
            nn.Conv2d(8, 8, 3, 1, 2, dilation=2, groups=8), nn.BatchNorm2d(8), nn.ReLU6(),
            nn.Conv2d(8, 12, 1), nn.MaxPool2d(3, 2, 1), nn.Dropout(0.1))
        self.classifier = nn.Linear(12 * 5 * 4, 7)

    def forward(self, x):
        return self.classifier(torch.flatten(self.features(x), 1))


class Se(nn.Module):
    def __init__(self, c, linear):
        super().__init__()
        self.linear = linear
        self.a = nn.Linear(c, c // 2) if linear else nn.Conv2d(c, c // 2, 1)
        self.b = nn.Linear(c // 2, c) if linear else nn.Conv2d(c // 2, c, 1)

    def forward(self, x):
        y = F.adaptive_avg_pool2d(x, 1)
        if self.linear:
            y = y.view(x.size(0), -1)
        y = self.b(F.relu(self.a(y)))
        y = F.hardsigmoid(y) if self.linear else torch.sigmoid(y)
        if self.linear:
            y = y.view(x.size(0), x.size(1), 1, 1).expand_as(x)
        return x * y


class Mobile(nn.Module):
    """Inverted residuals, squeeze-excite in both ways, every form of hard swish."""

    shape = (3, 16, 16)

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.expand = nn.Conv2d(8, 16, 1)
        self.depth = nn.Conv2d(16, 16, 5, padding=2, groups=16)
        self.se1, self.se2 = Se(16, True), Se(16, False)
        self.project = nn.Conv2d(16, 8, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = F.hardswish(self.norm(self.stem(x)))
        y = self.expand(x)
        y = y * (F.relu6(y + 3) / 6)
        y = F.silu(self.depth(y))
        y = self.se2(self.se1(y))
        y = y * F.relu6(y + 3) * (1 / 6)
        y = y * F.hardtanh(y + 3, 0, 6) / 6
        x = x + self.norm2(self.project(y))
        return F.softmax(self.head(x.mean((2, 3))), 1)


class Paths(nn.Module):
    """Joins, cuts, padding, resizing, pooling that counts its padding."""

    shape = (4, 12, 10)

    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(4, 8, (3, 1), padding=(1, 0))
        self.b = nn.Conv2d(8, 8, (1, 3), padding=(0, 1), groups=2)
        self.n = nn.BatchNorm2d(8)
        self.f = nn.Linear(8, 3)

    def forward(self, x):
        x = F.relu(self.a(x))
        a, b = x.chunk(2, 1)
        x = torch.cat([b, a], 1)
        x = F.interpolate(x, scale_factor=2, mode="nearest")
        c, d, e = x.split([2, 3, 3], 1)
        x = torch.cat([e, c, d], 1)
        x = torch.cat([x[:, :, :9], x[:, :, 9:]], 2)
        x = F.avg_pool2d(F.pad(x, (0, 1, 2, 0)), 3, 2, 1)
        x = F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)
        x = self.n(torch.relu(self.b(x)))
        x = F.max_pool2d(x, 3, 2, ceil_mode=True)
        x = F.adaptive_avg_pool2d(x, 1).squeeze(3).squeeze(2)
        return self.f(x)


class Normalised(nn.Module):
    """Arithmetic with constants: normalisation of the input, scale and shift of a layer, a matrix product."""

    shape = (3, 8, 8)

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor([0.2, 0.3, 0.25]).view(1, 3, 1, 1))
        self.conv = nn.Conv2d(3, 6, 3)
        self.scale = nn.Parameter(torch.rand(1, 6, 1, 1) + 0.5)
        self.w = nn.Parameter(torch.randn(6, 4))
        self.v = nn.Parameter(torch.randn(4))

    def forward(self, x):
        x = (x - self.mean) / self.std
        x = torch.clamp(self.conv(x) * self.scale + 0.25, min=0)
        x = 2 * x - 1
        x = torch.amax(torch.relu(x), (2, 3)) if opset >= 11 else F.adaptive_max_pool2d(torch.relu(x), 1).flatten(1)
        return torch.sigmoid(x @ self.w + self.v)


class Dense(nn.Module):
    shape = (20,)

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(20, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 16, bias=False), nn.SiLU(), nn.Linear(16, 20))

    def forward(self, x):
        return self.body(x)


for which in sys.argv[2:]:
    opset, dynamic, folder = int(which.rstrip("d")), which.endswith("d"), f"{sys.argv[1]}/{which}"
    os.makedirs(folder)
    for cls in (Plain, Mobile, Paths, Normalised, Dense):
        torch.manual_seed(7)
        net = cls().eval()
        for m in net.modules():
            if isinstance(m, (nn.BatchNorm2d, nn.BatchNorm1d)):
                nn.init.uniform_(m.weight, 0.5, 1.5), nn.init.normal_(m.bias, 0, 0.2)
                nn.init.normal_(m.running_mean, 0, 0.3), nn.init.uniform_(m.running_var, 0.5, 2)
        x = torch.randn(1, *cls.shape)
        torch.onnx.export(net, x, f"{folder}/{cls.__name__}.onnx", opset_version=opset, input_names=["x"], output_names=["y"],
                          dynamic_axes={"x": {0: "n"}} if dynamic else None, do_constant_folding=opset != 11)
        x.numpy().tofile(f"{folder}/{cls.__name__}.input.bin")
        net(x).detach().contiguous().numpy().tofile(f"{folder}/{cls.__name__}.output.bin")

#!/usr/bin/env python3
"""The networks of this benchmark in PyTorch: what a training step takes there, as one JSON line.

usage: pytorch.py MODEL [--mode float|qat] [--batch 64] [--threads 1] [--steps 30]

MODEL is mlp, convnet, resnet8 or mobile. A step is what goqat's is: forward, cross entropy,
backward and Adam on a batch of random numbers; the median of the steps counts. Quantized,
activations are uint8 and weights int8 per channel, both with moving averages of the range
(prepare_qat_fx with the fused modules). The package libopenblas0-openmp makes PyTorch's
products faster, and so does memory that stays mapped:

	MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=17179869184 pytorch.py convnet --mode qat --threads 2
"""
import argparse
import json
import os
import statistics
import time
import warnings

warnings.filterwarnings("ignore")
args = argparse.ArgumentParser(usage=__doc__)
args.add_argument("model", choices=["mlp", "convnet", "resnet8", "mobile"])
args.add_argument("--mode", choices=["float", "qat"], default="float")
args.add_argument("--batch", type=int, default=64)
args.add_argument("--threads", type=int, default=1)
args.add_argument("--steps", type=int, default=30)
args = args.parse_args()
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = str(args.threads)  # read at import

import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.ao.quantization import (  # noqa: E402
    FusedMovingAvgObsFakeQuantize, MovingAverageMinMaxObserver, MovingAveragePerChannelMinMaxObserver,
    QConfig, QConfigMapping)
from torch.ao.quantization.quantize_fx import prepare_qat_fx  # noqa: E402


def conv_norm(cin, cout, size, stride=1, groups=1):
    return [nn.Conv2d(cin, cout, size, stride, size // 2, groups=groups, bias=False), nn.BatchNorm2d(cout)]


class Block(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, cin, cout, stride):
        super().__init__()
        self.body = nn.Sequential(*conv_norm(cin, cout, 3, stride), nn.ReLU(), *conv_norm(cout, cout, 3))
        self.short = nn.Sequential(*conv_norm(cin, cout, 1, stride)) if stride > 1 or cin != cout else None
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.relu(self.body(x) + (x if self.short is None else self.short(x)))


def separable(cin, cout, stride):
    return [*conv_norm(cin, cin, 3, stride, cin), nn.ReLU(), *conv_norm(cin, cout, 1), nn.ReLU()]


def head(channels):
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)]


MODELS = {
    "mlp": ((784,), lambda: [nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10)]),
    "convnet": ((1, 28, 28), lambda: [
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(64 * 49, 128), nn.ReLU(), nn.Linear(128, 10)]),
    "resnet8": ((3, 32, 32), lambda: [
        *conv_norm(3, 16, 3), nn.ReLU(), Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2), *head(64)]),
    "mobile": ((3, 32, 32), lambda: [
        *conv_norm(3, 16, 3), nn.ReLU(), *separable(16, 32, 1), *separable(32, 64, 2), *separable(64, 64, 1),
        *separable(64, 128, 2), *head(128)]),
}


def quantized(net, shape):
    fake = FusedMovingAvgObsFakeQuantize.with_args
    config = QConfig(
        activation=fake(observer=MovingAverageMinMaxObserver, quant_min=0, quant_max=255, dtype=torch.quint8),
        weight=fake(observer=MovingAveragePerChannelMinMaxObserver, quant_min=-127, quant_max=127, dtype=torch.qint8,
                    qscheme=torch.per_channel_symmetric, ch_axis=0))
    return prepare_qat_fx(net, QConfigMapping().set_global(config), (torch.zeros(2, *shape),))


torch.set_num_threads(args.threads)
torch.manual_seed(0)
shape, layers = MODELS[args.model]
net = nn.Sequential(*layers()).train()
if args.mode == "qat":
    net = quantized(net, shape)
solver = torch.optim.Adam(net.parameters())
x, y = torch.rand(args.batch, *shape), torch.arange(args.batch) % 10
times = []
for _ in range(3 + args.steps):
    start = time.perf_counter()
    solver.zero_grad()
    loss = nn.functional.cross_entropy(net(x), y)
    loss.backward()
    solver.step()
    times.append(time.perf_counter() - start)
step = statistics.median(times[3:])
print(json.dumps({**vars(args), "ms_per_step": round(step * 1e3, 3), "items_per_s": round(args.batch / step, 1),
                  "params": sum(p.numel() for p in net.parameters()), "final_loss": round(loss.item(), 4)}))

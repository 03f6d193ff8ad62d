#!/usr/bin/env python3
"""Makes the golden files of tests/golden with PyTorch and torchvision: see README.md there.

    make.py [MODEL...]        the golden files of these models, or of all
    make.py --full DIR        torchvision's models at full width, with seeded random weights
"""
import argparse
import collections
import json
import pathlib
import re
import struct

import numpy as np
import torch
import torchvision
from torch import nn

STEPS = 10
RATE = 2.0**-5  # of the trajectory: a power of two, so that rate * gradient is exact

CROSSED = 2e-4  # a gradient that is further off than this in f32 has seen a kink crossed

# All of these are f32 without rounding; tests/golden/models_test.c has the same table.
EPSILON = 2.0**-23
ADAM = dict(lr=2.0**-10, betas=(0.875, 1 - 2.0**-10), eps=EPSILON)
OPTIMIZERS = {  # class, arguments, what PyTorch calls the slots that we call ...
    "sgd": (torch.optim.SGD, dict(lr=2.0**-6), {}),
    "momentum": (torch.optim.SGD, dict(lr=2.0**-6, momentum=0.875), {"v": "momentum_buffer"}),
    "nesterov": (torch.optim.SGD, dict(lr=2.0**-6, momentum=0.875, nesterov=True),
                 {"v": "momentum_buffer"}),
    "rmsprop": (torch.optim.RMSprop, dict(lr=2.0**-10, alpha=0.9375, eps=EPSILON),
                {"v": "square_avg"}),
    "adagrad": (torch.optim.Adagrad,
                dict(lr=2.0**-10, initial_accumulator_value=0.125, eps=EPSILON), {"v": "sum"}),
    "adam": (torch.optim.Adam, dict(ADAM, weight_decay=0), {"m": "exp_avg", "v": "exp_avg_sq"}),
    "adamw": (torch.optim.AdamW, dict(ADAM, weight_decay=2.0**-8),
              {"m": "exp_avg", "v": "exp_avg_sq"}),
}


# ---- models, with the zoo's names ----


class Flatten(nn.Module):
    """Row by row, pixel by pixel, channel by channel, as our images lie in memory."""

    def forward(self, x):
        return (x.permute(0, 2, 3, 1) if x.dim() == 4 else x).flatten(1)


def named(*layers):
    """A Sequential whose layers are called conv1, dense1, dense2 ..."""
    words = {nn.Conv2d: "conv", nn.Linear: "dense"}
    count, model = {}, nn.Sequential()
    for i, layer in enumerate(layers):
        word = words.get(type(layer), f"other{i}_")
        count[word] = count.get(word, 0) + 1
        model.add_module(f"{word}{count[word]}", layer)
    return model


def mlp(inputs, hidden, classes):
    layers = [Flatten()]
    for units in hidden:
        layers += [nn.Linear(inputs, units), nn.ReLU()]
        inputs = units
    return named(*layers, nn.Linear(inputs, classes))


def cnn(channels, filters, padding, flat, dense, classes):
    layers = []
    for units in filters:
        layers += [nn.Conv2d(channels, units, 3, padding=padding), nn.ReLU(), nn.MaxPool2d(2)]
        channels = units
    return named(*layers, Flatten(), nn.Linear(flat, dense), nn.ReLU(), nn.Linear(dense, classes))


def scaled(channels, width):
    return int(channels * width + 0.5)


class ResNet(torchvision.models.ResNet):
    """torchvision's, narrower; with a small stem if asked for."""

    def __init__(self, block, blocks, width, classes, small):
        nn.Module.__init__(self)
        self._norm_layer, self.groups, self.base_width, self.dilation = nn.BatchNorm2d, 1, 64, 1
        self.inplanes = scaled(64, width)
        kernel, stride = (3, 1) if small else (7, 2)
        self.conv1 = nn.Conv2d(3, self.inplanes, kernel, stride, kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(self.inplanes)
        self.relu = nn.ReLU()
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, 2, 1)
        for i, count in enumerate(blocks):
            stage = self._make_layer(block, scaled(64 << i, width), count, stride=2 if i else 1)
            setattr(self, f"layer{i + 1}", stage)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(scaled(512, width) * block.expansion, classes)


BASIC, BOTTLENECK = torchvision.models.resnet.BasicBlock, torchvision.models.resnet.Bottleneck


def mobilenet_v2(width, classes):
    model = torchvision.models.MobileNetV2(classes, width, dropout=0)
    model.features[0][0].stride = (1, 1)  # small stem
    return model


def efficientnet_b0(width, classes):
    settings, _ = torchvision.models.efficientnet._efficientnet_conf(
        "efficientnet_b0", width_mult=width, depth_mult=1)
    model = torchvision.models.EfficientNet(settings, 0, 0, classes)
    model.features[0][0].stride = (1, 1)  # small stem
    return model


class Transformer(nn.Module):
    """transformer-small, of fewer ids: those of the batches."""

    def __init__(self, ids, length, channels, depth, classes):
        super().__init__()
        self.embedding = nn.Embedding(ids, channels)
        self.encoder = nn.Module()
        self.encoder.pos_embedding = nn.Parameter(torch.empty(1, length, channels))
        self.encoder.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(channels, 4, 4 * channels, 0, "gelu", batch_first=True,
                                       norm_first=True) for _ in range(depth))
        self.encoder.norm = nn.LayerNorm(channels)
        self.fc = nn.Linear(channels, classes)

    def forward(self, ids):
        x = self.embedding(ids.long()) + self.encoder.pos_embedding
        for layer in self.encoder.layers:
            x = layer(x)
        return self.fc(self.encoder.norm(x).mean(1))


def vit(size, depth, heads, channels, classes):
    return torchvision.models.VisionTransformer(size, 4, depth, heads, channels, 4 * channels,
                                                num_classes=classes)


class Recurrent(nn.Module):
    """A layer of PyTorch's with our parameters: [in, gates], one bias but for gru, z before r."""

    def __init__(self, kind, inputs, units, last):
        super().__init__()
        gates = dict(rnn_tanh=1, lstm=4, gru=3)[kind]
        self.kind, self.units, self.last = kind, units, last
        self.weight = nn.Parameter(torch.empty(inputs, gates * units))
        self.recurrent_weight = nn.Parameter(torch.empty(units, gates * units))
        self.bias = nn.Parameter(torch.empty(gates * units))
        if kind == "gru":
            self.recurrent_bias = nn.Parameter(torch.empty(gates * units))

    def theirs(self, tensor):
        if self.kind == "gru":
            z, r, n = tensor.split(self.units, -1)
            tensor = torch.cat([r, z, n], -1)
        return tensor.T.contiguous() if tensor.dim() == 2 else tensor

    def forward(self, x):
        second = self.recurrent_bias if self.kind == "gru" else torch.zeros_like(self.bias)
        weights = [self.theirs(t) for t in (self.weight, self.recurrent_weight, self.bias, second)]
        zero = x.new_zeros(1, len(x), self.units)
        state = (zero, zero) if self.kind == "lstm" else zero
        y = getattr(torch._VF, self.kind)(x, state, weights, True, 1, 0.0, self.training, False,
                                          True)[0]
        return y[:, -1] if self.last else y


def recurrent(word, kind, inputs, first, second, classes):
    return nn.Sequential(collections.OrderedDict([
        (f"{word}1", Recurrent(kind, inputs, first, False)),
        (f"{word}2", Recurrent(kind, first, second, True)),
        ("dense1", nn.Linear(second, classes))]))


class Golden:
    """One row: a model and its batches. `updates`: whether every optimizer's results are kept;
    `ids`: x are numbers below it, else images."""

    def __init__(self, build, batch, sample, classes, updates=False, margin=1e-4, calm="-",
                 ids=0):
        self.build, self.batch, self.sample, self.classes = build, batch, sample, classes
        self.updates, self.margin, self.ids = updates, margin, ids
        self.calm = re.compile(calm)  # scales that start small, or rounding grows block by block


MODELS = {
    "linear": Golden(lambda: mlp(6, (), 5), 7, (3, 2, 1), 5, updates=True),
    "mlp": Golden(lambda: mlp(20, (11, 7, 6), 5), 9, (5, 4, 1), 5, updates=True),
    "cnn": Golden(lambda: cnn(3, (2, 4, 8), 1, 8, 8, 5), 5, (9, 10, 3), 5, updates=True),
    "cnn-light": Golden(lambda: cnn(2, (2, 4), 0, 4, 8, 3), 5, (11, 12, 2), 3, updates=True),
    "cnn-mid": Golden(lambda: cnn(1, (2, 4, 8, 8), 1, 8, 4, 5), 5, (17, 16, 1), 5),
    "resnet18": Golden(lambda: ResNet(BASIC, [2, 2, 2, 2], 1 / 32, 7, False), 6, (41, 35, 3), 7,
                       margin=1e-5, calm=r"bn2\.weight"),
    "resnet50": Golden(lambda: ResNet(BOTTLENECK, [3, 4, 6, 3], 3 / 128, 5, True), 6,
                       (13, 12, 3), 5, margin=1e-5, calm=r"bn3\.weight"),
    "resnet101": Golden(lambda: ResNet(BOTTLENECK, [3, 4, 23, 3], 3 / 128, 5, True), 6,
                        (11, 12, 3), 5, margin=1e-5, calm=r"bn3\.weight"),
    "mobilenet-v2": Golden(lambda: mobilenet_v2(0.01, 3), 8, (11, 9, 3), 3, margin=4e-6,
                           calm=r"conv\.[23]\.weight"),
    "efficientnet-b0": Golden(lambda: efficientnet_b0(0.01, 3), 6, (17, 18, 3), 3,
                              calm=r"block\.[23]\.1\.weight"),
    "vit-tiny": Golden(lambda: vit(12, 2, 3, 12, 5), 5, (12, 12, 3), 5),
    "vit-small": Golden(lambda: vit(8, 2, 6, 12, 3), 5, (8, 8, 3), 3),
    "vit-b16": Golden(lambda: vit(16, 1, 12, 24, 3), 3, (16, 16, 3), 3),
    "transformer-small": Golden(lambda: Transformer(50, 9, 8, 2, 3), 6, (9,), 3, ids=50),
    "rnn": Golden(lambda: recurrent("simple_rnn", "rnn_tanh", 3, 5, 4, 3), 6, (7, 3), 3,
                  updates=True),
    "lstm": Golden(lambda: recurrent("lstm", "lstm", 3, 5, 4, 3), 6, (7, 3), 3, updates=True),
    "gru": Golden(lambda: recurrent("gru", "gru", 3, 5, 4, 3), 6, (7, 3), 3, updates=True),
}


# ---- layouts ----


def tables(model):
    """Names of what is not turned: tables, and what lies as ours does."""
    return {f"{name}.{parameter}" for name, m in model.named_modules()
            if isinstance(m, (nn.Embedding, Recurrent)) for parameter, _ in m.named_parameters()}


def ours(name, tensor, kept):
    """OIHW to HWIO, [out, in] to [in, out]; what the library has."""
    if tensor.ndim == 4:
        return tensor.transpose(2, 3, 1, 0)
    return tensor.T if tensor.ndim == 2 and name not in kept else tensor


def channels_first(x):
    """NHWC to NCHW; sequences and vectors as they are."""
    return x.permute(0, 3, 1, 2) if x.dim() == 4 else x


def start(model, calm, rng):
    """Values for every tensor of the model, exact in f32, none of them 0 or 1."""
    values = {}
    for name, tensor in model.state_dict().items():
        shape = tuple(tensor.shape)
        if name.endswith("num_batches_tracked"):
            continue
        if len(shape) > 1:
            v = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
        elif name.endswith(("weight", "running_var")):
            v = rng.uniform(0.5, 1.5, shape) * (0.25 if calm.search(name) else 1)
        else:
            v = rng.uniform(-0.2, 0.2, shape)
        values[name] = v.astype(np.float32)
    return values


def load(model, values):
    state = model.state_dict()
    with torch.no_grad():
        for name, value in values.items():
            state[name].copy_(torch.from_numpy(value))


# ---- one step ----


class Margin:
    """The least distance of any input of the model's kinks from the kink, over the input's rms."""

    def __init__(self, model):
        self.least = np.inf
        for m in model.modules():
            if isinstance(m, (nn.ReLU, nn.ReLU6)):
                m.register_forward_pre_hook(self.see_relu)
            elif isinstance(m, nn.MaxPool2d):
                m.register_forward_pre_hook(self.see_pool)

    def see(self, distance, x):
        self.least = min(self.least, float(distance.abs().min() / x.square().mean().sqrt()))

    def see_relu(self, module, inputs):
        self.see(inputs[0].detach(), inputs[0].detach())
        if isinstance(module, nn.ReLU6):
            self.see(inputs[0].detach() - 6, inputs[0].detach())

    def see_pool(self, module, inputs):
        x, k, s, p = inputs[0].detach(), module.kernel_size, module.stride, module.padding
        windows = nn.functional.unfold(nn.functional.pad(x, [p] * 4, value=-1e30), k, stride=s)
        best = windows.unflatten(1, (x.shape[1], k * k)).topk(2, 2).values
        gap = best[:, :, 0] - best[:, :, 1]
        self.see(gap[best[:, :, 0] > 0], x)  # behind a relu all zeros are alike


def evaluate(model, values, x, labels, order):
    """Loss, gradients, running statistics and probabilities of one batch, samples in `order`."""
    dtype = next(model.parameters()).dtype
    load(model, values)
    x = x.to(dtype) if x.is_floating_point() else x
    model.eval()
    with torch.no_grad():
        output = torch.softmax(model(channels_first(x)), 1).numpy()
    model.train()
    model.zero_grad()
    loss = nn.functional.cross_entropy(model(channels_first(x[order])), labels[order])
    loss.backward()
    gradients = {name: p.grad.numpy().copy() for name, p in model.named_parameters()}
    after = {name: b.numpy().copy() for name, b in model.named_buffers()
             if b.is_floating_point()}
    return dict(loss=loss.detach().numpy(), output=output, gradient=gradients, after=after)


def difference(a, b):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    norm = np.linalg.norm(b)
    error = np.linalg.norm(a - b)
    return error / norm if norm > 0 else error


def solid(gradients):
    """Those that are not 0 but for rounding, as that of a shift before batch normalisation is."""
    norms = {n: np.linalg.norm(g) for n, g in gradients.items()}
    most = max(norms.values())
    return [(n, g) for n, g in gradients.items() if norms[n] > 1e-9 * most]


class Follower:
    """An optimizer of PyTorch that is set back to golden parameters and slots before each step."""

    def __init__(self, kind, values, names, dtype):
        of, arguments, self.slots = OPTIMIZERS[kind]
        self.parameters = {n: nn.Parameter(torch.tensor(values[n], dtype=dtype)) for n in names}
        decay = arguments.get("weight_decay", 0)
        groups = [dict(params=[p], weight_decay=decay if p.dim() > 1 else 0)
                  for p in self.parameters.values()]  # vectors do not decay
        self.optimizer = of(groups, **arguments)

    def step(self, values, slots, gradients):
        for name, p in self.parameters.items():
            p.data = torch.tensor(values[name], dtype=p.dtype)  # a copy
            p.grad = torch.from_numpy(gradients[name]).to(p.dtype)
            for ours_, theirs in self.slots.items():
                if slots is not None:
                    self.optimizer.state[p][theirs].copy_(torch.from_numpy(slots[ours_][name]))
        self.optimizer.step()
        result = {"": {n: p.detach().numpy().copy() for n, p in self.parameters.items()}}
        for ours_, theirs in self.slots.items():
            result[ours_] = {n: self.optimizer.state[p][theirs].numpy().copy()
                             for n, p in self.parameters.items()}
        return result


# ---- files ----


def save(path, tensors, metadata):
    """safetensors, largest dtype first."""
    names = {"f8": "F64", "f4": "F32", "i8": "I64", "i4": "I32", "u1": "U8"}
    header, data, at = {"__metadata__": metadata}, [], 0
    for name, value in sorted(tensors.items(), key=lambda t: (-t[1].dtype.itemsize, t[0])):
        value = np.ascontiguousarray(value)
        header[name] = dict(dtype=names[value.dtype.str[1:]], shape=list(value.shape),
                            data_offsets=[at, at + value.nbytes])
        at += value.nbytes
        data.append(value.tobytes())
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data))


class Record:
    """Tensors that gain one row a step, and how far PyTorch's f32 is from each."""

    def __init__(self, kept):
        self.rows, self.kept = {}, kept

    def add(self, prefix, name, value, singles=None):
        full = f"{prefix}{name}"
        value = np.asarray(value)
        row = ours(name, value.astype(np.float32), self.kept) if name else value
        self.rows.setdefault(full, []).append(row)
        if singles is not None:
            own = max(difference(s, value) for s in singles)
            self.rows.setdefault(f"difference.{full}", []).append(np.float32(own))

    def add_all(self, prefix, values, singles):
        for name, value in values.items():
            self.add(prefix, name, value, [s[name] for s in singles])

    def tensors(self):
        return {name: np.stack(rows) for name, rows in self.rows.items()}


def draw(golden, rng):
    shape = (golden.batch, *golden.sample)
    x = rng.integers(0, golden.ids or 256, shape)
    if not golden.ids:
        x = (x - 128) / 64
    labels = rng.integers(0, golden.classes, golden.batch)
    return torch.from_numpy(x.astype(np.float32)), torch.from_numpy(labels)


def stored(x, golden):
    """Images as the bytes they were drawn as."""
    return x.astype(np.int32) if golden.ids else (x * 64 + 128).astype(np.uint8)


def make(name, golden, path):
    rng = np.random.default_rng(20260101)
    torch.manual_seed(0)
    doubles, singles = golden.build().double(), golden.build().float()
    values, margin = start(doubles, golden.calm, rng), Margin(doubles)
    trained = [n for n, _ in doubles.named_parameters()]
    record = Record(tables(doubles))
    tensors = {f"start.{n}": ours(n, v, record.kept) for n, v in values.items()}
    kinds = OPTIMIZERS if golden.updates else ()
    followers = {k: [Follower(k, values, trained, d) for d in (torch.float64, torch.float32)]
                 for k in kinds}
    slots = dict.fromkeys(kinds)
    xs, targets = [], []
    same = np.arange(golden.batch)
    orders = [same] + [rng.permutation(golden.batch) for _ in range(3)]
    tries = 0
    for _ in range(STEPS):
        while True:  # until rounding takes no value past a kink
            x, labels = draw(golden, rng)
            margin.least = np.inf
            exact = evaluate(doubles, values, x, labels, same)
            tries += 1
            if margin.least < golden.margin:
                continue
            # The same sums in other orders: how far f32 is off is chance in any one of them.
            rounded = [evaluate(singles, values, x, labels, order) for order in orders]
            if max(difference(r["gradient"][n], g) for r in rounded
                   for n, g in solid(exact["gradient"])) < CROSSED:
                break
        xs.append(x.numpy())
        targets.append(labels.numpy().astype(np.int32))
        for what in ("loss", "output"):
            record.add(what, "", exact[what], [r[what] for r in rounded])
        for what in ("gradient", "after"):
            record.add_all(f"{what}.", exact[what], [r[what] for r in rounded])
        for kind, (double, single) in followers.items():
            wanted = double.step(values, slots[kind], exact["gradient"])
            found = [single.step(values, slots[kind], r["gradient"]) for r in rounded[:1]]
            for slot, results in wanted.items():
                record.add_all(f"{kind}.{slot}{'.' if slot else ''}", results,
                               [f[slot] for f in found])
            slots[kind] = {slot: {n: v.astype(np.float32) for n, v in results.items()}
                           for slot, results in wanted.items()}
        for n in trained:
            gradient = exact["gradient"][n].astype(np.float32).astype(np.float64)
            values[n] = (values[n].astype(np.float64) - RATE * gradient).astype(np.float32)
        for n, value in exact["after"].items():
            values[n] = value.astype(np.float32)
    tensors.update(record.tensors())
    tensors.update(x=stored(np.stack(xs), golden), labels=np.stack(targets))
    save(path, tensors, dict(format="burthen", model=name, made_by=f"torch {torch.__version__}"))
    print(f"{path.name}: {sum(v.size for v in values.values())} parameters, "
          f"{path.stat().st_size} bytes, {tries} batches drawn", flush=True)


# ---- weights as PyTorch lays them out ----

FULL = {
    "resnet18": torchvision.models.resnet18,
    "resnet50": torchvision.models.resnet50,
    "mobilenet-v2": torchvision.models.mobilenet_v2,
    "efficientnet-b0": torchvision.models.efficientnet_b0,
    "vit-b16": torchvision.models.vit_b_16,
}


def small_net():
    """What tests/train/weights_test.c builds."""
    return nn.Sequential(collections.OrderedDict(
        conv1=nn.Conv2d(3, 4, (3, 2)), bn1=nn.BatchNorm2d(4), relu=nn.ReLU(),
        depthwise1=nn.Conv2d(4, 4, 3, padding=1, groups=4), pool=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(), dense1=nn.Linear(4, 5)))


def save_weights(path, model, sample):
    """A model's tensors as safetensors.torch saves them, and what it makes of two images."""
    torch.manual_seed(1)
    for m in model.modules():
        if isinstance(m, nn.BatchNorm2d):  # as if it had learned
            nn.init.uniform_(m.running_mean, -0.1, 0.1)
            nn.init.uniform_(m.running_var, 0.5, 1.5)
    for p in model.parameters():
        if p.dim() > 1 and not p.any():  # a head that starts at 0 tells nothing
            nn.init.normal_(p, std=0.02)
    x = torch.randn(2, *sample)
    with torch.no_grad():
        logits = model.double().eval()(channels_first(x.double()))
    tensors = {n: t.numpy() for n, t in model.float().state_dict().items()}
    save(path, dict(tensors, x=x.numpy(), logits=logits.float().numpy()), dict(format="pt"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", metavar="MODEL")
    parser.add_argument("--full", type=pathlib.Path, metavar="DIR")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if arguments.full:
        arguments.full.mkdir(parents=True, exist_ok=True)
        for name in arguments.models or FULL:
            save_weights(arguments.full / f"{name}.safetensors", FULL[name](), (224, 224, 3))
        return
    folder = pathlib.Path(__file__).parent
    if not arguments.models:
        save_weights(folder / "pytorch.safetensors", small_net(), (7, 6, 3))
    for name in arguments.models or MODELS:
        make(name, MODELS[name], folder / f"{name}.safetensors")


if __name__ == "__main__":
    main()

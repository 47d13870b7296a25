"""PyTorch: nn.Sequential, torch.optim, an eager loop; a population with torch.func. On the GPU if there is one."""

import torch
from torch import nn

from scripts.benchmarks.speed import sequences
from scripts.benchmarks.speed.peers.images import with_torch as images
from scripts.benchmarks.speed.peers.initial import rates, seeds
from scripts.benchmarks.speed.peers.sequences import with_torch as of_sequences

NETWORKS = ("mlp", "lenet", "resnet", *sequences.NETWORKS)
IMAGES = ("lenet", "resnet")
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
if DEVICE.type == "cuda":
    torch.set_float32_matmul_precision("high")  # in tensor cores, the default of JAX


def _network(workload, seed):
    torch.manual_seed(seed)
    if workload.network != "mlp":
        return (images if workload.network in IMAGES else of_sequences).network(workload).to(DEVICE)
    layers = []
    for n_in, n_out in zip(workload.sizes[:-1], workload.sizes[1:], strict=True):
        linear = nn.Linear(n_in, n_out)
        nn.init.normal_(linear.weight, std={"zeros": 0.0, "lecun": n_in**-0.5, "he": (2 / n_in) ** 0.5}[workload.init])
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.ReLU() if workload.activation == "relu" else nn.Tanh()]
    return nn.Sequential(*layers[:-1]).to(DEVICE)


def _finished(lap):
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    lap()


def train(workload, x, y, lap, channels_last=False):
    model = _network(workload, workload.seed)
    make = torch.optim.SGD if workload.optimizer == "sgd" else torch.optim.Adam
    optimizer = make(model.parameters(), lr=workload.rate)
    x, y = torch.from_numpy(x).to(DEVICE), torch.from_numpy(y).to(DEVICE)
    if workload.network in IMAGES:
        layout = torch.channels_last if channels_last else torch.contiguous_format
        x, model = x.permute(0, 3, 1, 2).contiguous(memory_format=layout), model.to(memory_format=layout)
    binary = workload.output == "binary"
    loss = nn.BCEWithLogitsLoss() if binary else nn.CrossEntropyLoss()
    if workload.network in sequences.NETWORKS:
        loss = of_sequences.loss(workload)
    y = y[:, None].float() if binary else y.long()
    for _ in range(workload.laps):
        batches = [None] * workload.steps
        if workload.batch is not None:
            epochs = workload.steps * workload.batch // len(y)
            batches = torch.cat([torch.randperm(len(y), device=DEVICE) for _ in range(epochs)]).split(workload.batch)
        for rows in batches:
            xb, yb = (x, y) if rows is None else (x[rows], y[rows])
            optimizer.zero_grad()
            loss(model(xb), yb).backward()
            optimizer.step()
        _finished(lap)
    if workload.network == "mlp":
        return [p.detach().cpu().numpy() for p in model.parameters()]
    return images.arrays(model) if workload.network in IMAGES else model.arrays()


def population(workload, x, y, lap):
    """Train stacked params with `vmap` and a hand-written Adam, since `torch.optim` has a single learning rate."""
    networks = [_network(workload, int(seed)) for seed in seeds(workload)]
    params, _ = torch.func.stack_module_state(networks)
    params = {name: parameter.detach() for name, parameter in params.items()}
    bare = _network(workload, 0).to("meta")

    def loss(params, x, y):
        return nn.functional.cross_entropy(torch.func.functional_call(bare, params, (x,)), y)

    gradients = torch.func.vmap(torch.func.grad(loss), in_dims=(0, None, None))
    rate = torch.from_numpy(rates(workload)).to(DEVICE)
    of_each = [
        (p, torch.zeros_like(p), torch.zeros_like(p), rate.reshape(-1, *[1] * (p.ndim - 1))) for p in params.values()
    ]
    x, y = torch.from_numpy(x).to(DEVICE), torch.from_numpy(y).long().to(DEVICE)
    epochs, t = workload.steps * workload.batch // len(y), 0
    for _ in range(workload.laps):
        order = torch.cat([torch.randperm(len(y), device=DEVICE) for _ in range(epochs)])
        for rows in order.split(workload.batch):
            grads, t = gradients(params, x[rows], y[rows]), t + 1
            scale = (1 - 0.999**t) ** 0.5 / (1 - 0.9**t)
            for (p, m, v, r), g in zip(of_each, grads.values(), strict=True):
                m.lerp_(g, 0.1)
                v.mul_(0.999).addcmul_(g, g, value=0.001)
                p.addcdiv_(m * r, v.sqrt().add_(1e-8), value=-scale)
        _finished(lap)
    return [parameter.cpu().numpy() for parameter in params.values()]

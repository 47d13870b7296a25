"""PyTorch: nn.Sequential, torch.optim, an eager loop."""

import torch
from torch import nn


def train(workload, x, y, lap):
    torch.manual_seed(0)
    layers = []
    for n_in, n_out in zip(workload.sizes[:-1], workload.sizes[1:], strict=True):
        linear = nn.Linear(n_in, n_out)
        nn.init.normal_(linear.weight, std={"zeros": 0.0, "lecun": n_in**-0.5, "he": (2 / n_in) ** 0.5}[workload.init])
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.ReLU() if workload.activation == "relu" else nn.Tanh()]
    model = nn.Sequential(*layers[:-1])
    make = torch.optim.SGD if workload.optimizer == "sgd" else torch.optim.Adam
    optimizer = make(model.parameters(), lr=workload.rate)
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    binary = workload.output == "binary"
    loss = nn.BCEWithLogitsLoss() if binary else nn.CrossEntropyLoss()
    y = y[:, None].float() if binary else y.long()
    for _ in range(workload.laps):
        batches = [None] * workload.steps
        if workload.batch is not None:
            epochs = workload.steps * workload.batch // len(y)
            batches = torch.cat([torch.randperm(len(y)) for _ in range(epochs)]).split(workload.batch)
        for rows in batches:
            xb, yb = (x, y) if rows is None else (x[rows], y[rows])
            optimizer.zero_grad()
            loss(model(xb), yb).backward()
            optimizer.step()
        lap()
    return [parameter.detach().numpy() for parameter in model.parameters()]

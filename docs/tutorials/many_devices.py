# %% [markdown]
# # Many devices
#
# A CPU can stand for four devices, which is how a plan for many is tested on one machine. The number must be set
# before the first use of JAX.

# %%
import jax

jax.config.update("jax_num_cpu_devices", 4)

import numpy as np

import jaxnn
from jaxnn import parallel

print(jax.devices())

# %% [markdown]
# ## A plan
#
# `shards=8` is a part of the plan: the data lie in 8 equal parts, each of which draws its own rows of every batch. On
# 1, 2, 4 or 8 devices the numbers are the same, but for rounding.

# %%
rng = np.random.default_rng(0)
x = rng.normal(size=(1600, 20)).astype("float32")
y = (np.sin(x[:, 0]) + x[:, 1] * x[:, 2] > 0).astype(int)
model = jaxnn.mlp((20, 32, 32, 1))
objective = jaxnn.objective(model.network, model.loss)
start, key = model.init(jax.random.key(0)), jax.random.key(1)
adam = jaxnn.optimizer("adam", 3e-3)


def fitted(mesh, params=start):
    given = dict(key=key, epochs=10, batch_size=64, shards=8)
    return jaxnn.fit(objective, adam, params, x, y, **given, mesh=mesh)


one = fitted(parallel.make_mesh(devices=jax.devices()[:1]))
four = fitted(parallel.make_mesh())
print(f"loss {float(one.losses[-1]):.4f} on one device, {float(four.losses[-1]):.4f} on four")
print("largest difference of losses below 1e-4:", bool(np.abs(one.losses - four.losses).max() < 1e-4))

# %% [markdown]
# ## Where arrays lie
#
# Params are whole on each device. `split_evenly` gives each device a part of them, and the optimizer's state follows.

# %%
mesh = parallel.make_mesh()
divided = parallel.split_evenly(start, mesh)
print(start[0]["W"].shape, divided[0]["W"].sharding)
split = fitted(mesh, divided)
print("the same losses:", bool(np.abs(split.losses - one.losses).max() < 1e-4))

# %% [markdown]
# ## Several processes
#
# The same lines run in each process after `jax.distributed.initialize(...)`: [several processes](../processes.md).

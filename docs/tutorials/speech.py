# %% [markdown]
# # Speech
#
# Which vowels follow each other in a recording, without labels in time? The recordings are synthesized here: each
# vowel is a buzz at the pitch of a voice, with two resonances, the formants. The study `speech` does the same with
# recorded digits.

# %% The spectrogram of a recording of four vowels
import jax
import numpy as np
from matplotlib import pyplot as plt

import jaxnn
from jaxnn import decoding, losses, nn

RATE, FORMANTS = 8000, {"a": (730, 1090), "i": (270, 2290), "u": (300, 870), "e": (530, 1840)}
VOWELS = list(FORMANTS)


def spoken(word, rng):
    """Return the samples of vowels after each other, with pauses of random length."""
    parts = [np.zeros(rng.integers(300, 900))]
    for vowel in word:
        n, pitch = rng.integers(900, 1600), rng.uniform(90, 220)
        t = np.arange(n) / RATE
        harmonics = np.arange(1, int(3800 / pitch)) * pitch
        loud = sum(np.exp(-(((harmonics - f * rng.normal(1, 0.03)) / 150) ** 2)) for f in FORMANTS[vowel]) + 0.01
        parts += [(loud * np.sin(2 * np.pi * np.outer(t, harmonics))).sum(1) * np.hanning(n)]
        parts += [np.zeros(rng.integers(200, 700))]
    samples = np.concatenate(parts)
    return samples + rng.normal(0, 0.05, len(samples))


def spectrogram(samples):
    """Return the logarithm of the energies in 24 bands, in frames of 32 ms, two of which begin in each 32 ms."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, 256)[::128] * np.hanning(256)
    energies = np.abs(np.fft.rfft(frames))[:, :120] ** 2
    return np.log(energies.reshape(len(frames), 24, 5).sum(2) + 1e-3)


rng = np.random.default_rng(0)
plt.figure(figsize=(8, 2.5))
plt.imshow(spectrogram(spoken("aiue", rng)).T, origin="lower", aspect="auto")
plt.xlabel("frame")
plt.ylabel("band")
plt.title("a, i, u, e")

# %% [markdown]
# ## Sequences and labels of different lengths
#
# `nn.Sequences` holds a padded array with lengths: what comes after a length has no influence. Labels are padded
# likewise. Class 0 is the blank of CTC, so vowels are 1 to 4.


# %%
def recordings(n, seed):
    rng = np.random.default_rng(seed)
    words = ["".join(rng.choice(VOWELS, rng.integers(1, 5))) for _ in range(n)]
    heard = [spectrogram(spoken(word, rng)) for word in words]
    x, y = np.zeros((n, 80, 24), np.float32), np.zeros((n, 4), np.int32)
    for i, (one, word) in enumerate(zip(heard, words, strict=True)):
        x[i, : len(one)], y[i, : len(word)] = one[:80], [VOWELS.index(v) + 1 for v in word]
    lengths = np.array([min(len(one), 80) for one in heard])
    return nn.Sequences(x, lengths), nn.Sequences(y, np.array([len(word) for word in words])), words


x, y, _ = recordings(300, 1)
x_dev, y_dev, words = recordings(100, 2)
mean, deviation = x.x.mean((0, 1)), x.x.std((0, 1))
x, x_dev = (nn.Sequences((part.x - mean) / deviation, part.lengths) for part in (x, x_dev))

# %% [markdown]
# ## Network and loss
#
# A recurrent network that reads in both directions gives logits for each frame; `losses.ctc` sums the probabilities of
# all ways in which the labels can be placed in time. Its gradient is derived from the forward and backward variables
# ([ctc](../derivations/ctc.md)).

# %%
network = jaxnn.chain(nn.bidirectional(nn.gru_cell(24)), nn.each_step(jaxnn.dense(5)))
params, _ = network.init(jax.random.key(0), nn.shapes_of(x))
objective = jaxnn.objective(network, losses.ctc())
fit = jaxnn.fit(objective, jaxnn.optimizer("adam", 1e-2), params, x, y, key=jax.random.key(1), epochs=20, batch_size=40)
print(f"loss {fit.losses[0]:.2f} to {fit.losses[-1]:.2f}")

# %% [markdown]
# ## What was read

# %% The probabilities of blank and vowels over the frames of one recording
logits = network.infer(fit.params, (), x_dev)
found = decoding.ctc_greedy(logits)
read = ["".join(VOWELS[c - 1] for c in row[:n]) for row, n in zip(np.asarray(found.x), np.asarray(found.lengths))]
print(f"{np.mean([a == b for a, b in zip(read, words)]):.0%} of {len(words)} recordings have all vowels right")
for one, other in list(zip(words, read, strict=True))[:5]:
    print(f"  spoken {one:5} read {other}")
plt.figure(figsize=(8, 2.5))
n = int(x_dev.lengths[0])
plt.plot(jax.nn.softmax(logits.x[0, :n]), label=["blank", *VOWELS])
plt.legend()
plt.xlabel("frame")
plt.title(f"probabilities over time of {words[0]!r}")

"""The classes that the printed code defines: layers that Keras does not have."""

CLASSES = {
    "MeanInside": """
class MeanInside(keras.layers.Layer):
    def __init__(self, *inside):
        super().__init__()
        self.inside = keras.Sequential(inside)
    def call(self, x):
        return self.inside(x) / self.inside(keras.ops.ones_like(x))
""",
    "Residual": """
class Residual(keras.layers.Layer):
    def __init__(self, *inside):
        super().__init__()
        self.inside = keras.Sequential(inside)
    def call(self, x):
        return x + self.inside(x)
""",
    "FanOut": """
class FanOut(keras.layers.Layer):
    def __init__(self, *branches):
        super().__init__()
        self.branches = [keras.Sequential(branch) for branch in branches]
    def call(self, x):
        return [branch(x) for branch in self.branches]
""",
    "EachStep": """
class EachStep(keras.layers.Layer):
    def __init__(self, *inside):
        super().__init__()
        self.inside = keras.Sequential(inside)
    def call(self, x):
        y = self.inside(keras.ops.reshape(x, (-1, *x.shape[2:])))
        return keras.ops.reshape(y, (-1, x.shape[1], *y.shape[1:]))
""",
    "SelfAttention": """
class SelfAttention(keras.layers.Layer):
    def __init__(self, heads, size, causal=False):
        super().__init__()
        self.attention, self.causal = keras.layers.MultiHeadAttention(heads, size), causal
    def call(self, x):
        return self.attention(x, x, use_causal_mask=self.causal)
""",
    "Positions": """
class Positions(keras.layers.Layer):
    def __init__(self, offset=0):
        super().__init__()
        self.offset = offset
    def call(self, x):
        _, T, n = x.shape
        times = keras.ops.arange(T, dtype="float32")[:, None] + self.offset
        angles = times * 10000.0 ** (-2 * keras.ops.arange((n + 1) // 2, dtype="float32") / n)
        p = keras.ops.stack([keras.ops.sin(angles), keras.ops.cos(angles)], -1)
        return x + keras.ops.reshape(p, (T, -1))[:, :n]
""",
    "LearnedPositions": """
class LearnedPositions(keras.layers.Layer):
    def __init__(self, longest, n, offset=0):
        super().__init__()
        self.E, self.offset = self.add_weight((longest, n)), offset
    def call(self, x):
        return x + self.E[self.offset : self.offset + x.shape[1]]
""",
}

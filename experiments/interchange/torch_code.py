"""The classes that the printed code defines: modules that PyTorch does not have."""

CLASSES = {
    "ChannelsFirst": """
class ChannelsFirst(nn.Module):
    def forward(self, x):
        return x.movedim(-1, 1)
""",
    "LayerNormOfChannels": """
class LayerNormOfChannels(nn.LayerNorm):
    def forward(self, x):
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)
""",
    "RMSNormOfChannels": """
class RMSNormOfChannels(nn.RMSNorm):
    def forward(self, x):
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)
""",
    "MeanInside": """
class MeanInside(nn.Sequential):
    def forward(self, x):
        return super().forward(x) / super().forward(torch.ones_like(x))
""",
    "Rescale": """
class Rescale(nn.Module):
    def __init__(self, scale, offset):
        super().__init__()
        self.scale, self.offset = scale, offset
    def forward(self, x):
        return self.scale * x + self.offset
""",
    "Residual": """
class Residual(nn.Sequential):
    def forward(self, x):
        return x + super().forward(x)
""",
    "FanOut": """
class FanOut(nn.ModuleList):
    def forward(self, x):
        return [branch(x) for branch in self]
""",
    "FanInSum": """
class FanInSum(nn.Module):
    def forward(self, xs):
        return sum(xs)
""",
    "FanInConcat": """
class FanInConcat(nn.Module):
    def __init__(self, axis):
        super().__init__()
        self.axis = axis
    def forward(self, xs):
        return torch.cat(xs, self.axis)
""",
    "ChannelsLast": """
class ChannelsLast(nn.Module):
    def forward(self, x):
        return x.movedim(1, -1)
""",
    "Reversed": """
class Reversed(nn.Module):
    def forward(self, x):
        return x.flip(1)
""",
    "AllSteps": """
class AllSteps(nn.Module):
    def forward(self, outputs):
        return outputs[0]
""",
    "LastStep": """
class LastStep(nn.Module):
    def forward(self, outputs):
        state = outputs[1]
        a = state[0] if isinstance(state, tuple) else state
        return torch.cat([*a], -1)
""",
    "EachStep": """
class EachStep(nn.Sequential):
    def forward(self, x):
        return super().forward(x.flatten(0, 1)).unflatten(0, x.shape[:2])
""",
    "SelfAttention": """
class SelfAttention(nn.MultiheadAttention):
    def __init__(self, n, heads, causal=False):
        super().__init__(n, heads, batch_first=True)
        self.causal = causal
    def forward(self, x):
        T = x.shape[1]
        hidden = torch.ones(T, T, dtype=torch.bool).triu(1) if self.causal else None
        return super().forward(x, x, x, attn_mask=hidden, need_weights=False)[0]
""",
    "Positions": """
class Positions(nn.Module):
    def __init__(self, offset=0):
        super().__init__()
        self.offset = offset
    def forward(self, x):
        _, T, n = x.shape
        times = torch.arange(T, dtype=x.dtype)[:, None] + self.offset
        angles = times * 10000.0 ** (-2 * torch.arange((n + 1) // 2, dtype=x.dtype) / n)
        return x + torch.stack([angles.sin(), angles.cos()], -1).flatten(1)[:, :n]
""",
    "LearnedPositions": """
class LearnedPositions(nn.Embedding):
    def __init__(self, longest, n, offset=0):
        super().__init__(longest, n)
        self.offset = offset
    def forward(self, x):
        return x + self.weight[self.offset : self.offset + x.shape[1]]
""",
}

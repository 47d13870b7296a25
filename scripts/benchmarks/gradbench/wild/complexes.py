"""Complex arguments and outputs, with JAX's convention: the cotangent of z pairs with dz without a conjugate."""

import jax.numpy as jnp

from scripts.benchmarks.gradbench.case import array, complex_normal, normal, wild, with_rule, with_value


def spectrum_bwd(z, dy):
    # Each |Z|² gives 2 conj(Z) dZ, and the transform is its own transpose.
    return (jnp.fft.fft(2 * jnp.conj(z) * dy).real,)


def power_spectrum(x):
    return jnp.abs(jnp.fft.fft(x)) ** 2


def power_spectrum_fwd(x):
    z = jnp.fft.fft(x)
    return z.real**2 + z.imag**2, z


def magnitude_backward(args, dy):
    (z,) = args
    r = jnp.abs(z)
    return (jnp.where(r > 0, dy / jnp.where(r > 0, r, 1), 0) * jnp.conj(z),)


def phase_backward(args, dy):
    (z,) = args
    return (-1j * dy * jnp.conj(z) / (z.real**2 + z.imag**2),)


def rotated_state(theta, state):
    """Apply exp(-i theta X / 2)."""
    c, s = jnp.cos(theta / 2), jnp.sin(theta / 2)
    return jnp.stack([c * state[0] - 1j * s * state[1], c * state[1] - 1j * s * state[0]])


def expectation(theta, state):
    """Return <Z> after the rotation."""
    out = rotated_state(theta, state)
    p = out.real**2 + out.imag**2
    return p[0] - p[1]


def expectation_gradient(theta, state):
    """Shift the angle by a quarter turn each way; rotate the state back."""
    angle = (expectation(theta + jnp.pi / 2, state) - expectation(theta - jnp.pi / 2, state)) / 2
    weighted = rotated_state(theta, state) * jnp.asarray([1, -1], state.real.dtype)
    return angle, 2 * jnp.conj(rotated_state(-theta, weighted))


def energy(psi, H):
    return jnp.real(jnp.vdot(psi, H @ psi) / jnp.vdot(psi, psi))


def energy_gradient(psi, H):
    """Hold for any matrix; for a Hermitian one the first two terms are equal."""
    norm = jnp.real(jnp.vdot(psi, psi))
    d_psi = (jnp.conj(psi) @ H + jnp.conj(H @ psi) - 2 * energy(psi, H) * jnp.conj(psi)) / norm
    return d_psi, jnp.outer(jnp.conj(psi), psi) / norm


def mod_relu(z, b):
    r = jnp.abs(z)
    safe = jnp.where(r > 0, r, 1)
    return jnp.where((r > 0) & (r + b > 0), (r + b) / safe, 0) * z


def mod_relu_backward(args, dy):
    """With u = z/|z|: the output is (r + b) u, so b gets Re(dy u), and z the radial and the tangential part."""
    z, b = args
    r = jnp.abs(z)
    on = (r > 0) & (r + b > 0)
    safe = jnp.where(r > 0, r, 1)
    u = z / safe
    along = jnp.real(dy * u)
    dz = jnp.where(on, along * jnp.conj(u) + (1 + b / safe) * (dy - along * jnp.conj(u)), 0)
    return dz, jnp.where(on, along, 0)


def waves(params, t):
    """Return the real part of a sum of complex exponentials, as a diagonal state-space model has."""
    return jnp.real(jnp.exp(t[:, None] * params["rate"][None]) @ params["weight"])


def waves_backward(args, dy):
    params, t = args
    e = jnp.exp(t[:, None] * params["rate"][None])
    rate = jnp.sum((dy * t)[:, None] * e, axis=0) * params["weight"]
    dt = dy * jnp.real(e @ (params["rate"] * params["weight"]))
    return {"rate": rate, "weight": dy @ e}, dt


Z = complex_normal(431, 4)
MATRIX = complex_normal(433, 2, 2)
HERMITIAN = MATRIX + MATRIX.conj().T
WILD = [
    wild("power spectrum: the transform saved", "rule", power_spectrum, (power_spectrum_fwd, spectrum_bwd),
         normal(435, 6), source="jax.scipy.signal.periodogram"),
    wild("complex exponential", "custom", jnp.exp, with_rule(jnp.exp, lambda args, dy: (dy * jnp.exp(args[0]),)), Z,
         source="jax.numpy.exp"),
    wild("magnitude, one number 0", "vjp", jnp.abs, magnitude_backward, with_value(Z, 1, 0), source="torch.abs"),
    wild("phase", "vjp", jnp.angle, phase_backward, Z, source="jax.numpy.angle"),
    wild("rotation of a qubit: shift rule", "gradient", expectation, expectation_gradient, jnp.float32(0.7),
         complex_normal(436, 2), source="tensorcircuit.experimental.parameter_shift_grad"),
    wild("energy of a state under a Hermitian matrix", "gradient", energy, energy_gradient, complex_normal(438, 2),
         HERMITIAN, source="netket.vqs.MCState.expect_and_grad"),
    wild("modReLU: the length is thresholded", "vjp", mod_relu, mod_relu_backward, Z,
         array([-0.5, -0.2, -3, -0.1]), source="modReLU of unitary recurrent networks",
         domain={"b": lambda b: jnp.minimum(b, -0.05)}),
    wild("complex matrix product", "rule", lambda a, b: a @ b,
         (lambda a, b: (a @ b, (a, b)), lambda r, dy: (dy @ r[1].T, r[0].T @ dy)), complex_normal(440, 2, 3),
         complex_normal(442, 3, 2), source="jax.numpy.matmul"),
    wild("sum of damped waves", "vjp", waves, waves_backward,
         {"rate": complex_normal(444, 3) / 2, "weight": complex_normal(446, 3)}, normal(448, 4),
         source="s4d of the annotated S4"),
]  # fmt: skip

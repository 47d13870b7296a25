"""Augmentations: values against SciPy, ranges of random numbers, and their use in an objective."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.ndimage

import jaxnn
from jaxnn.data import (
    bilinear,
    compose,
    elastic_deformation,
    gaussian_noise,
    random_crop,
    random_flip,
    random_rotation,
    random_scale,
    random_shear,
    random_shift,
    warp,
)
from jaxnn.train import with_augmentation

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
IMAGE = RNG.normal(size=(9, 11, 2)).astype(np.float32)
FIELDS = [
    random_shift(2),
    random_rotation(30),
    random_scale(0.2),
    random_shear(20),
    elastic_deformation(34, 4),
]
AUGMENTATIONS = [
    random_flip(),
    random_flip(0),
    random_crop(5, 6),
    gaussian_noise(0.1),
    warp(*FIELDS),
]
AUGMENTATIONS += [compose(*AUGMENTATIONS)]


def keys(n):
    return jax.random.split(KEY, n)


def many(field, n=2000, h=7, w=5):
    return np.asarray(jax.vmap(lambda key: field(key, h, w))(keys(n)))


@pytest.mark.parametrize("channels", [None, 2])
def test_bilinear_is_scipy_s(channels):
    """Compared with SciPy's mode grid-constant, in which the image fades to 0 within a pixel of its edge."""
    image = IMAGE if channels else IMAGE[..., 0]
    places = RNG.uniform(-3, 13, (2, 40, 3)).astype(np.float32)
    planes = [image] if channels is None else np.moveaxis(image, -1, 0)
    expected = [scipy.ndimage.map_coordinates(plane, places, order=1, mode="grid-constant") for plane in planes]
    got = jax.jit(bilinear)(image, places)
    np.testing.assert_allclose(got, np.stack(expected, -1) if channels else expected[0], atol=1e-6)
    np.testing.assert_array_equal(bilinear(image, jnp.indices(image.shape[:2], jnp.float32)), image)


@pytest.mark.full
@pytest.mark.parametrize("sigma", [0.5, 1, 4, 15])
def test_elastic_is_smoothed_noise(sigma):
    h, w = 30, 28
    u = jax.random.uniform(KEY, (2, h, w), minval=-1, maxval=1)
    smooth = [scipy.ndimage.gaussian_filter(np.float64(part), sigma, mode="constant", truncate=12) for part in u]
    np.testing.assert_allclose(elastic_deformation(34, sigma)(KEY, h, w), 34 * np.stack(smooth), atol=2e-5)


@pytest.mark.full
def test_elastic_has_the_stated_deviation():
    d = elastic_deformation(34, 4)(KEY, 300, 300)[:, 20:-20, 20:-20]
    assert d.std() == pytest.approx(34 / (2 * 4 * np.sqrt(3 * np.pi)), rel=0.05)


def test_shifts_move_everything_alike():
    d = many(random_shift(3))
    np.testing.assert_array_equal(d, np.broadcast_to(d[:, :, :1, :1], d.shape))
    u = d[:, :, 0, 0]
    assert (u.min(axis=0) < -2.9).all() and (u.max(axis=0) > 2.9).all() and np.abs(u).max() <= 3
    assert abs(np.corrcoef(u.T)[0, 1]) < 0.1


def test_a_shift_by_whole_pixels():
    down = warp(lambda key, h, w: jnp.ones((2, h, w)) * jnp.array([1.0, -2.0])[:, None, None])
    expected = np.zeros_like(IMAGE)
    expected[:-1, 2:] = IMAGE[1:, :-2]
    np.testing.assert_allclose(down(KEY, IMAGE), expected, atol=1e-6)


def from_middle(h, w):
    return np.stack(np.meshgrid(np.arange(h) - (h - 1) / 2, np.arange(w) - (w - 1) / 2, indexing="ij"))


def test_rotations_keep_distances_and_turn_by_up_to_the_angle():
    p = from_middle(7, 5)
    q = p + many(random_rotation(25))
    np.testing.assert_allclose(
        (q**2).sum(axis=1), np.broadcast_to((p**2).sum(axis=0), q.shape[:1] + p.shape[1:]), rtol=1e-5
    )
    angle = np.rad2deg(np.arctan2(q[:, 0, 3, 4], q[:, 1, 3, 4]))  # of the place right of the middle
    assert angle.min() < -24.8 and angle.max() > 24.8 and np.abs(angle).max() <= 25.001
    assert np.abs(np.median(angle)) < 1.5


def test_a_quarter_turn(monkeypatch):
    monkeypatch.setattr(jax.random, "uniform", lambda key, shape, **_: jnp.ones(shape))
    turned = warp(random_rotation(90))(KEY, IMAGE[:, :9])
    np.testing.assert_allclose(turned, np.rot90(IMAGE[:, :9], -1), atol=1e-4)


def test_scalings_are_by_axis():
    p, d = from_middle(7, 5), many(random_scale(0.25))
    u = d[:, :, 0, 0] / p[:, 0, 0]
    np.testing.assert_allclose(d, u[:, :, None, None] * p, atol=1e-5)
    assert (u.min(axis=0) < -0.24).all() and (u.max(axis=0) > 0.24).all() and np.abs(u).max() <= 0.25001
    assert abs(np.corrcoef(u.T)[0, 1]) < 0.1


def test_shears_lean():
    p, d = from_middle(7, 5), many(random_shear(45))
    slope = d[:, 1, 0, 0] / p[0, 0, 0]
    assert (d[:, 0] == 0).all()
    np.testing.assert_allclose(d[:, 1], slope[:, None, None] * p[0], atol=1e-5)
    assert slope.min() < -0.97 and slope.max() > 0.97 and np.abs(slope).max() <= 1.00001


@pytest.mark.parametrize("axis", [0, 1])
def test_half_are_flipped(axis):
    images = np.asarray(jax.vmap(random_flip(axis), in_axes=(0, None))(keys(1000), IMAGE))
    flipped = (images == np.flip(IMAGE, axis)).all(axis=(1, 2, 3))
    assert ((images == IMAGE).all(axis=(1, 2, 3)) ^ flipped).all()
    assert 430 < flipped.sum() < 570


def test_crops_are_all_the_windows():
    image = np.arange(12.0).reshape(3, 4)
    windows = np.asarray(jax.vmap(random_crop(2, 3), in_axes=(0, None))(keys(200), image))
    expected = {image[i : i + 2, j : j + 3].tobytes() for i in range(2) for j in range(2)}
    assert {window.astype(float).tobytes() for window in windows} == expected
    np.testing.assert_array_equal(random_crop(1, 2)(None, image), image[1:2, 1:3])


def test_noise():
    noise = gaussian_noise(0.5)(KEY, jnp.full((200, 100), 3.0)) - 3
    assert noise.std() == pytest.approx(0.5, rel=0.02) and abs(noise.mean()) < 0.015


@pytest.mark.representatives("random_crop")
@pytest.mark.parametrize("augment", AUGMENTATIONS)
def test_random_with_a_key_alone(augment):
    batch = jnp.asarray(RNG.uniform(size=(20, *IMAGE.shape)), jnp.float32)
    run = jax.jit(jax.vmap(augment))
    one, other = run(keys(20), batch), run(jax.random.split(jax.random.key(1), 20), batch)
    assert one.dtype == batch.dtype and np.isfinite(one).all()
    np.testing.assert_array_equal(one, run(keys(20), batch))
    assert (np.asarray(one) != np.asarray(other)).any()
    quiet = augment(None, batch[0])
    size = quiet.shape[0]
    np.testing.assert_array_equal(quiet, batch[0] if size == 9 else batch[0, 2:7, 2:8])


def test_float16_images_stay_so():
    image = jax.ShapeDtypeStruct(IMAGE.shape, jnp.float16)
    for augment in AUGMENTATIONS:
        assert jax.eval_shape(augment, KEY, image).dtype == jnp.float16


def test_in_turn_leaves_earlier_randomness_alone():
    a = compose(gaussian_noise(1.0))(KEY, IMAGE)
    b = compose(gaussian_noise(1.0), gaussian_noise(0.0))(KEY, IMAGE)
    np.testing.assert_array_equal(a, b)


# The objective.

MODEL = jaxnn.mlp((99, 8, 3), "tanh", output="softmax")
PARAMS = MODEL.init(jax.random.key(2))
PLAIN = jaxnn.objective(MODEL.network, MODEL.loss, jaxnn.l2(0.1))
TURNED = warp(random_rotation(30))
NOISY = with_augmentation(PLAIN, TURNED, image_shape=(9, 11))
X = RNG.uniform(size=(20, 99)).astype(np.float32)
Y = RNG.integers(0, 3, 20)
BATCH = jaxnn.Batch(jnp.asarray(X), jnp.asarray(Y), jnp.asarray(RNG.uniform(size=20), jnp.float32))


@pytest.mark.full
def test_the_objective_is_that_of_changed_examples():
    seen = []
    spy = PLAIN._replace(
        value=lambda params, batch, key=None: seen.append((batch, key)) or PLAIN.value(params, batch, key)
    )
    value, _ = with_augmentation(spy, TURNED, image_shape=(9, 11)).value(PARAMS, BATCH, KEY)
    ((batch, key),) = seen
    assert key is KEY and batch.weight is BATCH.weight and batch.x.shape == X.shape
    assert np.abs(batch.x - X).max(axis=1).min() > 0.01
    assert np.isclose(value, PLAIN.value(PARAMS, batch, KEY)[0])
    # Each example by a separate key.
    same, _ = with_augmentation(spy, gaussian_noise(1.0)).value(PARAMS, BATCH, KEY)
    moved = np.asarray(seen[1][0].x) - X
    assert np.isfinite(same) and np.abs(np.corrcoef(moved) - np.eye(20)).max() < 0.5


@pytest.mark.full
def test_both_gradients_agree_and_no_key_means_no_change():
    hand = jax.jit(NOISY.value_and_grad)(PARAMS, BATCH, KEY)
    auto = jax.jit(jaxnn.train.gradients_by(NOISY, "auto"))(PARAMS, BATCH, KEY)
    for a, b in zip(jax.tree.leaves(hand), jax.tree.leaves(auto), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    for a, b in zip(
        jax.tree.leaves(NOISY.value_and_grad(PARAMS, BATCH)),
        jax.tree.leaves(PLAIN.value_and_grad(PARAMS, BATCH)),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


@pytest.mark.full
def test_images_that_are_not_rows():
    images = BATCH._replace(x=BATCH.x.reshape(20, 9, 11))
    model = jaxnn.chain(jaxnn.flatten(), MODEL.network)
    params, _ = model.init(KEY, (9, 11))
    value, _ = with_augmentation(jaxnn.objective(model, MODEL.loss), random_crop(9, 11)).value(params, images, KEY)
    assert np.isclose(value, jaxnn.objective(model, MODEL.loss).value(params, images)[0])


@pytest.mark.full
def test_dropout_draws_what_it_drew():
    model = jaxnn.mlp((99, 8, 3), "tanh", output="softmax", dropout_rate=0.5)
    plain = jaxnn.objective(model.network, model.loss)
    still = with_augmentation(plain, gaussian_noise(0.0))
    params = model.init(KEY)
    (noiseless, _), (expected, _) = still.value(params, BATCH, KEY), plain.value(params, BATCH, KEY)
    np.testing.assert_array_equal(noiseless, expected)


@pytest.mark.full
def test_fresh_in_every_step_of_fit():
    """With a learning rate of 0, the loss only changes if the images do."""
    frozen = jaxnn.fit(NOISY, optax.sgd(0.0), PARAMS, X, Y, key=KEY, epochs=4)
    assert len({*frozen.losses.tolist()}) == 4
    again = jaxnn.fit(NOISY, optax.sgd(0.0), PARAMS, X, Y, key=KEY, epochs=4)
    np.testing.assert_array_equal(frozen.losses, again.losses)


@pytest.mark.full
def test_strengths_vary_in_a_population():
    def member(h):
        objective = with_augmentation(PLAIN, warp(elastic_deformation(h["alpha"], h["sigma"])), image_shape=(9, 11))
        return jaxnn.Member(objective, optax.sgd(0.1), MODEL.init(jax.random.key(2)), jax.random.key(3))

    found = jaxnn.fit_population(member, {"alpha": np.float32([0, 30]), "sigma": np.float32([2, 4])}, X, Y, epochs=3)
    assert not np.allclose(found.losses[0, 1:], found.losses[1, 1:], rtol=1e-3)
    objective = with_augmentation(PLAIN, warp(elastic_deformation(30.0, 4.0)), image_shape=(9, 11))
    alone = jaxnn.fit(objective, optax.sgd(0.1), PARAMS, X, Y, key=jax.random.key(3), epochs=3)
    np.testing.assert_allclose(found.losses[1], alone.losses, rtol=1e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: random_flip(2), "axis must be 0 .* or 1"),
        (lambda: random_crop(0, 3), "height must be a whole number of at least 1, got 0"),
        (lambda: random_crop(9, 12)(KEY, IMAGE), "image must be at least 9 x 12 for random_crop, got"),
        (lambda: gaussian_noise(-1), "must be finite and at least 0, got -1"),
        (lambda: random_shift(float("nan")), "must be finite and at least 0, got nan"),
        (lambda: random_rotation(float("inf")), "got inf"),
        (lambda: random_scale(1), "below 1"),
        (lambda: random_shear(90), "below 90"),
        (lambda: elastic_deformation(-1, 4), "alpha"),
        (lambda: elastic_deformation(34, 0), "sigma must be positive and finite, got 0: it is in pixels"),
        (lambda: with_augmentation(PLAIN, random_flip(), (3, 5)).value(PARAMS, BATCH, KEY), "image_shape must have"),
        (lambda: with_augmentation(PLAIN, random_crop(5, 5), (9, 11)).check(PARAMS, BATCH), "99"),
        (lambda: gaussian_noise("0.1"), "must be finite and at least 0, got '0.1'"),
        (lambda: random_shift((2, 2)), r"must be finite and at least 0, got \(2, 2\)"),
        (lambda: elastic_deformation(34, None), "sigma must be positive and finite, got None"),
        (lambda: random_flip("horizontal"), "axis must be 0 .* or 1 .*, got 'horizontal'"),
        (lambda: random_flip(IMAGE), "axis must be 0 .* or 1 .*, got float"),
        (lambda: random_crop(2.0, 2.0), "height must be a whole number of at least 1, got 2.0"),
        (lambda: with_augmentation(PLAIN, random_flip), r"augment must be .*, got a function of \(axis=1\)"),
        (lambda: with_augmentation(PLAIN, random_rotation(5)), r"augment must be .*, got a function of \(key, h, w\)"),
        (lambda: with_augmentation(PLAIN, None), "augment must be a function .*, got None"),
        (lambda: with_augmentation(PLAIN, random_flip(), 99), "image_shape must be .* or None, got 99"),
        (lambda: with_augmentation(PLAIN, random_flip()).value(PARAMS, BATCH, KEY), "image must .*: pass image_shape"),
        (lambda: with_augmentation(PLAIN, random_flip(), (9, 11)).value(PARAMS, BATCH, 0), "key must be .*, got 0"),
        (lambda: compose([random_flip()]), r"argument 0 of compose must be a function augment.*, got a list"),
        (lambda: compose(random_shift(1)), r"argument 0 of compose must be .*, got a function of \(key, h, w\)"),
        (lambda: warp(random_flip()), r"argument 0 of warp must be .*, got a function of \(key, image\)"),
        (lambda: warp(random_shift(1))(KEY, IMAGE.tolist()), "image must be an array .*, got a list"),
        (lambda: warp(random_shift(1))(KEY, jnp.ones((2, 3, 4, 5))), "image must be an array .*, got float32"),
        (lambda: warp(random_shift(1))(KEY, jnp.ones((4, 4), jnp.uint8)), "image must be an array of floats .*, got"),
        (lambda: gaussian_noise(0.1)(KEY, jnp.ones((4, 4), int)), "image must be an array of floats, got"),
        (lambda: bilinear(jnp.ones((4, 4)), jnp.ones((5, 2))), r"coordinates must be .*, got float32 \(5, 2\)"),
    ],
)  # fmt: skip
def test_invalid_arguments_raise(make, message):
    with pytest.raises(ValueError, match=message):
        make()

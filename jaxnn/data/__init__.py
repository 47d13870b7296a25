"""Data: batches and their weights, splits, standardization, encodings, streams, augmentation."""

from jaxnn.data.augmentation import Augmentation, compose, gaussian_noise, random_crop, random_flip
from jaxnn.data.batches import Batch, batch_indices
from jaxnn.data.buckets import bucketed_batches, padding
from jaxnn.data.encoding import one_hot
from jaxnn.data.examples import check_batch
from jaxnn.data.host_arrays import host_batches
from jaxnn.data.long_sequences import pieces
from jaxnn.data.splitting import k_folds, split
from jaxnn.data.standardization import Standardizer, fit_standardizer, standardize
from jaxnn.data.warping import (
    Field,
    bilinear,
    elastic_deformation,
    random_rotation,
    random_scale,
    random_shear,
    random_shift,
    warp,
)

__all__ = [
    "Augmentation",
    "Batch",
    "Field",
    "Standardizer",
    "batch_indices",
    "bilinear",
    "bucketed_batches",
    "check_batch",
    "compose",
    "elastic_deformation",
    "fit_standardizer",
    "gaussian_noise",
    "host_batches",
    "k_folds",
    "one_hot",
    "padding",
    "pieces",
    "random_crop",
    "random_flip",
    "random_rotation",
    "random_scale",
    "random_shear",
    "random_shift",
    "split",
    "standardize",
    "warp",
]

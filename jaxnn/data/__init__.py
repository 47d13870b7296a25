"""Data: batches and their weights, splits, standardization, encodings, streams, augmentation."""

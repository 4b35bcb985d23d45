"""From samples to batches: data sets, samplers, loaders, augmentation."""

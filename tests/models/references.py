"""The papers' networks once more, in NumPy and SciPy, from the papers and not from our code.

Channels come first here, as in the released PyTorch code, and all numbers are float64.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import zoom
from scipy.signal import correlate2d


def convolve(x, weight, bias, mode="same"):
    """x: (C, H, W), weight: (F, C, k, k)."""
    return np.stack(
        [
            sum(correlate2d(x[c], kernel[c], mode=mode) for c in range(len(x))) + b
            for kernel, b in zip(weight, bias, strict=True)
        ]
    )


def relu(x):
    return np.maximum(x, 0)


def max_pool(x, size):
    channels, height, width = x.shape
    return x.reshape(channels, height // size, size, width // size, size).max(axis=(2, 4))


def upsample(x, factor):
    """Bilinear, half-pixel centres."""
    return zoom(x, (1, factor, factor), order=1, mode="nearest", grid_mode=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def transposed_convolution(x, weight, bias):
    """2x2, stride 2. weight: (C, F, 2, 2)."""
    return sum(np.kron(x[c], weight[c]) for c in range(len(x))) + bias[:, None, None]


def center_crop(x, size):
    start = (x.shape[1] - size) // 2
    return x[:, start : start + size, start : start + size]


def unet(image, weights):
    """U-Net without padding, figure 1 of the paper. `weights`: our layer name -> [kernel, bias].

    `image`: (C, H, W); logits (K, h, w) come back.
    """

    def convolution(x, name):
        kernel, bias = weights[f"{name}"]
        return convolve(x, np.asarray(kernel, np.float64).transpose(3, 2, 0, 1), bias, "valid")

    depth = sum(name.endswith("_up") for name in weights)
    skips = []
    x = image
    for level in range(1, depth + 2):
        if level > 1:
            skips.append(x)
            x = max_pool(x, 2)
        x = relu(convolution(x, f"e{level}_1_conv"))
        x = relu(convolution(x, f"e{level}_2_conv"))
    for level in range(depth, 0, -1):
        kernel, bias = weights[f"d{level}_up"]
        x = transposed_convolution(x, np.asarray(kernel, np.float64).transpose(3, 2, 0, 1), bias)
        x = np.concatenate([center_crop(skips[level - 1], x.shape[1]), x])
        x = relu(convolution(x, f"d{level}_1_conv"))
        x = relu(convolution(x, f"d{level}_2_conv"))
    return convolution(x, "mask_conv")


def unet3plus(image, state):
    """UNet 3+ at inference from a state of the released PyTorch code; all heads' probabilities."""

    def convolution(x, name):
        return convolve(
            x,
            np.asarray(state[f"{name}.weight"], np.float64),
            np.asarray(state[f"{name}.bias"], np.float64),
        )

    def norm_relu(x, name):
        mean, variance, gamma, beta = (
            np.asarray(state[f"{name}.{part}"], np.float64)[:, None, None]
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return relu((x - mean) / np.sqrt(variance + 1e-5) * gamma + beta)

    def unit(x, conv, norm):
        return norm_relu(convolution(x, conv), norm)

    e = {}
    x = image
    for stage in range(1, 6):
        x = x if stage == 1 else max_pool(x, 2)
        for i in (1, 2):
            x = unit(x, f"conv{stage}.conv{i}.0", f"conv{stage}.conv{i}.1")
        e[stage] = x
    d = {5: e[5]}
    for stage in (4, 3, 2, 1):
        sources = []
        for source in range(1, 6):
            if source < stage:
                name, x = f"h{source}_PT_hd{stage}", max_pool(e[source], 2 ** (stage - source))
            elif source == stage:
                name, x = f"h{stage}_Cat_hd{stage}", e[stage]
            else:
                name, x = f"hd{source}_UT_hd{stage}", upsample(d[source], 2 ** (source - stage))
            sources.append(unit(x, f"{name}_conv", f"{name}_bn"))
        d[stage] = unit(np.concatenate(sources), f"conv{stage}d_1", f"bn{stage}d_1")
    masks = {}
    for stage in range(1, 6):
        if f"outconv{stage}.weight" in state:
            name = {1: "mask", 5: "mask_e5"}.get(stage, f"mask_d{stage}")
            logits = convolution(d[stage], f"outconv{stage}")
            masks[name] = sigmoid(logits if stage == 1 else upsample(logits, 2 ** (stage - 1)))
    if "cls.1.weight" in state:
        presence = sigmoid(convolution(e[5], "cls.1").max(axis=(1, 2)))
        masks = {name: mask * np.argmax(presence) for name, mask in masks.items()}
        masks["presence"] = presence
    return masks

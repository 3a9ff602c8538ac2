"""The papers of the architectures."""

from __future__ import annotations

from typing import NamedTuple


class Paper(NamedTuple):
    """A paper to cite.

    Example:
        >>> papers_of("unet")[0].doi
        '10.1007/978-3-319-24574-4_28'
    """

    text: str
    doi: str


_UNET = Paper(
    "Ronneberger, Fischer, Brox (2015): U-Net: Convolutional Networks for Biomedical Image "
    "Segmentation. MICCAI",
    "10.1007/978-3-319-24574-4_28",
)
_OTHERS = {
    "unet3plus": Paper(
        "Huang, Lin, Tong, Hu, Zhang, Iwamoto, Han, Chen, Wu (2020): UNet 3+: A Full-Scale "
        "Connected UNet for Medical Image Segmentation. ICASSP",
        "10.1109/ICASSP40776.2020.9053405",
    ),
    "unetplusplus": Paper(
        "Zhou, Siddiquee, Tajbakhsh, Liang (2018): UNet++: A Nested U-Net Architecture for Medical "
        "Image Segmentation. DLMIA",
        "10.1007/978-3-030-00889-5_1",
    ),
    "attention_unet": Paper(
        "Oktay et al. (2018): Attention U-Net: Learning Where to Look for the Pancreas. MIDL",
        "10.48550/arXiv.1804.03999",
    ),
    "fcn": Paper(
        "Long, Shelhamer, Darrell (2015): Fully Convolutional Networks for Semantic Segmentation. "
        "CVPR",
        "10.1109/CVPR.2015.7298965",
    ),
}


def papers_of(architecture: str) -> list[Paper]:
    """What to cite for a network of this builder: its paper, and that of the U-Net it comes from.

    Example:
        >>> [paper.text[:4] for paper in papers_of("unet3plus")]
        ['Huan', 'Ronn']
    """
    if architecture == "fcn":
        return [_OTHERS["fcn"]]
    return [_OTHERS[architecture], _UNET] if architecture in _OTHERS else [_UNET]

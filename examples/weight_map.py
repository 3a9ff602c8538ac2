"""Show the border weight map of the U-Net paper: image, cells, and the weight of each pixel.

    python examples/weight_map.py                       # generated cells
    python examples/weight_map.py image.png labels.png  # your own, labels as instance ids

Writes weight_map.png.
"""

import sys

import cv2

from keras_unet3p import data, images


def main() -> None:
    if len(sys.argv) == 3:
        image, labels = images.read_image(sys.argv[1])[0], images.read_labels(sys.argv[2])[0]
    else:
        image, labels = data.generate_cells((320, 400), seed=4)
    weights = data.border_weight_map(labels, w0=10.0, sigma=5.0)
    picture = images.weight_map_picture(image, labels, weights)
    cv2.imwrite("weight_map.png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    print(f"weights from {weights.min():.2f} to {weights.max():.2f}: see weight_map.png")


if __name__ == "__main__":
    main()

"""From folders of images and masks to an endpoint, with the functions of the command `unet3p`."""

import numpy as np
from rich.console import Console

from keras_unet3p import client, data, endpoint, images, workflow


def main() -> None:
    for number in range(8):
        image, labels = data.generate_cells((96, 96), seed=number)
        images.write_picture(f"images/{number}.png", image)
        images.write_picture(f"masks/{number}.png", labels.astype(np.uint16))

    workflow.train(
        "images",
        "masks",
        workflow.TrainingConfig(filters=4, depth=2, patch_size=64, epochs=2, steps_per_epoch=6),
        out="runs/cells",
        console=Console(),
    )
    report = workflow.evaluate("runs/cells", "images", "masks", out="runs/cells/evaluation")
    print("overall", report.overall, "worst", report.images[0]["name"])

    version = workflow.export("runs/cells", "models/cells", tile_size=64)
    with endpoint.LocalServer({"cells": version.parent}) as server:
        large, _ = data.generate_cells((301, 403), seed=99)
        mask = client.Client(server.url, model="cells").predict(large)
        print(server.url, mask.shape, mask.dtype)


if __name__ == "__main__":
    main()

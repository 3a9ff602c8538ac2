"""Train on NumPy arrays with `model.fit`, evaluate, save, load, segment a larger image."""

import keras
import numpy as np

import keras_unet3p as ku


def cells(count: int, first_seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, H, W, 1) in [0, 1] and labels (N, H, W): 0, and an id for each cell."""
    pairs = [ku.data.generate_cells((128, 128), seed=first_seed + n) for n in range(count)]
    images = np.stack([image for image, _ in pairs])[..., np.newaxis] / np.float32(255)
    return images, np.stack([labels for _, labels in pairs])


def main() -> None:
    keras.utils.set_random_seed(0)
    images, labels = cells(24, first_seed=0)
    masks = (labels > 0).astype(np.uint8)
    # The border weights of the U-Net paper, one map per image, as sample weights.
    weights = np.stack([ku.data.border_weight_map(cells_of_one) for cells_of_one in labels])

    model = ku.models.unet3plus(
        input_shape=(None, None, 1),
        filters=4,
        depth=3,
        deep_supervision=True,
        normalization=([images.mean()], [images.std()]),
    )
    model.compile(
        optimizer=keras.optimizers.Adam(5e-3),
        loss=ku.losses.HybridLoss(),
        metrics=[ku.metrics.Dice(), ku.metrics.IoU()],
    )
    model.fit(images, masks, sample_weight=weights, batch_size=4, epochs=4, verbose=2)
    images, labels = cells(6, first_seed=1000)
    print(model.evaluate(images, labels > 0, verbose=0, return_dict=True))

    model.save("cells.keras")
    loaded = keras.models.load_model("cells.keras")
    large, _ = ku.data.generate_cells((301, 403), seed=2000)
    probability = ku.tiling.predict_image(loaded, large, tile_size=128)
    print("segmented", probability.shape, "foreground", float((probability >= 0.5).mean()))


if __name__ == "__main__":
    main()

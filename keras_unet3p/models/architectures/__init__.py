"""One architecture a file, with its builder: import these from `keras_unet3p.models`."""

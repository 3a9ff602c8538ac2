from keras_unet3p.cli import main

main()

"""The napari plugin: a widget that segments the image that is shown.

napari finds it by `napari.yaml`. Neither TensorFlow nor the package's other rooms are imported
before something is segmented, so that napari starts as fast as without it.
"""

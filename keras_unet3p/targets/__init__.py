"""What a mask and a sample weight may be, once, for losses, metrics and models.

Import the modules: `foreground` is used where TensorFlow must not be imported.
"""

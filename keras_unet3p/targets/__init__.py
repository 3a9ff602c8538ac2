"""What a mask and a sample weight may be, once, for losses, metrics and models."""

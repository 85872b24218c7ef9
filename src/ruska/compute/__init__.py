"""Shared by running and training networks: devices, precision, padding, mirroring, smoothing.

Knows no image, method or training. PyTorch is imported when a function is called.
"""

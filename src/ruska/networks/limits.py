"""Limits on the size of a network in a card or a setting, far beyond any training here."""

WIDEST = 4096  # channels at one scale
MOST_SCALES = 8
MOST_BLOCKS = 32  # at one scale
WIDEST_SPOT = 11  # pixels along one axis
MOST_FRAMES = 9
MOST_NUMBERS = 1 << 28  # weights in all: 1.07 GB as float32

"""Generative priors as denoisers, and how an operator and a measurement guide them. Knows nothing of tiles or files."""

"""``python -m ruska``: what torchrun starts."""

from ruska.cli.main import main

main()

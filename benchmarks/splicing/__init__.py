"""Damage that knows how a format is built. `readers` says what is damaged, `cutting` how bytes are."""

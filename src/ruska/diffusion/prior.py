"""What a restoration needs from a prior: one denoiser, whatever network is behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ruska.errors import GeometryError

if TYPE_CHECKING:
    from torch import Tensor


class Prior(Protocol):
    def denoise(self, x_t: Tensor, sigma: Tensor | float, condition: Tensor | None = None) -> Tensor:
        """Expected clean image, given ``x_t = x0 + sigma * eps`` (variance exploding: the image keeps its scale).

        x_t : (b, c, *spatial). sigma : a number, one per image (b,), or a map (b, 1, *spatial).
        condition : (b, k, *spatial) further images that the prior was trained to use.
        """
        ...


def broadcast_level(sigma: Tensor, x: Tensor) -> Tensor:
    """A number, one per image, or a map, with the axes of ``x``: (1 or b, 1, *(1s or spatial)).

    Raises GeometryError when it is none of these.
    """
    if sigma.dim() == 0:
        return sigma.reshape((1,) * x.dim())
    if sigma.dim() == 1 and len(sigma) == len(x):
        return sigma.reshape(-1, *(1,) * (x.dim() - 1))
    fits = sigma.dim() == x.dim() and all(n in (1, m) for n, m in zip(sigma.shape, x.shape, strict=True))
    if not fits:
        raise GeometryError("sigma", f"has shape {tuple(sigma.shape)}, expected a number, ({len(x)},) or "
                                     f"{(len(x), 1, *x.shape[2:])}")  # fmt: skip
    return sigma

"""What keeps one batch from undoing what thousands have taught.

A network without norms can answer an ordinary image by hundreds: Adam moves every weight by about the learning rate,
all in the same sense where a gradient is new, and blocks in a row multiply what each of them gains. The step that
follows is then as large as any, in a direction that serves one image. So an example counts by at most so much more than
is usual, a gradient is cut to little more than its usual length, and a step whose numbers are not finite is left out.
All of it is computed where the network is, without waiting for it, and counted.

Sources: Huber (1964), Ann. Math. Statist. 35, 73 (bounded influence); Pascanu et al. (2013), arXiv 1211.5063 (clipping
by norm). Differs: both bounds follow what is usual, in logarithms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ruska.errors import ResourceError

FAR = 6.0  # times the usual loss, from which an example counts by the square root of its loss
LONG = 3.0  # times the usual length of a gradient, to which a longer one is cut
MOST_LEFT_OUT = 20  # steps in a row, after which no more sense is expected
_MEMORY = 0.98  # of what is usual, from one step to the next
COUNTS = ("bounded", "shortened", "left_out")


@dataclass(frozen=True)
class Guard:
    """usual : logarithms of the loss of an example and of the length of a gradient; infinite before the first step.
    counts : see `COUNTS`, then steps left out in a row, and steps."""

    usual: Tensor
    counts: Tensor

    @classmethod
    def on(cls, device: torch.device) -> Guard:
        return cls(torch.full((2,), torch.inf, device=device), torch.zeros(len(COUNTS) + 2, device=device))

    @property
    def most(self) -> Tensor:
        """The loss from which an example is far off."""
        return FAR * self.usual[0].exp()

    @torch.no_grad()
    def shorten(self, weights: Sequence[Tensor], loss: Tensor, far: Tensor, clip: float) -> Tensor:
        """Cut the gradients of ``weights`` to ``clip`` and to little more than usual; whether to leave the step out.

        loss : of the step. far : how many of its examples were bounded.
        """
        grads = [w.grad for w in weights if w.grad is not None]
        length = nn.utils.get_total_norm(grads).to(self.usual)
        limit = (LONG * self.usual[1].exp()).clamp(max=clip)
        torch._foreach_mul_(grads, (limit / (length + 1e-6)).clamp(max=1.0))
        good = torch.isfinite(length + loss)
        seen = torch.stack([loss.to(self.usual), torch.minimum(length, limit)]).clamp(min=1e-30).log()
        steps = self.counts[-1]
        kept = ((1 + steps) / (10 + steps)).clamp(max=_MEMORY)  # the first steps count fully
        fresh = torch.where(torch.isfinite(self.usual), torch.lerp(seen, self.usual, kept), seen)
        self.usual.copy_(torch.where(good, fresh, self.usual))
        left_out = (~good).to(self.counts)
        more = torch.stack([far.to(self.counts), (length > limit).to(self.counts), left_out, left_out, good * 1.0])
        self.counts.add_(more)
        self.counts[-2].mul_(left_out)
        return ~good

    def check(self) -> None:
        """ResourceError when too many steps in a row were left out. Waits for the device."""
        in_a_row = int(self.counts[-2])
        if in_a_row >= MOST_LEFT_OUT:
            raise ResourceError("training", f"in the last {in_a_row} steps the loss or its gradients were no numbers",
                                "Lower the learning rate, or use precision fp32.")  # fmt: skip

    def total(self) -> Mapping[str, int]:
        """How often each happened so far. Waits for the device."""
        return dict(zip(COUNTS, map(int, self.counts.tolist()), strict=False))


def bounded(losses: Tensor, most: Tensor) -> tuple[Tensor, Tensor]:
    """The loss of a batch, and how many of its examples are far off; one number is taken as it is.

    losses : one an example, each at least 0. Beyond ``most`` they grow with the square root.
    """
    if losses.dim() == 0:
        return losses, losses.new_zeros(())
    far = losses > most
    most = torch.where(far, most, 1.0).to(losses)  # infinite where nothing is usual yet
    huber = 2 * (most * torch.where(far, losses, 1.0)).sqrt() - most
    return torch.where(far, huber, losses).mean(), far.sum()

"""Networks: ``nn.Module``s only, local (nothing mixes statistics over the whole tile). They neither train nor load."""

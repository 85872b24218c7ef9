"""Networks: ``nn.Module``s only, and local (no statistics over the whole tile). They neither train nor load."""

"""Trained models: weights as safetensors, a card that says what they are, and the check that both belong together."""

from ruska.weights.card import ModelCard
from ruska.weights.domain import Domain
from ruska.weights.model import Model, find_models, save_model
from ruska.weights.store import find_card, load_model, locate

__all__ = ["Domain", "Model", "ModelCard", "find_card", "find_models", "load_model", "locate", "save_model"]

"""Trained models: weights as safetensors, a card that says what they are, and the check that both belong together."""

from ruska.weights.card import ModelCard
from ruska.weights.model import Model, find_models, load_model, save_model

__all__ = ["Model", "ModelCard", "find_models", "load_model", "save_model"]

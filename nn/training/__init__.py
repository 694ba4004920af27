"""Training loops, checkpoints and what is watched meanwhile."""

from nn.training.callbacks import Callback, EarlyStopping, LambdaCallback, TensorBoard
from nn.training.checkpoint import CheckpointFolder, load_checkpoint, save_checkpoint
from nn.training.history import History
from nn.training.lr_finder import LearningRates, lr_find
from nn.training.trainer import Trainer

__all__ = [
    "Callback", "CheckpointFolder", "EarlyStopping", "History", "LambdaCallback", "LearningRates", "TensorBoard", "Trainer",
    "load_checkpoint", "lr_find", "save_checkpoint",
]  # fmt: skip

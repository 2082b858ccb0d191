"""Training on the workstation: transfer learning, distillation and fine-tuning of what a recipe names.

    stepped = run_train(load_model(...).module, Train(epochs=12), context)

Each step can be killed at any moment and run again: it goes on after its last whole epoch, to the same weights.
"""

from edgekit.converters.train.run import run_distill, run_train
from edgekit.converters.train.settings import Augment, CosFace, Distill, FineTune, Train

__all__ = ["Augment", "CosFace", "Distill", "FineTune", "Train", "run_distill", "run_train"]

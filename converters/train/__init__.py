"""Training on the workstation: transfer learning, distillation and fine-tuning of what a recipe names."""

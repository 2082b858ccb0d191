"""The workstation's side: from a trained model to a bundle with the proof that its accuracy held. torch lives here."""

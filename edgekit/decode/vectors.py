"""Outputs that are one vector: class scores and embeddings."""

from __future__ import annotations

import numpy as np

from edgekit.contract import Embedding, Softmax
from edgekit.decode.outputs import Outputs, expect, finite, probabilities
from edgekit.errors import ContractError
from edgekit.frames import Classification, FloatArray


def decode_classification(outputs: Outputs, head: Softmax, labels: int) -> Classification:
    """The probability of each label. Scores before `head.first` take part in softmax and are dropped then."""
    what = f"a softmax head with {labels} labels" + (f" after {head.first} more scores" if head.first else "")
    (scores,) = expect(outputs, [(1, head.first + labels)], what)
    finite(scores, what, "scores")
    if head.logits:
        powers = np.exp(scores - scores.max())
        scores = powers / powers.sum()
    probabilities(scores, what)
    return Classification(scores[head.first :])


def decode_embedding(outputs: Outputs, head: Embedding) -> FloatArray:
    """The vector (size,), of length 1 if the head says so. Dimensions of one around the vector do not matter."""
    what = "an embedding head"
    if len(outputs) == 1 and outputs[0].size == max(outputs[0].shape, default=0):
        outputs = [outputs[0].reshape(1, -1)]
    (vector,) = expect(outputs, [(1, None)], what)
    finite(vector, what, "values")
    if not head.normalise:
        return vector
    length = float(np.linalg.norm(vector))
    if not length:
        raise ContractError(f"{what}: all {len(vector)} values are 0, a vector without a direction")
    return vector / np.float32(length)

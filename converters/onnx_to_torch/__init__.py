"""An ONNX detector or classifier becomes a torch module, so that it can be pruned, fine-tuned and sent on to TFLite.

    from edgekit.converters.onnx_to_torch import import_onnx
    module = import_onnx("yolox_nano.onnx")
    print(module.code)                      # plain torch, one line an operator
    outputs = module(torch.zeros(module.input_shape))

Shapes are made static and everything that does not depend on the picture is computed beforehand. Convolutions, batch
norms and linear layers become the torch layers of that name, with their weights as parameters; everything else becomes
plain torch functions, its constants buffers. What cannot be imported is listed all at once, by `explain` or by the
error that `import_onnx` raises.
"""

from __future__ import annotations

from edgekit.converters.onnx_to_torch.imported import ImportedOnnx, Problem, explain, import_onnx

__all__ = ["ImportedOnnx", "Problem", "explain", "import_onnx"]

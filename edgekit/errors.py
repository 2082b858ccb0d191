"""Everything that can go wrong in edgekit and is not a caller's wrong argument.

EdgekitError
├── ContractError       a tensor, an output or a list of labels that is not what the model's contract says
├── SettingsError       a recipe, a store file or a profile that cannot be read as one: unknown keys, wrong types
├── BundleError         a bundle that is damaged, from another schema, or without the variant that was asked for
├── ProfileError        no such device profile, or one that does not fit this host
├── EngineError         an engine refused, crashed or stalled on a model
│   ├── EngineMissing       the engine is not installed
│   └── AcceleratorMissing  the engine is there, the device it was asked to use is not
├── SourceError         a camera, a video or a folder of pictures that gives no frames
├── DataError           a data set that cannot be read, or not as what it was said to be
│   └── PictureError        a picture file that cannot be decoded; a SourceError too
├── ResultError         a file of measurements that cannot be read, or not compared with another
└── ConversionError     a trained model that could not be loaded, exported or quantized
    └── UnsupportedOperators  operators that no importer knows, all of them at once

A caller's wrong argument is a plain `ValueError`. The command line prints an EdgekitError as one line and exits with 1.
"""


class EdgekitError(Exception):
    """The root of the tree above; catch it to catch all of it."""


class ContractError(EdgekitError):
    """A tensor, an output or a list of labels is not what the model's contract says."""


class SettingsError(EdgekitError):
    """A recipe, a store file or a profile cannot be read as one."""


class BundleError(EdgekitError):
    """A bundle is damaged, of another schema, or lacks the variant that was asked for."""


class ProfileError(EdgekitError):
    """No such device profile, or one that does not fit this host."""


class EngineError(EdgekitError):
    """An engine refused, crashed or stalled on a model."""


class EngineMissing(EngineError):
    """The engine is not installed; the message says what to install."""


class AcceleratorMissing(EngineError):
    """The device that the plan asks for is not there. edgekit never falls back to the CPU by itself."""


class SourceError(EdgekitError):
    """A camera, a video or a folder of pictures gives no frames."""


class DataError(EdgekitError):
    """A data set cannot be read, or not as what it was said to be."""


class PictureError(DataError, SourceError):
    """A picture file cannot be decoded, whether a data set or a folder that is played as a camera holds it."""


class ResultError(EdgekitError):
    """A file of measurements cannot be read as one, or two of them cannot be compared."""


class ConversionError(EdgekitError):
    """A trained model could not be loaded, exported or quantized."""


class UnsupportedOperators(ConversionError):
    """Operators that the importer does not know; `operators` names every one of them, with how often it occurs."""

    def __init__(self, message: str, operators: dict[str, int]) -> None:
        super().__init__(message)
        self.operators = operators

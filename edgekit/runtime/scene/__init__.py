"""The rendered shop: scenes of a shelf and of a cart with known truth, for the demo, for tests, for a first look."""

from edgekit.runtime.scene.products import NAMES, PRODUCTS, Product, sprite
from edgekit.runtime.scene.scene import ROOMS, VISIBLE, Scene, open_scene

__all__ = ["NAMES", "PRODUCTS", "ROOMS", "VISIBLE", "Product", "Scene", "open_scene", "sprite"]

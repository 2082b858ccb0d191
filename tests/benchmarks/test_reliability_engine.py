"""Real engines in real boxes are hurt from outside: the supervisor sees it in time, and none of it ends the box."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgekit.benchmarks.reliability import engine_faults
from edgekit.benchmarks.reliability.small_shop import VARIANTS, SmallShop
from edgekit.errors import ContractError
from edgekit.supervisor.engine import EngineSettings
from edgekit.tasks import open_task

pytest.importorskip("onnxruntime")


def test_a_hundred_faults_of_the_engine_are_seen_in_time_and_the_supervisor_lives():
    figures = engine_faults.run(100, seed=1)

    assert figures.kept, figures
    assert figures.counts["seen"] == 100
    assert figures.counts["takeovers"] > 0
    assert figures.counts["supervisor_deaths"] == 0
    assert figures.counts["seen_ms_longest"] < 1e3 * engine_faults.SETTINGS.least_s + 550
    assert figures.caught, figures.control


def test_the_faults_are_the_same_for_the_same_seed_and_each_has_its_share():
    first, second, other = (engine_faults._draw(90, seed) for seed in (1, 1, 2))

    assert first == second != other
    assert sorted(first) == sorted(other)
    assert all(first.count(fault) == 10 for fault in first)


@pytest.fixture
def shop(tmp_path):
    return SmallShop(tmp_path, EngineSettings())


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_rigs_detector_sees_what_its_pictures_show(shop, variant):
    with open_task(shop.folder / "detector.ekb", variant=variant) as detect:
        for path in sorted((shop.folder / "calm").iterdir())[:5]:
            picture = cv2.imread(str(path))
            found = detect(picture)

            assert len(found) == 3
            for (x1, y1, x2, y2), label in zip(found.boxes.astype(int), found.labels, strict=True):
                blue, _, red = picture[y1:y2, x1:x2].reshape(-1, 3).mean(axis=0)
                assert (red > blue) == (label == 0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_dim_picture_makes_the_rigs_model_give_nan_and_a_black_one_does_not(shop, variant):
    with open_task(shop.folder / "detector.ekb", variant=variant) as detect:
        assert len(detect(np.zeros((64, 96, 3), np.uint8))) == 0
        with pytest.raises(ContractError, match="NaN"):
            detect(cv2.imread(str(shop.folder / "dim" / "000.bmp")))


@pytest.mark.parametrize("breach", ["another shape", "one output more"])
def test_a_breach_is_of_one_variant_and_repaired(shop, breach):
    def look(variant):
        with open_task(shop.folder / "detector.ekb", variant=variant) as detect:
            return detect(np.zeros((64, 96, 3), np.uint8))

    shop.breach(VARIANTS[0], breach)
    look(VARIANTS[1])
    with pytest.raises(ContractError, match="expects"):
        look(VARIANTS[0])
    shop.repair()
    look(VARIANTS[0])

"""torchvision beside a torch that its own operators do not fit: it imports, trains and detects; where they fit, it is
left alone."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from edgekit.converters import torchvision_cpu
from edgekit.converters.torchvision_cpu import import_torchvision, nms, roi_align


def child(code: str, *, path: Path | None = None) -> str:
    """What a fresh interpreter prints; `path` is where it looks for packages first."""
    ahead = f"import sys; sys.path.insert(0, {str(path)!r})\n" if path else ""
    done = subprocess.run([sys.executable, "-c", ahead + code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def broken_wheel() -> None:
    """Skips where the installed torchvision brings operators that this torch can load."""
    found = child(
        "try:\n    import torchvision.extension as e; print('own' if e._has_ops() else 'none')\n"
        "except RuntimeError as error: print(error)"
    )
    if found == "own":
        pytest.skip("this torchvision loads its own operators: there is nothing to lend it")
    assert found == "operator torchvision::nms does not exist"


@pytest.mark.usefixtures("broken_wheel")
def test_a_wheel_that_fails_to_import_is_imported_with_our_operators():
    said = child(
        "from edgekit.converters.torchvision_cpu import import_torchvision\n"
        "ours = import_torchvision()\n"
        "import torch, torchvision\n"
        "assert ours is torchvision is import_torchvision()\n"
        "boxes = torch.tensor([[0., 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]])\n"
        "assert torchvision.ops.nms(boxes, torch.tensor([.5, .9, .7]), .5).tolist() == [1, 2]\n"
        "print('ok')"
    )
    assert said == "ok"


@pytest.mark.usefixtures("broken_wheel")
def test_threads_that_all_ask_first_get_the_same_whole_package():
    said = child(
        "import sys, threading\n"
        "sys.setswitchinterval(1e-6)\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from edgekit.converters.torchvision_cpu import import_torchvision\n"
        "together = threading.Barrier(8)\n"
        "def ask(_):\n"
        "    together.wait()\n"
        "    torchvision = import_torchvision()\n"
        "    from torchvision.transforms.v2 import functional\n"
        "    return id(torchvision), id(functional)\n"
        "with ThreadPoolExecutor(8) as pool: print(len(set(pool.map(ask, range(8)))))"
    )
    assert said == "1"


@pytest.mark.usefixtures("broken_wheel")
def test_an_operator_that_stays_absent_is_refused_by_torchvision_itself():
    torchvision = import_torchvision()
    boxes = torch.tensor([[0.0, 0.0, 0.0, 4.0, 4.0]])
    with pytest.raises(RuntimeError, match="Couldn't load custom C\\+\\+ ops"):
        torchvision.ops.roi_pool(torch.zeros(1, 1, 8, 8), boxes, 2)


def test_a_torchvision_that_has_its_operators_is_left_as_it_is():
    # No build with operators for this torch is to be had, so the child gives the real package what the extension would
    # have given it: declarations that are there before the import, and a kernel that can be told from ours.
    said = child(
        "import torch\n"
        "theirs = torch.library.Library('torchvision', 'DEF')\n"
        "for name in ('nms', 'qnms'):\n"
        "    theirs.define(name + '(Tensor dets, Tensor scores, float iou_threshold) -> Tensor')\n"
        "theirs.impl('nms', lambda dets, scores, iou: torch.tensor([42]), 'CPU')\n"
        "from edgekit.converters import torchvision_cpu\n"
        "torchvision = torchvision_cpu.import_torchvision()\n"
        "from torchvision import extension\n"
        "from torchvision.ops import boxes\n"
        "kept = torch.ops.torchvision.nms(torch.zeros(1, 4), torch.zeros(1), .5).tolist() == [42]\n"
        "lent = torchvision_cpu._declare_operators.cache_info().currsize\n"
        "untouched = boxes._assert_has_ops is extension._assert_has_ops\n"
        "print('theirs' if kept else 'ours', 'nothing of ours' if untouched and not lent else 'changed', sep=', ')"
    )
    assert said == "theirs, nothing of ours"


@pytest.mark.parametrize("fault", ["RuntimeError('CUDA 99 needed')", "ImportError('libjpeg.so.8')"])
def test_another_fault_of_torchvision_is_not_hidden(tmp_path, fault):
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(f"raise {fault}")
    code = (
        "from edgekit.converters.torchvision_cpu import import_torchvision\n"
        "try: import_torchvision()\n"
        "except (RuntimeError, ImportError) as error: print(repr(error))"
    )
    assert child(code, path=tmp_path) == fault


def nms_by_the_book(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> list[int]:
    def area(b: list[float]) -> float:
        return (b[2] - b[0]) * (b[3] - b[1])

    def iou(a: list[float], b: list[float]) -> float:
        inter = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
        return inter / (area(a) + area(b) - inter) if area(a) + area(b) > inter else 0.0

    kept: list[int] = []
    rows = boxes.tolist()
    for i in sorted(range(len(rows)), key=lambda i: -scores[i].item()):
        if all(iou(rows[i], rows[k]) <= threshold for k in kept):
            kept.append(i)
    return kept


@pytest.mark.parametrize("block", [1, 7, 1024])
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 1.0])
def test_nms_keeps_what_the_definition_keeps(monkeypatch, block, threshold):
    monkeypatch.setattr(torchvision_cpu, "_NMS_BLOCK", block)
    dice = torch.Generator().manual_seed(block)
    corner = torch.randint(0, 30, (120, 2), generator=dice).double()  # whole pixels: many overlaps are the same
    boxes = torch.cat([corner, corner + torch.randint(1, 20, (120, 2), generator=dice)], dim=1)
    scores = torch.randint(0, 20, (120,), generator=dice) / 20.0  # and so are many scores
    assert nms(boxes, scores, threshold).tolist() == nms_by_the_book(boxes, scores, threshold)


def test_nms_keeps_a_box_whose_overlap_is_the_threshold_itself():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 5]])  # IoU 0.5
    scores = torch.tensor([0.9, 0.8])
    assert nms(boxes, scores, 0.5).tolist() == [0, 1]
    assert nms(boxes, scores, 0.49).tolist() == [0]


def test_nms_of_nothing_is_nothing():
    assert nms(torch.zeros(0, 4), torch.zeros(0), 0.5).tolist() == []


def test_nms_refuses_what_are_not_boxes_and_their_scores():
    with pytest.raises(ValueError, match=r"got \(3, 5\) and \(3,\)"):
        nms(torch.zeros(3, 5), torch.zeros(3), 0.5)


def roi_align_by_the_book(x, rois, scale, height, width, sampling, aligned):
    """torchvision/csrc/ops/cpu/roi_align_kernel.cpp, one sample after the other."""
    out = torch.zeros(len(rois), x.shape[1], height, width, dtype=x.dtype)
    for r, (picture, *box) in enumerate(rois.tolist()):
        x0, y0, x1, y1 = (edge * scale - 0.5 * aligned for edge in box)
        w, h = (x1 - x0, y1 - y0) if aligned else (max(x1 - x0, 1.0), max(y1 - y0, 1.0))
        across, down = (sampling, sampling) if sampling > 0 else (math.ceil(w / width), math.ceil(h / height))
        for i, j in ((i, j) for i in range(height) for j in range(width)):
            points = [
                (y0 + (i + (dy + 0.5) / down) * h / height, x0 + (j + (dx + 0.5) / across) * w / width)
                for dy in range(down)
                for dx in range(across)
            ]
            out[r, :, i, j] = sum(bilinear(x[int(picture)], *point) for point in points) / max(len(points), 1)
    return out


def bilinear(features, y, x):
    height, width = features.shape[1:]
    if not (-1 <= y <= height and -1 <= x <= width):
        return torch.zeros(len(features), dtype=features.dtype)
    y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    upper = features[:, top, left] * (1 - x + left) + features[:, top, right] * (x - left)
    lower = features[:, bottom, left] * (1 - x + left) + features[:, bottom, right] * (x - left)
    return upper * (1 - y + top) + lower * (y - top)


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("sampling", [2, 0, -1])
def test_roi_align_agrees_with_the_definition_inside_and_outside_the_picture(sampling, aligned):
    dice = torch.Generator().manual_seed(0)
    features = torch.randn(2, 3, 11, 9, generator=dice, dtype=torch.float64)
    corner = torch.rand(12, 2, generator=dice, dtype=torch.float64) * 200 - 40  # the picture is 144 x 176
    size = torch.rand(12, 2, generator=dice, dtype=torch.float64) * 150
    size[0] = 0.0
    rois = torch.cat([torch.arange(12.0)[:, None] % 2, corner, corner + size], dim=1)
    ours = roi_align(features, rois, 1 / 16, 3, 2, sampling, aligned)
    assert torch.allclose(ours, roi_align_by_the_book(features, rois, 1 / 16, 3, 2, sampling, aligned), atol=1e-9)


def test_the_gradient_of_roi_align_is_that_of_its_values():
    dice = torch.Generator().manual_seed(0)
    features = torch.randn(1, 2, 6, 5, generator=dice, dtype=torch.float64, requires_grad=True)
    rois = torch.tensor([[0, 3.0, 5.0, 60.0, 70.0], [0, -20.0, 10.0, 30.0, 200.0]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: roi_align(x, rois, 1 / 16, 2, 2, 2, False), (features,))


def test_roi_align_refuses_boxes_without_the_number_of_their_picture():
    with pytest.raises(ValueError, match=r"rois must be \(k, 5\); got \(1, 4\)"):
        roi_align(torch.zeros(1, 1, 4, 4), torch.zeros(1, 4), 1.0, 2, 2, 2, False)


def test_a_classifier_trains_and_answers():
    model = import_torchvision().models.mobilenet_v2(num_classes=3, width_mult=0.35)
    torch.nn.functional.cross_entropy(model(torch.rand(2, 3, 64, 64)), torch.tensor([0, 2])).backward()
    assert all(p.grad is not None for p in model.parameters())
    assert model.eval()(torch.rand(1, 3, 64, 64)).shape == (1, 3)


SMALL = {"min_size": 64, "max_size": 64}


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("ssdlite320_mobilenet_v3_large", {}),
        ("retinanet_resnet50_fpn", SMALL),
        ("fcos_resnet50_fpn", SMALL),
        (
            "fasterrcnn_mobilenet_v3_large_320_fpn",
            {**SMALL, "rpn_post_nms_top_n_test": 40, "box_batch_size_per_image": 32, "box_score_thresh": 0.0},
        ),
    ],
)
def test_a_detector_trains_and_detects(name, arguments):
    torch.manual_seed(0)
    model = import_torchvision().models.get_model(name, weights=None, weights_backbone=None, num_classes=3, **arguments)
    pictures = [torch.rand(3, 80, 96), torch.rand(3, 96, 64)]
    truth = [{"boxes": torch.tensor([[10.0, 12, 50, 60]]), "labels": torch.tensor([label])} for label in (1, 2)]
    losses = model(pictures, truth)
    sum(losses.values()).backward()
    assert all(loss.isfinite() for loss in losses.values())
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)
    with torch.no_grad():
        found = model.eval()(pictures)
    assert [set(each) for each in found] == [{"boxes", "scores", "labels"}] * 2
    for each, picture in zip(found, pictures, strict=True):
        height, width = picture.shape[1:]
        assert (each["boxes"] >= 0).all()
        assert (each["boxes"] <= torch.tensor([width, height] * 2)).all()

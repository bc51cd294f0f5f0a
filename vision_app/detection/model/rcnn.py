"""R-CNN, Fast R-CNN and Faster R-CNN on the grid detector's backbone, small ones, from torchvision's parts.

R-CNN (Girshick et al., 2014) warps every proposed region and runs the network on each; Fast R-CNN (Girshick, 2015) runs
it once and pools the regions' features from its maps; Faster R-CNN (Ren et al., 2015) has the network propose the
regions too. The maps are a pyramid at strides 8 to 64, and a region is pooled from the one that fits its size (Lin et
al., 2017, "Feature pyramid networks", equation 1).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import MultiScaleRoIAlign, roi_align
from torchvision.ops.poolers import initLevelMapper

from vision_app.core.labeled_boxes import LabeledBoxes
from vision_app.detection.model.backbone import BACKBONES
from vision_app.detection.model.blocks import ConvUnit
from vision_app.detection.model.rcnn_parts import BoxPredictor, ProposalNetwork, StrideAnchors
from vision_app.detection.model.yolo import Layout, Targets, layout

PROPOSALS = {"rcnn": 500, "fast-rcnn": 500, "faster-rcnn": 300}  # regions per image, by kind
CANONICAL = 112  # side in pixels of a region that is pooled at stride 16, where it covers 7 cells
BOX_WEIGHTS = (10.0, 10.0, 5.0, 5.0)  # of dx, dy, dw, dh, which makes their targets about as large as each other
SURE = 0.5  # boxes of a teacher with less confidence are ignored
WARPED = 128  # side in pixels that R-CNN warps a region to, with its surroundings; a multiple of 32
CONTEXT = 1.4  # of the warped region relative to the proposal; R-CNN's 16 of 227 pixels on each side are 1.16


@dataclass(frozen=True)
class RCNNConfig:
    """Everything that decides the network's shape.

    Attributes:
        kind: One of `PROPOSALS`.
        classes: Number of classes p.
        backbone: See `yolo.YOLOConfig`.
        width: See there.
        depths: See there.
        pyramid: Channels of the pooled maps.
        hidden: Width of the head on the pooled regions.
        pooled: Cells along each side of a pooled region.
        proposals: Max. number of regions per image; by default the kind's.
    """

    kind: str
    classes: int
    backbone: str = "shuffle"
    width: int = 0
    depths: tuple[int, ...] = ()
    pyramid: int = 64
    hidden: int = 256
    pooled: int = 7
    proposals: int = 0

    def __post_init__(self) -> None:
        if self.kind not in PROPOSALS:
            raise ValueError(f"kind: must be one of {', '.join(PROPOSALS)}")
        object.__setattr__(self, "proposals", self.proposals or PROPOSALS[self.kind])
        chosen = layout(self.backbone)
        object.__setattr__(self, "width", self.width or chosen.width)
        object.__setattr__(self, "depths", tuple(self.depths or chosen.depths))

    @property
    def strides(self) -> tuple[int, ...]:
        """The strides of the pyramid's maps."""
        return layout(self.backbone).neck.strides

    def to_dict(self) -> dict[str, Any]:
        """Return the values as model.json has them."""
        values = asdict(self)
        return {"type": values.pop("kind"), **values}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "RCNNConfig":
        """Return the config that `to_dict` gave."""
        return cls(values["type"], **{key: value for key, value in values.items() if key != "type"})


@dataclass(frozen=True)
class Regions:
    """What the head predicts for one image's regions.

    Attributes:
        boxes: (R, 4), the regions as proposed, xyxy in input pixels.
        logits: (R, 1 + p) of background and the classes.
        deltas: (R, 4) dx, dy, dw, dh from the region to the object; see `region_detector.decode`.
    """

    boxes: Tensor
    logits: Tensor
    deltas: Tensor


class RCNN(nn.Module):
    """The whole network. In training it gives losses, otherwise `Regions`.

    Its children `backbone` and `neck` are those of `yolo.YOLO`; all others are its head.
    """

    def __init__(self, config: RCNNConfig):
        super().__init__()
        self.config = config
        parts = layout(config.backbone)
        self.backbone = BACKBONES[config.backbone](config.width, config.depths)
        self.neck = Trunk(parts, self.backbone.channels)
        self.pyramid = nn.ModuleList(ConvUnit(channels, config.pyramid) for channels in self.neck.channels)
        if config.kind == "faster-rcnn":
            self.rpn = _proposal_network(config)
        self.roi_heads = _heads(config)

    def forward(
        self, images: Tensor, targets: Sequence[LabeledBoxes] | None = None, proposals: Sequence[Tensor] | None = None
    ) -> dict[str, Tensor] | list[Regions]:
        """Compute losses in training, predictions otherwise.

        Args:
            images: (B, 3, H, W), RGB in 0..1, H and W multiples of 32.
            targets: Those of each image, in training; those of Fast R-CNN have proposals.
            proposals: (R, 4) of each image, xyxy in input pixels, otherwise; Faster R-CNN finds its own.

        Returns:
            In training the mean losses "objectness" and "proposals" (Faster R-CNN only), "classes" and "boxes",
            otherwise what the head predicts for each image's regions.
        """
        if self.training:
            return self._losses(images, [Targets.of(boxes, images.device) for boxes in targets or ()])
        if self.config.kind == "rcnn":
            return [self.classify_each(*one) for one in zip(images, proposals or (), strict=True)]
        maps = self.maps(images)
        return self.classify(maps, self.propose(images, maps) if proposals is None else proposals)

    def maps(self, images: Tensor) -> dict[str, Tensor]:
        """Turn (B, 3, H, W) into the pyramid's maps by stride, (B, c, H/s, W/s) each, in single precision.

        All that follows is computed in it, too: half precision rounds boxes to whole pixels and more.
        """
        maps = self.neck(self.backbone(images))
        return {str(s): part(x).float() for s, part, x in zip(self.config.strides, self.pyramid, maps, strict=True)}

    def propose(self, images: Tensor, maps: Mapping[str, Tensor]) -> list[Tensor]:
        """Return Faster R-CNN's proposals, (R, 4) xyxy of each image, the most promising first."""
        with torch.autocast(images.device.type, enabled=False):
            proposals: list[Tensor] = self.rpn(_image_list(images), dict(maps))[0]
            return proposals

    def classify(self, maps: Mapping[str, Tensor], proposals: Sequence[Tensor]) -> list[Regions]:
        """Return what the head predicts for each image's regions, (R, 4) xyxy each."""
        logits, deltas = self._head(maps, proposals)
        counts = [len(boxes) for boxes in proposals]
        parts = zip(proposals, torch.split(logits, counts), torch.split(deltas[:, :4], counts), strict=True)
        return [Regions(*part) for part in parts]

    def classify_each(self, image: Tensor, proposals: Tensor, batch: int = 64) -> Regions:
        """Warp each region of an image with its surroundings and run the whole network on it, as R-CNN does.

        Args:
            image: (3, H, W).
            proposals: (R, 4) xyxy.
            batch: Number of regions at a time.
        """
        size = proposals.new_tensor(image.shape[:0:-1])  # W, H
        center, half = (proposals[:, :2] + proposals[:, 2:]) / 2, (proposals[:, 2:] - proposals[:, :2]) / 2 * CONTEXT
        around = torch.cat([(center - half).clamp(min=0), torch.minimum(center + half, size)], dim=1)
        scale = WARPED / (around[:, 2:] - around[:, :2]).clamp(min=1e-3)  # (R, 2)
        inner = (proposals - around[:, :2].repeat(1, 2)) * scale.repeat(1, 2)
        found: list[Regions] = []
        for start in range(0, len(proposals), batch):
            boxes = around[start : start + batch]
            warped = roi_align(image[None], [boxes], WARPED, sampling_ratio=2, aligned=True)  # (b, 3, WARPED, WARPED)
            found += self.classify(self.maps(warped), list(torch.split(inner[start : start + batch], 1)))
        logits, deltas = ([getattr(one, name) for one in found] for name in ("logits", "deltas"))
        width = 1 + self.config.classes
        return Regions(
            proposals, torch.cat([*logits, image.new_zeros(0, width)]), torch.cat([*deltas, image.new_zeros(0, 4)])
        )

    def _head(self, maps: Mapping[str, Tensor], proposals: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return (sum of R, 1 + p) logits and (sum of R, (1 + p) 4) deltas of all images' regions."""
        heads, boxes = self.roi_heads, list(proposals)
        with torch.autocast(maps[str(self.config.strides[0])].device.type, enabled=False):
            pooled = heads.box_roi_pool(dict(maps), boxes, [])  # (sum of R, c, 7, 7); sizes are fixed, see _heads
            outputs: tuple[Tensor, Tensor] = heads.box_predictor(heads.box_head(pooled))
            return outputs

    def _losses(self, images: Tensor, targets: Sequence[Targets]) -> dict[str, Tensor]:
        maps, listed = self.maps(images), _image_list(images)
        sure = [target.scores >= SURE for target in targets]
        boxes = [target.boxes[s] for target, s in zip(targets, sure, strict=True)]
        labels = [target.labels[s] + 1 for target, s in zip(targets, sure, strict=True)]
        ignored = [torch.cat([t.ignored, t.boxes[~s]]) for t, s in zip(targets, sure, strict=True)]
        losses: dict[str, Tensor] = {}
        if self.config.kind == "faster-rcnn":
            known = [{"boxes": b, "ignored": u} for b, u in zip(boxes, ignored, strict=True)]
            with torch.autocast(images.device.type, enabled=False):
                proposals, found = self.rpn(listed, maps, known)
            losses = {"objectness": found["loss_objectness"], "proposals": found["loss_rpn_box_reg"]}
        else:
            proposals = [target.proposals for target in targets]
        # torchvision samples regions of label 1 or more and of label 0; -1 is what it leaves out
        labels = [torch.cat([one, one.new_full((len(u),), -1)]) for one, u in zip(labels, ignored, strict=True)]
        boxes = [torch.cat(pair) for pair in zip(boxes, ignored, strict=True)]
        truth = [{"boxes": b, "labels": one} for b, one in zip(boxes, labels, strict=True)]
        regions, _, labels, wanted = self.roi_heads.select_training_samples(list(proposals), truth)
        logits, deltas = self._head(maps, regions)
        if not len(logits):  # the means of nothing would be NaN
            return losses | {"classes": logits.sum(), "boxes": deltas.sum()}
        class_loss, box_loss = fastrcnn_loss(logits, deltas, labels, wanted)
        return losses | {"classes": class_loss, "boxes": box_loss}


class Trunk(nn.Module):
    """The grid detector's neck and its heads' branches, without their last layers.

    The features that they have learned are as good for regions as for cells.
    """

    def __init__(self, parts: Layout, channels: tuple[int, int, int]):
        super().__init__()
        self.neck = parts.neck(channels)
        hidden = channels[0]
        heads = (parts.head(inputs, hidden, 1, ((1.0, 1.0),), 1) for inputs in self.neck.channels)
        self.towers = nn.ModuleList(head.tower for head in heads)
        self.channels = [hidden] * len(self.towers)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Turn the backbone's maps into features, (B, c, H/s, W/s) for each stride s."""
        return [tower(x) for tower, x in zip(self.towers, self.neck(maps), strict=True)]


def _proposal_network(config: RCNNConfig) -> ProposalNetwork:
    ratios = ((0.5, 1.0, 2.0),) * len(config.strides)
    anchors = StrideAnchors(tuple((4 * s,) for s in config.strides), ratios, config.strides)
    head = RPNHead(config.pyramid, anchors.num_anchors_per_location()[0])
    return ProposalNetwork(
        anchors, head, fg_iou_thresh=0.7, bg_iou_thresh=0.3, batch_size_per_image=128, positive_fraction=0.5,
        pre_nms_top_n={"training": 500, "testing": 500},
        post_nms_top_n={"training": config.proposals, "testing": config.proposals}, nms_thresh=0.7,
    )  # fmt: skip


def _heads(config: RCNNConfig) -> RoIHeads:
    names = [str(stride) for stride in config.strides]
    pool = MultiScaleRoIAlign(names, config.pooled, sampling_ratio=2, canonical_scale=CANONICAL, canonical_level=4)
    # else it guesses the strides from the first image's size, which is no multiple of the largest
    pool.scales = [1 / stride for stride in config.strides]
    levels = [stride.bit_length() - 1 for stride in config.strides]
    pool.map_levels = initLevelMapper(levels[0], levels[-1], CANONICAL, 4)
    head = TwoMLPHead(config.pyramid * config.pooled**2, config.hidden)
    return RoIHeads(
        pool, head, BoxPredictor(config.hidden, config.classes), fg_iou_thresh=0.5, bg_iou_thresh=0.5,
        batch_size_per_image=64, positive_fraction=0.25, bbox_reg_weights=BOX_WEIGHTS, score_thresh=0.0,
        nms_thresh=0.5, detections_per_img=config.proposals,
    )  # fmt: skip


def _image_list(images: Tensor) -> ImageList:
    return ImageList(images, [tuple(images.shape[2:])] * len(images))

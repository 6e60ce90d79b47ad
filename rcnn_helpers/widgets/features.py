"""The explorer of features: what a channel of pool5 fires on."""

import cv2
import numpy as np

from rcnn_helpers.boxes import as_boxes
from rcnn_helpers.drawing import draw_boxes, montage
from rcnn_helpers.errors import DisplayError
from rcnn_helpers.nms import nms
from rcnn_helpers.settings import CONTEXT_PADDING
from rcnn_helpers.warping import warp_reference
from rcnn_helpers.widgets.controls import int_slider
from rcnn_helpers.widgets.explorer import Explorer
from rcnn_helpers.widgets.pictures import IMAGENET_MEAN, View, as_picture, beside, pixels


class FeatureExplorer(Explorer):
    """One channel of pool5: the regions of an image that excite it most, and where in them.

    Parameters
    ----------
    image : uint8 array of shape [H, W, 3]
    boxes : array-like of shape [N, 4]
        The regions.
    pool5 : float array of shape [N, C, h, w]
        Their activations.
    n_top : int
        Regions shown; of regions that overlap much, only the best.
    padding : int
        Context in the crops, in pixels of a 227-pixel crop.
    """

    def __init__(self, image, boxes, pool5, *, n_top: int = 8, padding: int = CONTEXT_PADDING):
        self._image = as_picture(image)
        self._view = View(self._image, longest=560)
        self.boxes, self.pool5 = as_boxes(boxes), np.asarray(pool5)
        if self.pool5.ndim != 4 or len(self.pool5) != len(self.boxes) or self.pool5.size == 0:
            raise DisplayError(
                f"pool5 must have shape [{len(self.boxes)}, channels, h, w] and not be empty, "
                f"got {list(self.pool5.shape)}; reshape features with network.feature_shape('pool5')"
            )
        self.n_top, self.padding = n_top, padding
        n_channels = self.pool5.shape[1]
        super().__init__({"channel": int_slider("channel", 0, n_channels - 1, 0)})

    def _draw(self, channel):
        maps = self.pool5[:, channel].astype(np.float32)
        strongest = maps.max(axis=(1, 2))
        if np.isnan(strongest).any():
            raise DisplayError(
                f"channel {channel} of pool5 holds NaN; were the features computed to the end?"
            )
        top = nms(self.boxes, strongest, iou_threshold=0.4)[: self.n_top]
        numbers = [str(i + 1) for i in range(len(top))]
        marked = draw_boxes(self._view.image, self._view.scaled(self.boxes[top]), numbers)
        peak = max(float(strongest.max()), 1e-12)
        crops = [self._spotlight(self.boxes[region], maps[region] / peak) for region in top]
        captions = [f"{i + 1}: {strongest[region]:.2f}" for i, region in enumerate(top)]
        sheet = montage(crops, captions, columns=4, cell=(136, 136))
        active = float((strongest > 0).mean())
        return beside(marked, sheet), (
            f"Channel {channel}: the {len(top)} regions that excite it most, with their highest activation; "
            f"bright is where. {100 * active:.0f}% of {len(self.boxes)} regions excite it at all."
        )

    def _spotlight(self, box, activation):
        """The crop, dark where the channel is silent."""
        size = 136
        padding = round(self.padding * size / 227)
        crop = warp_reference(self._image, box, size=size, padding=padding, mean=IMAGENET_MEAN)
        light = cv2.resize(np.clip(activation, 0, 1), (size, size), interpolation=cv2.INTER_CUBIC)
        return pixels(crop * (0.25 + 0.75 * np.clip(light, 0, 1))[:, :, None])

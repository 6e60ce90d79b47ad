"""R-CNN (Girshick et al., arXiv 1311.2524v5), one module a stage, in the order an image passes through them.

========================  ==========================================================  =====================
module                    what it holds                                               the paper
========================  ==========================================================  =====================
`proposals`               graph segmentation, selective search, windows, recall       sec. 2.1, 4.2
`warping`                 the four ways from a box to a square crop                   sec. 2.1, App. A
`networks`, `features`    backbones, batched extraction, the feature store            sec. 2.1, 2.2
`pretraining`             supervised pre-training                                     sec. 2.3
`svm`                     linear SVMs with hard negative mining                       sec. 2.3, App. B
`nms`, `evaluation`       suppression, average precision                              sec. 2.2, 2.4, 3
`detector`                all stages put together                                     Fig. 1, sec. 2
========================  ==========================================================  =====================

`boxes`, `images`, `datasets` lie below them; `plots`, `widgets`, `course` and the ``rcnn`` command beside them.
"""

import os

# torch's threads spin while they wait and so keep the warping from the cores. When they sleep instead, the quarter
# T-Net's features of 2,000 regions take 0.84 s rather than 0.98 s on two cores. Only works before torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

__version__ = "0.1.0"

"""The pictures in the README, made from the course's own results.

python -m rcnn_helpers.course.pictures    # writes data/pictures
"""

import numpy as np

from rcnn_helpers.course.workspace import Course
from rcnn_helpers.drawing import draw_detections, montage
from rcnn_helpers.images import write_image
from rcnn_helpers.settings import data_dir

LEAST_PRECISION = 0.5


def detections_picture(course: Course, *, images: int = 6, columns: int = 3) -> np.ndarray:
    """Detections on the test images where the most are right: a flattering choice, uint8 [H, W, 3].

    Every detection is drawn whose class is right more often than not at its score; it is labelled with class and
    precision at that score, as in the paper's Figures 8 to 11.
    """
    found, evaluation = course.detections, course.evaluation
    names = np.array(found.classes)[found.class_index]
    precision = np.array(
        [evaluation.precision_at(name, score) for name, score in zip(names, found.scores, strict=True)]
    )
    shown = precision >= LEAST_PRECISION
    right = np.bincount(
        found.image_index[shown & (evaluation.outcomes == "tp")], minlength=len(course.test.ids)
    )
    drawn = []
    for index in np.argsort(-right, kind="stable")[:images]:
        rows = np.flatnonzero(shown & (found.image_index == index))
        drawn.append(
            draw_detections(
                course.test.image(course.test.ids[index]),
                found.boxes[rows],
                names[rows],
                precision[rows],
                outcomes=evaluation.outcomes[rows],
            )
        )
    return montage(drawn, columns=columns)


def main() -> None:
    """Write the README's pictures into ``data/pictures``."""
    folder = data_dir() / "pictures"
    folder.mkdir(exist_ok=True)
    course = Course("laptop")
    write_image(folder / "detections.jpg", detections_picture(course), quality=85)
    print(folder / "detections.jpg")


if __name__ == "__main__":
    main()

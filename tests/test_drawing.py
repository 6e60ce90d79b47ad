"""Fast drawing: pixels lie where they should, labels stay inside the frame, styles differ without colour."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcnn_helpers import drawing
from rcnn_helpers.drawing import (
    COLOURS,
    DASHES,
    STYLES,
    BoxStyle,
    draw_arrows,
    draw_boxes,
    draw_detections,
    draw_filters,
    fit,
    montage,
    paint_segments,
    region_borders,
    shorten,
    tint,
    with_caption,
)
from rcnn_helpers.errors import DisplayError

GREY = np.full((100, 150, 3), 128, np.uint8)
RED = BoxStyle("#ff0000")


def changed(image, original=GREY):
    return (image != original).any(axis=2)


def coloured(image, colour):
    return (image == np.array(drawing.rgb(colour))).all(axis=2)


def test_a_box_is_outlined_just_inside_its_border():
    image = draw_boxes(GREY, [[20, 30, 80, 90]], styles=RED, line_width=2)
    touched = changed(image)
    expected = np.zeros((100, 150), dtype=bool)
    expected[30:90, 20:80] = True
    expected[34:86, 24:76] = False  # a line of 2 with a dark edge on either side
    assert (touched == expected).all()
    assert coloured(image, "#ff0000")[31:33, 21:79].all()
    assert coloured(image, "#000000")[30, 20:80].all()
    assert (GREY == 128).all()


def test_thin_lines_have_no_edge():
    for line in DASHES:
        touched = changed(
            draw_boxes(GREY, [[20, 30, 80, 90]], styles=BoxStyle("#ff0000", line), line_width=1)
        )
        assert touched[30, 20:80].any() and not touched[31:89, 21:79].any()


@given(st.tuples(*[st.floats(-300, 300)] * 4), st.sampled_from(sorted(STYLES)), st.text(max_size=40))
def test_any_box_can_be_drawn_and_only_touches_itself_and_its_label(corners, style, label):
    x1, x2 = sorted(corners[:2])
    y1, y2 = sorted(corners[2:])
    plain = draw_boxes(GREY, [[x1, y1, x2, y2]], styles=style)
    assert plain.shape == GREY.shape
    outside = np.ones((100, 150), dtype=bool)
    left, top, right, bottom = (int(np.clip(np.rint(v), 0, 150)) for v in (x1, y1, x2, y2))
    outside[top:bottom, left:right] = False
    assert not changed(plain)[outside].any()
    assert draw_boxes(GREY, [[x1, y1, x2, y2]], [label], style).shape == GREY.shape


@pytest.mark.parametrize("line", sorted(DASHES))
def test_lines_differ_in_their_dashes(line):
    image = draw_boxes(GREY, [[0, 0, 150, 100]], styles=BoxStyle("#ff0000", line), line_width=2)
    top = coloured(image, "#ff0000")[1]
    runs = 1 + np.count_nonzero(np.diff(top[1:-1].astype(int)) == 1)
    assert top.any()
    if line == "solid":
        assert top[1:-1].all()
    else:
        assert runs > 3 and not top[4:-4].all()
        # What is left out shows the picture: nothing is drawn there at all.
        assert not changed(image)[1][~top][5:-5].all()


def test_right_and_wrong_detections_differ_in_line_and_label_without_colour():
    outcomes = ["tp", "fp", "duplicate", "ignored"]
    assert len({STYLES[o].mark for o in outcomes}) == 4
    assert len({STYLES[o].line for o in outcomes}) == 4
    assert len({STYLES[o].colour for o in outcomes}) == 4


@pytest.mark.parametrize(
    "box",
    [
        [0, 0, 30, 30],
        [120, 0, 150, 30],
        [120, 80, 150, 100],
        [0, 70, 20, 100],
        [0, 0, 150, 100],
        [-50, -50, 20, 20],
    ],
)
def test_labels_stay_whole_inside_the_picture(box):
    image = draw_boxes(GREY, [box], ["sofa 0.93"], RED, font_size=13)
    tile = drawing._text_tile("sofa 0.93", 13, (255, 255, 255), (255, 0, 0))
    windows = np.lib.stride_tricks.sliding_window_view(image, tile.shape)[:, :, 0]
    assert (windows == tile).all(axis=(2, 3, 4)).any()


def test_labels_do_not_cover_each_other_where_there_is_room():
    image = draw_boxes(GREY, [[40, 40, 110, 90]] * 3, ["aaa", "bbb", "ccc"], RED, font_size=13)
    for text in ("aaa", "bbb", "ccc"):
        tile = drawing._text_tile(text, 13, (255, 255, 255), (255, 0, 0))
        windows = np.lib.stride_tricks.sliding_window_view(image, tile.shape)[:, :, 0]
        assert (windows == tile).all(axis=(2, 3, 4)).any(), text


def test_a_label_wider_than_the_picture_is_shortened():
    text = "a label much too long for so small a picture"
    cut = shorten(text, 100, 13)
    assert cut.endswith("…") and text.startswith(cut[:-1])
    assert shorten("short", 100, 13) == "short"
    assert draw_boxes(GREY, [[0, 0, 50, 50]], [text]).shape == GREY.shape


def test_the_first_box_lies_on_top():
    image = draw_boxes(GREY, [[10, 10, 60, 60]] * 2, colours=["#ff0000", "#00ff00"], line_width=2)
    assert coloured(image, "#ff0000").any() and not coloured(image, "#00ff00").any()


def test_colours_replace_those_of_the_style():
    image = draw_boxes(GREY, [[10, 10, 60, 60]], styles="fp", colours="sky")
    assert coloured(image, COLOURS["sky"]).any()
    assert not coloured(image, COLOURS["vermillion"]).any()


def test_text_is_black_on_light_and_white_on_dark():
    assert drawing._readable_on((240, 228, 66)) == (0, 0, 0)
    assert drawing._readable_on((0, 114, 178)) == (255, 255, 255)


def test_detections_are_labelled_with_class_and_precision(monkeypatch):
    seen = []
    monkeypatch.setattr(drawing, "draw_boxes", lambda *args, **kwargs: seen.append(args) or args[0])
    draw_detections(
        GREY,
        [[0, 0, 10, 10], [5, 5, 9, 9]],
        ["car", "cow"],
        [0.834, np.nan],
        outcomes=["tp", "fp"],
        truth=[[1, 1, 4, 4]],
    )
    _, boxes, labels, styles = seen[0]
    assert labels == ["✓ car 0.83", "✗ cow", ""]
    assert styles == ["tp", "fp", "truth"]
    assert len(boxes) == 3
    draw_detections(GREY, [[0, 0, 10, 10]], [""], [0.5], outcomes=["tp"])
    assert seen.pop()[2] == [""], "without a name there is no label"
    draw_detections(GREY, [[0, 0, 10, 10]], ["car"])
    assert seen[1][2] == ["car"] and seen[1][3] == ["detection"]


def test_nothing_to_draw():
    assert (draw_boxes(GREY, []) == GREY).all()
    assert (draw_detections(GREY, [], [], []) == GREY).all()


def test_montage_holds_every_crop_whole():
    crops = [np.full((20, 30, 3), value, np.uint8) for value in (10, 60, 110)]
    sheet = montage(crops, ["one", "two\nlines", ""], columns=2, gap=5)
    for crop in crops:
        assert np.count_nonzero((sheet == crop[0, 0]).all(axis=2)) >= 20 * 30
    assert sheet.shape[1] == 2 * (30 + 5) + 5
    framed = montage(crops, styles=["tp", "fp", "duplicate"], cell=(60, 60))
    assert coloured(framed, COLOURS["vermillion"]).any()
    assert montage([]).ndim == 3


def test_fit_keeps_the_shape():
    assert fit(GREY, 50, 50).shape == (33, 50, 3)
    assert fit(GREY, 200, 1000).shape == (200, 300, 3)
    assert fit(GREY, 100, 150) is GREY


def test_caption_is_broken_into_lines_below_the_picture():
    short = with_caption(GREY, "one")
    long = with_caption(GREY, "many words that do not fit into one line of this picture")
    assert (short[:100] == GREY).all() and short.shape[1] == 150
    assert len(long) > len(short)
    assert (short[100:] < 100).any()


def test_painted_regions_have_one_colour_each_and_keep_it_when_others_merge():
    labels = np.zeros((100, 150), dtype=int)
    labels[:, 50:100], labels[:, 100:] = 1, 2
    before = paint_segments(GREY, labels, borders=False)
    assert len({tuple(before[50, x]) for x in (10, 60, 110)}) == 3
    merged = np.where(labels == 2, 7, labels)
    merged[labels == 1] = 7
    after = paint_segments(GREY, merged, borders=False)
    assert (after[:, :50] == before[:, :50]).all()
    assert (after[:, 50:] == before[50, 60]).all()
    assert region_borders(labels).sum() == 200
    assert (paint_segments(GREY, labels)[:, 49] == 255).all()


def test_tint():
    mask = np.zeros((100, 150), dtype=bool)
    mask[10, 20] = True
    image = tint(GREY, mask, "#ff0000", strength=1.0)
    assert image[10, 20].tolist() == [255, 0, 0]
    assert changed(image).sum() == 1


def test_a_filter_is_scaled_to_its_own_range_over_all_colours():
    weights = np.zeros((2, 3, 2, 2))
    weights[0] = [[[-1, 0], [0, 0]], [[0, 3], [0, 0]], [[0, 0], [1, 0]]]  # from -1 to 3
    weights[1] = 1e-6 * weights[0]
    sheet = draw_filters(weights, columns=2, zoom=5, gap=3)
    assert sheet.shape == (16, 29, 3)
    first, second = sheet[3:13, 3:13], sheet[3:13, 16:26]
    assert (first == second).all(), "the strength of a filter does not show"
    corners = first[2::5, 2::5]
    zero = 64  # a quarter of the way from -1 to 3: 63.75
    assert corners[0, 0].tolist() == [0, zero, zero]
    assert corners[0, 1].tolist() == [zero, 255, zero]
    assert corners[1, 0].tolist() == [zero, zero, 128]
    assert (first[:5, :5] == first[0, 0]).all(), "a weight is a square of one colour"
    assert (sheet[:, 13:16] == 255).all() and (sheet[:3] == 255).all()


def test_a_filter_without_pattern_is_grey():
    assert (draw_filters(np.full((1, 3, 2, 2), 7.0), zoom=1, gap=0) == 128).all()


@pytest.mark.parametrize("shape", [(3, 11, 11), (4, 1, 3, 3), (0, 3, 5, 5)])
def test_what_is_no_filter_of_colours_is_refused(shape):
    with pytest.raises(DisplayError, match=r"shape \[K, 3, h, w\].*first convolution"):
        draw_filters(np.zeros(shape))
    with pytest.raises(DisplayError, match="finite"):
        draw_filters(np.full((1, 3, 2, 2), np.nan))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: draw_boxes(GREY.astype(float), []), "uint8"),
        (lambda: draw_boxes(GREY[:, :, 0], []), "uint8 array"),
        (lambda: draw_boxes(GREY, [[0, 0, 1, 1]], ["a", "b"]), "as many labels"),
        (lambda: draw_boxes(GREY, [[0, 0, 1, 1]], styles=["tp", "fp"]), "as many styles"),
        (lambda: draw_boxes(GREY, [[0, 0, 1, 1]], styles="pink"), "unknown style 'pink'"),
        (lambda: draw_boxes(GREY, [[0, 0, 1, 1]], colours=["red", "blue"]), "as many colours"),
        (lambda: montage([GREY], ["a", "b"]), "as many captions"),
        (lambda: paint_segments(GREY, np.zeros((2, 2))), "labels have shape"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_an_arrow_runs_from_start_to_end_with_its_tip_there():
    image = draw_arrows(GREY, [[20, 50]], [[120, 50]], RED, line_width=2)
    rows, columns = np.nonzero(coloured(image, "#ff0000"))
    assert columns.min() in (19, 20, 21) and columns.max() in (119, 120, 121)
    height_at = [np.ptp(rows[columns == x]) for x in (30, 114)]
    assert height_at[0] <= 3 < height_at[1], "the tip is wider than the line"
    assert (GREY == 128).all()


def test_tips_of_long_and_of_short_arrows_are_alike():
    image = draw_arrows(GREY, [[10, 20], [10, 70]], [[140, 20], [40, 70]], RED, line_width=2)
    widest = [np.ptp(np.nonzero(coloured(part, "#ff0000"))[0]) for part in (image[:50], image[50:])]
    assert abs(widest[0] - widest[1]) <= 1


def test_nothing_moved_draws_nothing_and_far_ends_do_no_harm():
    assert not changed(draw_arrows(GREY, [[20, 50]], [[20.4, 50]])).any()
    assert (draw_arrows(GREY, [], []) == GREY).all()
    assert changed(draw_arrows(GREY, [[20, 50]], [[1e12, 50]])).any()


@pytest.mark.parametrize("ends", [[[1, 2, 3]], [[1, 2], [3, 4]], [[1, np.nan]]])
def test_arrows_need_two_points_each(ends):
    with pytest.raises(DisplayError, match=r"as many finite starts \[N, 2\] as ends"):
        draw_arrows(GREY, [[20, 50]], ends)

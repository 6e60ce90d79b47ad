"""Predictions are read as people write them, kept, and met again."""

import pytest

from rcnn_helpers.course import predictions, progress
from rcnn_helpers.course.predictions import meet, parse_number, predict
from rcnn_helpers.errors import SettingsError


@pytest.fixture(autouse=True)
def shown(monkeypatch, tmp_path):
    """What `meet` shows; its last text is changed in place by a later answer."""
    monkeypatch.setenv("RCNN_PROGRESS", str(tmp_path / "progress"))
    monkeypatch.setattr(predictions, "_met", {})
    texts = []

    class Handle:
        def __init__(self, place):
            self.place = place

        def update(self, markdown):
            texts[self.place] = markdown.data

    def display(markdown, display_id):
        assert display_id is True
        texts.append(markdown.data)
        return Handle(len(texts) - 1)

    monkeypatch.setattr(predictions, "display", display)
    return texts


@pytest.mark.parametrize(
    "text, value",
    [
        ("250", 250),
        (" 12 % ", 12),
        ("1,000,000", 1e6),
        ("0,5", 0.5),
        ("1e9", 1e9),
        ("10^9", 1e9),
        ("10 ** 9", 1e9),
        ("3/4", 0.75),
        ("-2.5", -2.5),
    ],
)
def test_numbers_are_read_as_people_write_them(text, value):
    assert parse_number(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "a lot", "1/0", "10^9999", "1 2 x", "__import__('os')", "e", "."])
def test_what_is_no_number_gets_an_example(text):
    with pytest.raises(ValueError, match="write it like 250"):
        parse_number(text)


def test_a_number_is_kept_and_met(shown):
    predict("99 boxes", "How many?").field.value = "10^6"
    meet("99 boxes", 1234567, unit=" boxes")
    assert shown == ["→ You predicted **1,000,000 boxes**. It is **1,234,567 boxes**."]
    assert predict("99 boxes", "How many?").field.value == "1e+06"  # as after a restart


def test_a_choice_that_is_right(shown):
    predict("99 chain", "Is C dropped?", choices=["yes", "no"]).field.value = "no"
    meet("99 chain", "no")
    assert shown == ["✓ You predicted **no**, and so it is."]


def test_without_a_prediction_the_result_stands_alone_and_a_late_one_joins_it(shown):
    prompt = predict("99 chain", "Is C dropped?", choices=["yes", "no"])
    meet("99 chain", "no")
    assert shown == ["○ It is **no**. No prediction was written down."]
    prompt.field.value = "yes"
    assert shown == ["→ You predicted **yes**. It is **no**."]


def test_what_cannot_be_read_is_said_and_not_kept():
    prompt = predict("99 boxes", "How many?")
    prompt.field.value = "many"
    assert "many" in prompt.text.value and "write it like" in prompt.text.value
    assert progress.recall("prediction", "99 boxes") is None


def test_a_changed_question_forgets_the_old_answer(shown):
    predict("99 chain", "?", choices=["yes", "no"]).field.value = "yes"
    assert predict("99 chain", "?", choices=["A", "B"]).field.value is None
    meet("99 chain", 5)
    assert shown == ["○ It is **5**. No prediction was written down."]


def test_a_result_that_is_none_is_refused():
    with pytest.raises(SettingsError, match="nan"):
        meet("99 boxes", float("nan"))

"""The paper's comparisons as one table: which part of R-CNN is worth what (Tables 2 and 3, App. A to C).

A `Row` is one way to build the detector: network, layer, fine-tuned or not, and so on. `ablate` trains and judges
every row with every seed and returns a frame with one line for each. What rows have in common is made once: the
proposals of a data set, a fine-tuned network, the pool5 features of a network, the SVMs of a layer, the box
regressors of a store. `summary` gives mean and spread over the seeds, `signs` compares rows in pairs and says for
each claim of the paper whether it holds.

>>> frame = ablate(TABLES["table2"], data=open_data, seeds=(0, 1, 2), cache="cache")
>>> print(format_table(frame))
>>> print(format_signs(signs(frame)))

A finished row is written at once; an interrupted call goes on with the row it was at.
"""

from rcnn_helpers.lazy_imports import lazy_names

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "printing": ["format_signs", "format_table"],
        "reading": ["SIGNS", "class_columns", "paper_row", "signs", "summary"],
        "rows": ["TABLES", "Row", "table_rows"],
        "running": ["RowParts", "ablate", "row_parts"],
    },
)

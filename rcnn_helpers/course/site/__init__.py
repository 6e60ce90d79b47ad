"""The course as a web site: static pages with contents and search that need no network, on a phone or a projector.

python -m rcnn_helpers.course.site    # writes the folder site; open site/index.html

The pages are made by Sphinx with MyST-NB from the executed notebooks as they are committed; no cell is run. The
sources are laid out in a temporary folder as they lie in the repository, so links between notebooks need no
rewriting. Formulas become MathML, which browsers draw themselves, and everything a page loads lies in the folder.
`check_site` proves both for the finished pages, whatever made them.
"""

from rcnn_helpers.course.site.build import build_site
from rcnn_helpers.course.site.chapters import Chapter, SiteError, read_chapter
from rcnn_helpers.course.site.check import check_site

__all__ = ["Chapter", "SiteError", "build_site", "check_site", "read_chapter"]

import sys

from rcnn_helpers.cli import main

sys.exit(main())

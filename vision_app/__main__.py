"""`python -m vision_app` is the command `vision-app`."""

import sys

from vision_app.cli import main

sys.exit(main())

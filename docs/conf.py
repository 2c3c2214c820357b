"""Settings of the documentation: `python -m sphinx -W -b html docs FOLDER` writes it as a site."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # for the extension beside this file

import boltz

project = "boltz"
author = "the authors of boltz"
project_copyright = author
version = release = boltz.__version__
extensions = ["myst_parser", "reference"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["pictures/*.md"]
nitpicky = True
html_theme = "furo"
html_title = f"boltz {version}"
html_static_path = ["static"]
html_css_files = ["pages.css"]
html_copy_source = False
html_show_sphinx = False

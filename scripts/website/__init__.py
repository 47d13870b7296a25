"""The site: pages that are written from the sources at each build, beside the guides of `docs`.

`scripts/docs` runs `python -m scripts.website`, which writes Markdown, and then MkDocs, which makes the site of it.
"""

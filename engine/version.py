"""The name and release of this program, as manifests and `--version` give it."""

VERSION = "0.1.0"
TOOL = f"backup4d {VERSION}"

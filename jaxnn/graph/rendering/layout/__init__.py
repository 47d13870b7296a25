"""The layout of a picture: columns, composites inside composites, coordinates."""

"""Present results: tables, plots, pages."""

"""Present results to people: tables, pictures, pages."""

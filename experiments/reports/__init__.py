"""What a person reads: tables, pictures, pages."""

"""Marks in programs: combinators mark what enters and leaves their layers, and `harvest` finds it in the jaxpr."""

"""Networks as data: what builds them again, files of their params, what they predict, what runs through them."""

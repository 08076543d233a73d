"""What can be said about a log of a product that nobody told us of.

The names of its fields are read as words (`words`), the words as meanings (`rules`, and the fixed
names of `dictionaries`), each with a score; values confirm them; `fields` decides. No rule is for
one product.
"""

from ingest.generic.mapping import map_fields

__all__ = ["map_fields"]
